// Command probe sends measuring requests from inside the mesh: the client whose answers show what share of the traffic
// each version got.
//
// Its pod runs `probe idle`. Whoever measures starts `probe attack …` in the pod through exec, and reads one JSON line
// for each request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// release is the image's release number; the build sets it with -ldflags "-X main.release=…".
var release = "dev"

const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitStopped = 3
)

// patience is how long a stopped attack may go on writing once its last request is over. An exec whose client is gone may leave
// its output open and unread, and a write to it would never end.
const patience = 5 * time.Second

// tolerableDelay is how late a request may be sent before it is told.
const tolerableDelay = time.Second

const usage = `usage:
  probe [idle]      do nothing until SIGTERM or SIGINT
  probe attack ...  send N requests at a steady rate; print one JSON line for each as it finishes:
                    {"seq":0,"code":200,"body":"...","error":"","latency_ns":123,"at_ns":1700000000000000000,
                    "request":1,"subset":"v1","upstream":true}   (the last three only where they are not 0, "" or false)

attack takes:
  --url U             required; the address to send requests to, http://host[:port]/...
  --rate R            required; requests a second (1..20000)
  --requests N        required; how many requests (1..1000000)
  --workers W         required; the most requests under way, and connections open, at once (1..1000)
  --request JSON      one kind of request, {"method":"POST","path":"/","headers":{"name":"value"},"body":"...","weight":1},
                      each of these may be left out; give it several times for several kinds, which are sent in turns in
                      proportion to their weights (1..1000); "request" is a line's kind, from 0 (default: GET of the URL)
  --version-header H  the header that names the subset that the proxy chose; "subset" is its value, and "upstream" says
                      whether an Envoy passed the answer on, so that the proxy's own errors can be told
  --connect-to H:P    connect to this address, whatever the URL says: Host and TLS server name are the URL's. The URL may
                      be https://... then; no certificate is checked, since a split is measured and not the certificate
  --timeout D         how long one request may take (1ms..1m, default 5s)
  --ignore-stdin      do not stop when standard input ends; needed where none is attached, or it is /dev/null

An attack stops early when standard input ends, when its output cannot be written, and on SIGTERM or SIGINT. Requests
that are under way then still finish and are printed, if the lines are taken within five seconds. A last line on standard
error tells an attack that fell behind its rate by more than a second.

exit codes: 0 all requests were sent and printed, 1 the end of the output was lost, 2 bad arguments, 3 stopped early
`

func main() {
	ctx, stopCatching := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// Only the first signal is caught: a second one ends the process at once.
	context.AfterFunc(ctx, stopCatching)
	// A reader of the output that went away is then an error of a write, not the end of the process on the spot.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	command := "idle"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "idle":
		return idle(ctx, args, stderr)
	case "attack":
		return runAttack(ctx, args, stdin, stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	default:
		fmt.Fprintf(stderr, "probe: %q is no command of this program, so nothing was done; see `probe help`\n", command)
		return exitUsage
	}
}

func idle(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "probe idle: %q is one argument too many, so it is not clear what to do; leave it out\n", args[0])
		return exitUsage
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil)).With("release", release)
	log.Info("idle")
	<-ctx.Done()
	log.Info("stopped", "reason", context.Cause(ctx).Error())
	return exitOK
}

func runAttack(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	wanted, err := parsePlan(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "probe attack: cannot start: %v\nsee `probe help`\n", err)
		return exitUsage
	}
	if !wanted.ignoreStdin {
		ctx = untilEOF(ctx, stdin)
	}
	over := make(chan struct{})
	defer close(over)
	context.AfterFunc(ctx, func() {
		select {
		case <-over:
		case <-time.After(wanted.timeout + patience):
			os.Exit(exitStopped)
		}
	})
	sent, late, err := attack(ctx, wanted, stdout)
	code := exitOK
	switch {
	case sent < wanted.requests:
		fmt.Fprintf(stderr, "probe attack: stopped after %d of %d requests: %v\n", sent, wanted.requests, err)
		code = exitStopped
	case err != nil:
		fmt.Fprintf(stderr, "probe attack: all %d requests were sent, but not all lines got out, so the measurement is incomplete; "+
			"run it again: %v\n", sent, err)
		code = exitFailed
	}
	if late > tolerableDelay {
		fmt.Fprintf(stderr, "probe attack: requests were sent up to %s late, because all %d workers waited for answers or the "+
			"processor was busy; raise --workers or lower --rate %d\n", late.Round(time.Millisecond), wanted.workers, wanted.rate)
	}
	return code
}

var errStdinEnded = errors.New("standard input ended, so nobody seems to read the output any more; " +
	"keep it open (exec -i), or give --ignore-stdin")

// untilEOF returns a context that is done with errStdinEnded once nothing more can be read from stdin.
func untilEOF(ctx context.Context, stdin io.Reader) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		// An error of the read means the same as its end: nobody is there.
		_, _ = io.Copy(io.Discard, stdin)
		cancel(errStdinEnded)
	}()
	return ctx
}
