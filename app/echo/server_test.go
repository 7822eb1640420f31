package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"
)

func testConfig() config {
	return config{region: "region-a", version: "v1", drain: 5 * time.Second}
}

func answer(handler http.Handler, method, target string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, target, nil))
	return recorder
}

func TestRootNamesRegionAndVersion(t *testing.T) {
	got := answer(newServer(testConfig(), quietLog()).handler(), http.MethodGet, "/")
	if got.Code != http.StatusOK || got.Body.String() != "ok region=region-a version=v1\n" {
		t.Errorf("answered %d %q", got.Code, got.Body)
	}
}

func TestAnswersArePlainTextAndNameTheRelease(t *testing.T) {
	got := answer(newServer(testConfig(), quietLog()).handler(), http.MethodGet, "/").Header()
	if got.Get("Content-Type") != "text/plain; charset=utf-8" || got.Get("Server") != "echo/"+release {
		t.Errorf("headers are %v", got)
	}
}

func TestOnlyGetAndHeadOfKnownPathsAreServed(t *testing.T) {
	cases := map[string]struct {
		method, target string
		code           int
	}{
		"head":            {http.MethodHead, "/", http.StatusOK},
		"query":           {http.MethodGet, "/?x=1", http.StatusOK},
		"post":            {http.MethodPost, "/", http.StatusMethodNotAllowed},
		"delete":          {http.MethodDelete, "/", http.StatusMethodNotAllowed},
		"another path":    {http.MethodGet, "/index.html", http.StatusNotFound},
		"the fault path":  {http.MethodPut, "/fault", http.StatusNotFound},
		"post to healthz": {http.MethodPost, "/healthz", http.StatusMethodNotAllowed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := answer(newServer(testConfig(), quietLog()).handler(), c.method, c.target).Code; got != c.code {
				t.Errorf("answered %d, want %d", got, c.code)
			}
		})
	}
}

