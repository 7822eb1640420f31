package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
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
	url         string
	rate        int
	requests    int
	workers     int
	timeout     time.Duration
	ignoreStdin bool
}

// parsePlan reads the arguments of attack. The error is flag.ErrHelp, or joins every problem that was found.
func parsePlan(args []string) (plan, error) {
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var p plan
	flags.StringVar(&p.url, "url", "", "")
	flags.IntVar(&p.rate, "rate", 0, "")
	flags.IntVar(&p.requests, "requests", 0, "")
	flags.IntVar(&p.workers, "workers", 0, "")
	flags.DurationVar(&p.timeout, "timeout", defaultTimeout, "")
	flags.BoolVar(&p.ignoreStdin, "ignore-stdin", false, "")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })

	problems := []error{
		checkURL(p.url),
		checkCount("rate", given["rate"], p.rate, maxRate),
		checkCount("requests", given["requests"], p.requests, maxRequests),
		checkCount("workers", given["workers"], p.workers, maxWorkers),
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

func checkCount(name string, given bool, value, high int) error {
	switch {
	case !given:
		return fmt.Errorf("--%s is missing, and there is no value that suits every measurement; give one in 1..%d", name, high)
	case value < 1 || value > high:
		return fmt.Errorf("--%s %d is out of bounds, so the attack could not be carried out as asked; give one in 1..%d", name, value, high)
	}
	return nil
}

// checkURL takes plain HTTP only: in a mesh the sidecar adds mutual TLS, and the image carries no certificates.
func checkURL(text string) error {
	if text == "" {
		return errors.New("--url is missing, so there is nothing to send requests to; give http://host[:port]/...")
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "http" || parsed.Hostname() == "" {
		return fmt.Errorf("--url %q is no address that plain HTTP requests can go to; give http://host[:port]/...", text)
	}
	return nil
}
