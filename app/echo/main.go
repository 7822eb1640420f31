// Command echo is the HTTP service whose traffic is split: every answer names the region and the version that gave it.
//
// Without arguments it serves. `echo fault` reaches into a running server of the same pod and makes it fail on
// purpose, so that outlier ejection can be seen at work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// release is the image's release number; the build sets it with -ldflags "-X main.release=…".
var release = "dev"

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage:
  echo                                      serve until SIGTERM or SIGINT
  echo fault --status CODE [--percent P]    make the server in this pod answer / with CODE
  echo fault --off                          make it answer as usual again

environment of the server:
  REGION         required; named in every answer
  VERSION        required; named in every answer
  PORT           port of /, /healthz and /readyz (1..65535, default 8080)
  ADMIN_PORT     port of the fault switch, on 127.0.0.1 only (1..65535, default 8081); also read by "echo fault"
  DRAIN_SECONDS  after SIGTERM: how long to serve on while not ready (0..300, default 5)

exit codes: 0 done, 1 failed, 2 bad arguments or environment
`

func main() {
	ctx, stopCatching := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// Only the first signal is caught: a second one ends the process at once.
	context.AfterFunc(ctx, stopCatching)
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, lookup lookupEnv, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return serve(ctx, lookup, stderr)
	}
	switch args[0] {
	case "fault":
		return runFault(ctx, args[1:], lookup, stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	default:
		fmt.Fprintf(stderr, "echo: %q is no command of this program, so nothing was done; see `echo help`\n", args[0])
		return exitUsage
	}
}

func serve(ctx context.Context, lookup lookupEnv, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil)).With("release", release)
	cfg, err := parseConfig(lookup)
	if err != nil {
		for _, problem := range problemsOf(err) {
			log.Error(problem.Error())
		}
		return exitUsage
	}
	log = log.With("region", cfg.region, "version", cfg.version)

	public, err := net.Listen("tcp", ":"+strconv.Itoa(cfg.port))
	if err != nil {
		log.Error("cannot listen for requests; free the port or set PORT to another one", "error", err.Error())
		return exitFailed
	}
	admin, err := net.Listen("tcp", adminAddress(cfg.adminPort))
	if err != nil {
		log.Error("cannot listen for the fault switch; free the port or set ADMIN_PORT to another one", "error", err.Error())
		return exitFailed
	}
	if err := newServer(cfg, log).serve(ctx, public, admin); err != nil {
		log.Error("the server ended badly; requests may have been lost", "error", err.Error())
		return exitFailed
	}
	return exitOK
}

// problemsOf lists the errors that errors.Join has put together.
func problemsOf(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
