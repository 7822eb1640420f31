package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestExactlyTheAskedShareFails(t *testing.T) {
	for _, percent := range []int{0, 1, 34, 50, 99, 100} {
		var faults faultSwitch
		faults.set(fault{Status: 500, Percent: percent})
		failed := 0
		for range 300 {
			if _, fails := faults.strike(); fails {
				failed++
			}
		}
		if want := 3 * percent; failed != want {
			t.Errorf("%d percent: %d of 300 failed, want %d", percent, failed, want)
		}
	}
}

func TestFaultsAreSpreadEvenly(t *testing.T) {
	var faults faultSwitch
	faults.set(fault{Status: 500, Percent: 50})
	_, before := faults.strike()
	for range 99 {
		_, fails := faults.strike()
		if fails == before {
			t.Fatal("two requests in a row were treated alike at 50 percent")
		}
		before = fails
	}
}

// adminServer is the fault switch of a running server, and the environment with which `echo fault` finds it.
func adminServer(t *testing.T) (*faultSwitch, lookupEnv) {
	t.Helper()
	faults := new(faultSwitch)
	admin := httptest.NewServer(adminHandler(faults, quietLog()))
	t.Cleanup(admin.Close)
	_, port, err := net.SplitHostPort(admin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return faults, environ("ADMIN_PORT=" + port)
}

func TestFaultCommandTurnsFaultOn(t *testing.T) {
	faults, lookup := adminServer(t)
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"fault", "--status", "502"}, lookup, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if status, fails := faults.strike(); !fails || status != 502 {
		t.Errorf("a request got (%d, %t), want (502, true)", status, fails)
	}
}

func TestFaultCommandTurnsFaultOff(t *testing.T) {
	faults, lookup := adminServer(t)
	faults.set(fault{Status: 500, Percent: 100})
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"fault", "--off"}, lookup, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if _, fails := faults.strike(); fails {
		t.Error("a request still failed")
	}
}

func TestFaultCommandRefusesBadArguments(t *testing.T) {
	faults, lookup := adminServer(t)
	cases := map[string][]string{
		"nothing to do":      {},
		"percent on its own": {"--percent", "50"},
		"status no error":    {"--status", "200"},
		"status no number":   {"--status", "bad"},
		"percent too high":   {"--status", "500", "--percent", "101"},
		"on and off":         {"--status", "500", "--off"},
		"a stray argument":   {"--status", "500", "now"},
		"an unknown flag":    {"--code", "500"},
	}
	for name, args := range cases {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"fault"}, args...), lookup, &stdout, &stderr)
			if code != exitUsage || stderr.Len() == 0 {
				t.Errorf("exit code %d with message %q, want %d and a message", code, stderr.String(), exitUsage)
			}
			if _, fails := faults.strike(); fails {
				t.Error("the server was made to fail nevertheless")
			}
		})
	}
}

func TestFaultCommandSaysThatNoServerIsThere(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"fault", "--off"}, environ("ADMIN_PORT="+port), &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "no server answers on 127.0.0.1:"+port) {
		t.Errorf("exit code %d, message %q", code, stderr.String())
	}
}

func TestAdminPortRefusesWhatIsNoFault(t *testing.T) {
	cases := map[string]string{
		"no JSON":          "status=500",
		"an unknown key":   `{"status":500,"percent":100,"share":1}`,
		"status too low":   `{"status":302,"percent":100}`,
		"percent too high": `{"status":500,"percent":101}`,
		"too long":         strings.Repeat(" ", maxFaultBody) + `{"status":500,"percent":100}`,
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			faults := new(faultSwitch)
			answer := httptest.NewRecorder()
			adminHandler(faults, quietLog()).ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/fault", strings.NewReader(body)))
			if answer.Code != http.StatusBadRequest {
				t.Errorf("answered %d, want 400", answer.Code)
			}
			if _, fails := faults.strike(); fails {
				t.Error("the fault is on")
			}
		})
	}
}
