package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// readTimeout and writeTimeout bound one request from its headers on; answers are a line long, so seconds are ample.
	readTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	// idleTimeout is longer than the hour after which Envoy by default drops an idle connection: the side that sends
	// must close first, or a request can meet a connection that is just being closed. It holds before the first request
	// as well: under load Envoy opens connections that it then needs for no request, and keeps them.
	idleTimeout = 65 * time.Minute
	// maxHeaderBytes lets through what Envoy lets through (60 KiB by default).
	maxHeaderBytes = 64 << 10
	// shutdownBound is what requests still running get after the drain. A pod's terminationGracePeriodSeconds has to be
	// longer than DRAIN_SECONDS and this together.
	shutdownBound = 10 * time.Second
)

// server answers requests until it is told to stop, and then drains.
type server struct {
	cfg      config
	log      *slog.Logger
	faults   faultSwitch
	busy     busyConnections
	draining atomic.Bool
	// after is time.After; tests end the drain when they are ready for it.
	after         func(time.Duration) <-chan time.Time
	readTimeout   time.Duration
	shutdownBound time.Duration
}

func newServer(cfg config, log *slog.Logger) *server {
	return &server{cfg: cfg, log: log, after: time.After, readTimeout: readTimeout, shutdownBound: shutdownBound}
}

// serve answers on both listeners, which it closes, until ctx is done and the drain that follows is over. It returns
// an error if a listener fails, or if requests were still running when the shutdown's bound was reached.
func (s *server) serve(ctx context.Context, public, admin net.Listener) error {
	publicServer := s.httpServer(s.handler())
	publicServer.ConnState = s.busy.track
	adminServer := s.httpServer(adminHandler(&s.faults, s.log))
	defer publicServer.Close()
	defer adminServer.Close()

	publicEnded, adminEnded := make(chan error, 1), make(chan error, 1)
	go func() { publicEnded <- publicServer.Serve(public) }()
	go func() { adminEnded <- adminServer.Serve(admin) }()
	s.log.Info("serving", "address", public.Addr().String(), "admin", admin.Addr().String(),
		"drain_seconds", s.cfg.drain.Seconds())

	select {
	case err := <-publicEnded:
		return err
	case err := <-adminEnded:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log.Info("draining", "reason", context.Cause(ctx).Error(), "drain_seconds", s.cfg.drain.Seconds())

	// Other nodes learn only now, one after the other, that this pod is not ready; what they still send is answered.
	select {
	case err := <-publicEnded:
		return err
	case <-s.after(s.cfg.drain):
	}
	// New clients are refused from here on. Serve has returned when all that were accepted are known to be busy.
	public.Close()
	<-publicEnded
	return s.shutdown(publicServer)
}

// shutdown waits for the last requests. Shutdown alone would not do: net/http drops a request that it has read from a
// new or idle connection after Shutdown was called, without an answer.
func (s *server) shutdown(publicServer *http.Server) error {
	bounded, cancel := context.WithTimeout(context.Background(), s.shutdownBound)
	defer cancel()
	s.busy.awaitNone(bounded)
	if err := publicServer.Shutdown(bounded); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("requests were still running %s after the drain, and were cut off", s.shutdownBound)
		}
		return err
	}
	s.log.Info("stopped")
	return nil
}

func (s *server) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: s.bounded(handler),
		// not ReadTimeout: of a connection's first request it counts from the connection's beginning
		ReadHeaderTimeout: idleTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// bounded gives up on a request whose body does not come.
func (s *server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.readTimeout)); err != nil {
			s.log.Warn("a request is not bounded", "error", err.Error())
		}
		next.ServeHTTP(w, r)
	})
}

// handler serves /, /healthz and /readyz. A GET pattern of ServeMux takes HEAD too, and answers 405 to other methods.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.echo())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, []byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.draining.Load() {
			writeText(w, http.StatusServiceUnavailable, []byte("draining\n"))
			return
		}
		writeText(w, http.StatusOK, []byte("ready\n"))
	})
	name := "echo/" + release
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", name)
		if s.draining.Load() {
			// Not SetKeepAlivesEnabled(false): that cuts idle connections at once, also one that a request is already
			// on its way to. This lets each client leave by itself, with its answer in hand.
			w.Header().Set("Connection", "close")
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *server) echo() http.HandlerFunc {
	origin := fmt.Sprintf("region=%s version=%s\n", s.cfg.region, s.cfg.version)
	good, bad := []byte("ok "+origin), []byte("fault "+origin)
	return func(w http.ResponseWriter, _ *http.Request) {
		if status, fails := s.faults.strike(); fails {
			writeText(w, status, bad)
			return
		}
		writeText(w, http.StatusOK, good)
	}
}

// writeText answers with a text that no cache keeps. A write error means that the client has left: nobody to tell.
func writeText(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
