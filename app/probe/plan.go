package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

const (
	maxRate     = 20_000
	maxRequests = 1_000_000
	// maxWorkers is the maxConnections of the DestinationRule that is measured: more would measure its pool's overflow.
	maxWorkers     = 1_000
	minTimeout     = time.Millisecond
	maxTimeout     = time.Minute
	defaultTimeout = 5 * time.Second
)

// plan is what one attack does. Bounds are in the usage text.
type plan struct {
	kinds         []kind
	connectTo     string
	versionHeader string
	rate          int
	requests      int
	workers       int
	timeout       time.Duration
	ignoreStdin   bool
}

// parsePlan reads the arguments of attack. The error is flag.ErrHelp, or joins every problem that was found.
func parsePlan(args []string) (plan, error) {
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var p plan
	var address string
	var kinds []string
	flags.StringVar(&address, "url", "", "")
	flags.Func("request", "", func(text string) error { kinds = append(kinds, text); return nil })
	flags.StringVar(&p.connectTo, "connect-to", "", "")
	flags.StringVar(&p.versionHeader, "version-header", "", "")
	flags.IntVar(&p.rate, "rate", 0, "")
	flags.IntVar(&p.requests, "requests", 0, "")
	flags.IntVar(&p.workers, "workers", 0, "")
	flags.DurationVar(&p.timeout, "timeout", defaultTimeout, "")
	flags.BoolVar(&p.ignoreStdin, "ignore-stdin", false, "")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	base, err := parseURL(address, p.connectTo != "")
	problems := []error{
		err,
		checkConnectTo(p.connectTo),
		checkCount("rate", p.rate, maxRate),
		checkCount("requests", p.requests, maxRequests),
		checkCount("workers", p.workers, maxWorkers),
	}
	if p.versionHeader != "" && !headerName.MatchString(p.versionHeader) {
		problems = append(problems, fmt.Errorf("--version-header %q is no header's name, so no answer could have it; give one like x-rollout-version",
			p.versionHeader))
	}
	if len(kinds) == 0 {
		kinds = []string{"{}"}
	}
	for number, text := range kinds {
		k, err := parseKind(text, base, number)
		p.kinds, problems = append(p.kinds, k), append(problems, err)
	}
	if p.timeout < minTimeout || p.timeout > maxTimeout {
		problems = append(problems, fmt.Errorf("--timeout %s is out of bounds, so a request would fail or hang for no reason; give one in %s..1m",
			p.timeout, minTimeout))
	}
	if flags.NArg() > 0 {
		problems = append(problems, fmt.Errorf("%q is one argument too many, so it is not clear what to do; leave it out", flags.Arg(0)))
	}
	return p, errors.Join(problems...)
}

// checkCount takes 0 for a flag that is left out: no value suits every measurement.
func checkCount(name string, value, high int) error {
	if value == 0 {
		return fmt.Errorf("--%s is missing or 0, so the attack could not be carried out as asked; give one in 1..%d", name, high)
	}
	if value < 1 || value > high {
		return fmt.Errorf("--%s %d is out of bounds, so the attack could not be carried out as asked; give one in 1..%d", name, value, high)
	}
	return nil
}

// parseURL takes plain HTTP only, where the sidecar adds mutual TLS, unless the address to connect to is given: a gateway's.
// The URL is usable as a base also if there is an error.
func parseURL(text string, secure bool) (*url.URL, error) {
	if text == "" {
		return new(url.URL), errors.New("--url is missing, so there is nothing to send requests to; give http://host[:port]/...")
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || (parsed.Scheme != "http" && !(secure && parsed.Scheme == "https")) {
		return new(url.URL), fmt.Errorf("--url %q is no address that requests can go to; give http://host[:port]/..., or https with --connect-to", text)
	}
	return parsed, nil
}

func checkConnectTo(text string) error {
	if text == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if number, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || number == 0 {
		return fmt.Errorf("--connect-to %q is no address to dial; give host:port", text)
	}
	return nil
}
