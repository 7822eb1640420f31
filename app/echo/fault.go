package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

const (
	minFaultStatus  = 400
	maxFaultStatus  = 599
	maxFaultPercent = 100
	// maxFaultBody bounds what the admin port reads; a fault takes about 30 bytes.
	maxFaultBody = 1 << 10
)

// fault says how many of a hundred requests to / get an error status. The zero value is no fault.
type fault struct {
	Status  int `json:"status"`
	Percent int `json:"percent"`
}

// check refuses a fault out of bounds. The zero value, no fault, is refused too: it is asked for by name.
func (f fault) check() error {
	if f.Status < minFaultStatus || f.Status > maxFaultStatus {
		return fmt.Errorf("the fault's status %d would not count as an error; give one in %d..%d", f.Status, minFaultStatus, maxFaultStatus)
	}
	if f.Percent < 0 || f.Percent > maxFaultPercent {
		return fmt.Errorf("the fault's percent %d is no share of the requests; give one in 0..%d", f.Percent, maxFaultPercent)
	}
	return nil
}

// faultSwitch holds the fault that is on. It is safe for concurrent use; its zero value is off.
type faultSwitch struct {
	armed atomic.Pointer[armedFault]
}

type armedFault struct {
	fault
	requests atomic.Uint64
}

func (s *faultSwitch) set(f fault) {
	s.armed.Store(&armedFault{fault: f})
}

func (s *faultSwitch) clear() {
	s.armed.Store(nil)
}

// strike counts one request and says whether it has to fail, and how. The share is exact, not drawn: among any
// hundred requests in a row Percent fail, evenly spread, so that a test of ejection does not depend on luck.
func (s *faultSwitch) strike() (status int, fails bool) {
	armed := s.armed.Load()
	if armed == nil {
		return 0, false
	}
	count, percent := armed.requests.Add(1), uint64(armed.Percent)
	return armed.Status, count*percent/100 != (count-1)*percent/100
}

// adminAddress is the address of the fault switch. It is loopback only, because whoever reaches it can break the pod.
func adminAddress(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// adminHandler serves PUT /fault (a fault as JSON) and DELETE /fault.
func adminHandler(faults *faultSwitch, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /fault", func(w http.ResponseWriter, r *http.Request) {
		var wanted fault
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFaultBody))
		body.DisallowUnknownFields()
		if err := body.Decode(&wanted); err != nil {
			http.Error(w, `the fault is not JSON of the form {"status":500,"percent":100}: `+err.Error(), http.StatusBadRequest)
			return
		}
		if err := wanted.check(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		faults.set(wanted)
		log.Warn("fault on", "status", wanted.Status, "percent", wanted.Percent)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /fault", func(w http.ResponseWriter, _ *http.Request) {
		faults.clear()
		log.Info("fault off")
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
