package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asCommand makes the test binary act as the program, so that signals and exit codes are those of a real process.
const asCommand = "ECHO_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

func command(t *testing.T, environment []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(environment, asCommand+"=1")
	cmd.Stderr = log
	return cmd, log
}

func freePort(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// awaitStatus polls until the URL answers with the status, for at most ten seconds.
func awaitStatus(t *testing.T, url string, status int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		response, err := http.Get(url)
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == status {
			return
		}
	}
	t.Fatalf("%s did not answer %d within 10 s", url, status)
}

// messages are the "msg" fields of a log, which must be JSON line by line.
func messages(t *testing.T, log string) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Release string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the log line %q is no JSON: %v", line, err)
		}
		if entry.Release != release {
			t.Errorf("the log line %q does not name the release", line)
		}
		found = append(found, entry.Msg)
	}
	return found
}

func TestProcessDrainsOnSigtermAndExitsWithZero(t *testing.T) {
	port := freePort(t)
	cmd, log := command(t, []string{"REGION=region-a", "VERSION=v1", "PORT=" + port, "ADMIN_PORT=" + freePort(t), "DRAIN_SECONDS=1"})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, "http://127.0.0.1:"+port+"/readyz", http.StatusOK)
	signalled := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, "http://127.0.0.1:"+port+"/readyz", http.StatusServiceUnavailable)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if drained := time.Since(signalled); drained < time.Second {
		t.Errorf("the process ended after %s, want at least 1s", drained)
	}
	if got := strings.Join(messages(t, log.String()), ", "); got != "serving, draining, stopped" {
		t.Errorf("the log says %q", got)
	}
}

func TestProcessRefusesABadEnvironmentWithExitCodeTwo(t *testing.T) {
	cmd, log := command(t, []string{"VERSION=v1", "PORT=0"})
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != exitUsage {
		t.Errorf("exit code %d, want %d", got, exitUsage)
	}
	if got := messages(t, log.String()); len(got) != 2 {
		t.Errorf("the log has %q, want one line for REGION and one for PORT", got)
	}
}

func TestProcessFailsWithExitCodeOneWhenItsPortIsTaken(t *testing.T) {
	taken := listen(t)
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	cmd, log := command(t, []string{"REGION=region-a", "VERSION=v1", "PORT=" + port, "ADMIN_PORT=" + freePort(t)})
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != exitFailed {
		t.Errorf("exit code %d, want %d: %s", got, exitFailed, log)
	}
}

func TestUnknownCommandIsRefused(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"serve"}, environ(), &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), `"serve"`) {
		t.Errorf("exit code %d, message %q", code, stderr.String())
	}
}
