package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const adminTimeout = 5 * time.Second

// runFault turns the fault of the server in the same pod on or off, and returns the exit code.
func runFault(ctx context.Context, args []string, lookup lookupEnv, stdout, stderr io.Writer) int {
	wanted, err := parseFaultArgs(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	env := environment{lookup: lookup}
	port := env.adminPort()
	if err := errors.Join(append(env.problems, err)...); err != nil {
		fmt.Fprintf(stderr, "echo fault: %v; see `echo help`\n", err)
		return exitUsage
	}
	if err := sendFault(ctx, adminAddress(port), wanted); err != nil {
		fmt.Fprintf(stderr, "echo fault: %v\n", err)
		return exitFailed
	}
	if wanted == (fault{}) {
		fmt.Fprintln(stdout, "fault off")
	} else {
		fmt.Fprintf(stdout, "fault on: status %d for %d percent of the requests to /\n", wanted.Status, wanted.Percent)
	}
	return exitOK
}

// parseFaultArgs returns the fault that was asked for; the zero value means off.
func parseFaultArgs(args []string) (fault, error) {
	flags := flag.NewFlagSet("fault", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	status := flags.Int("status", 0, "")
	percent := flags.Int("percent", maxFaultPercent, "")
	off := flags.Bool("off", false, "")
	if err := flags.Parse(args); err != nil {
		return fault{}, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 0:
		return fault{}, fmt.Errorf("%q is one argument too many, so it is not clear what to do; leave it out", flags.Arg(0))
	case *off && (given["status"] || given["percent"]):
		return fault{}, errors.New("--off stands beside --status or --percent, which contradict it; give one or the other")
	case *off:
		return fault{}, nil
	case !given["status"]:
		return fault{}, errors.New("neither --status nor --off is given, so there is nothing to do; give one of them")
	}
	wanted := fault{Status: *status, Percent: *percent}
	return wanted, wanted.check()
}

func sendFault(ctx context.Context, address string, wanted fault) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	request, err := faultRequest(ctx, "http://"+address+"/fault", wanted)
	if err != nil {
		return err
	}
	// A transport of its own: an HTTP_PROXY of the pod must not get a request meant for loopback.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no server answers on %s, so nothing changed; run this inside the pod of a running echo, with its ADMIN_PORT: %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, maxFaultBody))
		return fmt.Errorf("the server on %s answered %s, so nothing changed; check that ADMIN_PORT is echo's: %s",
			address, response.Status, strings.TrimSpace(string(reason)))
	}
	return nil
}

func faultRequest(ctx context.Context, url string, wanted fault) (*http.Request, error) {
	if wanted == (fault{}) {
		return http.NewRequestWithContext(ctx, http.MethodDelete, url, nil)
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	return http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
}