func TestFaultyServerFailsRequestsButNotItsProbes(t *testing.T) {
	server := newServer(testConfig(), quietLog())
	server.faults.set(fault{Status: http.StatusServiceUnavailable, Percent: 100})
	handler := server.handler()
	if got := answer(handler, http.MethodGet, "/"); got.Code != http.StatusServiceUnavailable || got.Body.String() != "fault region=region-a version=v1\n" {
		t.Errorf("/ answered %d %q", got.Code, got.Body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := answer(handler, http.MethodGet, path).Code; got != http.StatusOK {
			t.Errorf("%s answered %d, want 200", path, got)
		}
	}
}

func TestProbesDoNotCountTowardsTheFaultyShare(t *testing.T) {
	server := newServer(testConfig(), quietLog())
	server.faults.set(fault{Status: http.StatusInternalServerError, Percent: 50})
	handler := server.handler()
	failed := 0
	for range 10 {
		answer(handler, http.MethodGet, "/healthz")
		if answer(handler, http.MethodGet, "/").Code != http.StatusOK {
			failed++
		}
	}
	if failed != 5 {
		t.Errorf("%d of 10 requests failed, want 5", failed)
	}
}

// running is a server on loopback whose drain the test ends.
type running struct {
	*server
	url      string
	address  string
	stop     context.CancelFunc
	asked    chan time.Duration
	endDrain chan time.Time
	ended    chan error
}

func start(t *testing.T, cfg config, bound time.Duration) *running {
	t.Helper()
	return startBounded(t, cfg, bound, readTimeout)
}

func startBounded(t *testing.T, cfg config, bound, readTimeout time.Duration) *running {
	t.Helper()
	public, admin := listen(t), listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{
		server:   newServer(cfg, quietLog()),
		address:  public.Addr().String(),
		url:      "http://" + public.Addr().String(),
		stop:     cancel,
		asked:    make(chan time.Duration, 1),
		endDrain: make(chan time.Time, 1),
		ended:    make(chan error, 1),
	}
	r.shutdownBound = bound
	r.readTimeout = readTimeout
	r.after = func(d time.Duration) <-chan time.Time {
		r.asked <- d
		return r.endDrain
	}
	go func() { r.ended <- r.serve(ctx, public, admin) }()
	t.Cleanup(func() { public.Close(); admin.Close(); cancel() })
	return r
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// A connection on which nothing comes for longer than a request may take is answered all the same: Envoy keeps such ones.
func TestConnectionWithoutARequestIsKept(t *testing.T) {
	r := startBounded(t, testConfig(), time.Second, 20*time.Millisecond)
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for range 2 {
		time.Sleep(5 * r.readTimeout)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: echo\r\n\r\n")
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK || response.Close {
			t.Errorf("answered %d, closes %t, %v", response.StatusCode, response.Close, err)
		}
	}
}

func TestRequestWhoseBodyDoesNotComeIsGivenUp(t *testing.T) {
	r := startBounded(t, testConfig(), time.Second, 20*time.Millisecond)
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 10\r\n\r\n")
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// awaitClosed returns once the address refuses connections. A dial that meets the closing itself is reset instead.
func awaitClosed(t *testing.T, address string) {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", address)
		switch {
		case err == nil:
			conn.Close()
		case errors.Is(err, syscall.ECONNREFUSED):
			return
		case !errors.Is(err, syscall.ECONNRESET):
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response
}

func TestConnectionIsKeptWhileServing(t *testing.T) {
	r := start(t, testConfig(), time.Minute)
	if get(t, http.DefaultClient, r.url).Close {
		t.Error("the answer closes its connection")
	}
}

func TestReadinessEndsWithTheSignalAndHealthDoesNot(t *testing.T) {
	r := start(t, testConfig(), time.Minute)
	if got := get(t, http.DefaultClient, r.url+"/readyz").StatusCode; got != http.StatusOK {
		t.Fatalf("/readyz answered %d before the signal", got)
	}
	r.stop()
	if got := <-r.asked; got != 5*time.Second {
		t.Errorf("the drain was to last %s, want 5s", got)
	}
	if got := get(t, http.DefaultClient, r.url+"/readyz").StatusCode; got != http.StatusServiceUnavailable {
		t.Errorf("/readyz answered %d while draining, want 503", got)
	}
	if got := get(t, http.DefaultClient, r.url+"/healthz").StatusCode; got != http.StatusOK {
		t.Errorf("/healthz answered %d while draining, want 200", got)
	}
}

func TestDrainLosesNoRequestOfClientsThatKeepSending(t *testing.T) {
	const clients, closingAnswers = 8, 20
	r := start(t, testConfig(), time.Minute)
	var sending, done sync.WaitGroup
	sending.Add(clients)
	for range clients {
		done.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			var once sync.Once
			for closing := 0; closing < closingAnswers; {
				response, err := client.Get(r.url)
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != http.StatusOK {
					t.Errorf("a request got %d", response.StatusCode)
				}
				if response.Close {
					closing++
				}
				once.Do(sending.Done)
			}
		})
	}
	sending.Wait()
	r.stop()
	done.Wait()
	r.endDrain <- time.Now()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	awaitClosed(t, r.address)
}

// beginRequest opens a connection and sends a request but for its last line end.
func beginRequest(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: echo\r\n"); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestRequestUnderWayAtShutdownIsAnswered(t *testing.T) {
	r := start(t, testConfig(), time.Minute)
	conn := beginRequest(t, r.address)
	// The connection is accepted before this one, and so before the listener closes.
	get(t, http.DefaultClient, r.url)
	r.stop()
	r.endDrain <- time.Now()
	awaitClosed(t, r.address)
	if _, err := io.WriteString(conn, "\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("the request was lost: %v", err)
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("answered %d", response.StatusCode)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	r := start(t, testConfig(), 10*time.Millisecond)
	beginRequest(t, r.address)
	get(t, http.DefaultClient, r.url)
	r.stop()
	r.endDrain <- time.Now()
	if err := <-r.ended; err == nil {
		t.Error("a request that never ends was not reported")
	}
}

func TestFailureOfAListenerEndsTheServer(t *testing.T) {
	public, admin := listen(t), listen(t)
	admin.Close()
	if err := newServer(testConfig(), quietLog()).serve(t.Context(), public, admin); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
}
