package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asCommand makes the test binary act as the program, so that signals and exit codes are those of a real process.
const asCommand = "PROBE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	var exited *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestIdleIsTheDefaultAndEndsWithZeroOnSigterm(t *testing.T) {
	for _, args := range [][]string{{}, {"idle"}} {
		cmd := command(t, args...)
		log, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(log).ReadString('\n'); err != nil || !strings.Contains(line, `"msg":"idle"`) {
			t.Fatalf("it said %q: %v", line, err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd); code != exitOK {
			t.Errorf("probe %v: exit code %d", args, code)
		}
	}
}

func TestSignalStopsTheAttackAfterTheRequestUnderWay(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		arrived, release := make(chan struct{}, 1), make(chan struct{})
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-release
			answerOK(w, r)
		})
		cmd := command(t, append([]string{"attack", "--ignore-stdin"}, arguments(server.URL, "--workers", "1", "--requests", "1000")...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout = &stdout
		messages, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-arrived
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		close(release)
		go func() {
			for range arrived {
				continue
			}
		}()
		_, _ = io.Copy(&stderr, messages)
		if code := exitCode(t, cmd); code != exitStopped {
			t.Errorf("%s: exit code %d, want %d", signal, code, exitStopped)
		}
		if !strings.Contains(stderr.String(), signal.String()) {
			t.Errorf("%s: the message is %q", signal, stderr.String())
		}
		records := parseRecords(t, stdout.String())
		if len(records) == 0 || int64(len(records)) != server.requests.Load() || records[0].Body != okBody {
			t.Errorf("%s: %d records for %d requests", signal, len(records), server.requests.Load())
		}
		server.Close()
		close(arrived)
	}
}

func TestReaderOfTheOutputThatGoesAwayStopsTheAttack(t *testing.T) {
	server := serve(t, answerOK)
	cmd := command(t, append([]string{"attack", "--ignore-stdin"}, arguments(server.URL, "--rate", "100", "--requests", "1000000")...)...)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	output.Close()
	if code := exitCode(t, cmd); code != exitStopped {
		t.Errorf("exit code %d, want %d", code, exitStopped)
	}
}

func TestReaderOfTheOutputThatReadsNoMoreKeepsNoAttackAliveWhoseInputEnded(t *testing.T) {
	server := serve(t, answerOK)
	cmd := command(t, append([]string{"attack"}, arguments(server.URL, "--rate", "5000", "--requests", "1000000", "--timeout", "100ms")...)...)
	// kept open and never read, as by a container's runtime whose client is gone
	unread, output, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Close()
	cmd.Stdout = output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	output.Close()
	// all workers wait once nothing more fits into the pipe
	for before := int64(0); before == 0 || before != server.requests.Load(); time.Sleep(time.Second) {
		before = server.requests.Load()
	}
	stdin.Close()
	if code := exitCode(t, cmd); code != exitStopped {
		t.Errorf("exit code %d, want %d", code, exitStopped)
	}
}

func TestUnknownCommandIsRefused(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"measure"}, strings.NewReader(""), io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), `"measure"`) {
		t.Errorf("exit code %d, message %q", code, stderr.String())
	}
}
