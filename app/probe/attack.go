package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const (
	// flushEvery keeps the promise that a line waits at most 100 ms, with room for a late tick.
	flushEvery   = 50 * time.Millisecond
	outputBuffer = 64 << 10
	// maxBody bounds what is recorded of an answer, in bytes: echo's take about 50, and those of other services are not read.
	maxBody = 512
	// upstreamHeader is set by an Envoy on answers that came from a host of its cluster, and on none of its own.
	upstreamHeader = "X-Envoy-Upstream-Service-Time"
	// idleConnTimeout outlasts the pause between two requests of a worker at any rate that keeps it in use.
	idleConnTimeout = 90 * time.Second
)

// record is one line of the output. Code is 0 if no whole answer came. Error is empty for codes 200..399. Body has at
// most maxBody bytes and no line end behind it. AtNs is when the request began, as Unix time. Request is the number of its
// kind. Subset is the value of the version header, also of at most maxBody bytes; Upstream is whether an Envoy says that
// the answer is not its own.
type record struct {
	Seq       uint64 `json:"seq"`
	Code      uint16 `json:"code"`
	Body      string `json:"body"`
	Error     string `json:"error"`
	LatencyNs int64  `json:"latency_ns"`
	AtNs      int64  `json:"at_ns"`
	Request   int    `json:"request,omitempty"`
	Subset    string `json:"subset,omitempty"`
	Upstream  bool   `json:"upstream,omitempty"`
}

// attack carries out a plan and writes a record for each request. It returns how many requests were sent, how late the
// latest of them was, and an error that says what stopped it early or kept a record from being written; it never stops
// between a request and its record.
func attack(ctx context.Context, p plan, out io.Writer) (sent int, late time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	attacker := vegeta.NewAttacker(
		vegeta.Client(newClient(p)),
		vegeta.Workers(uint64(p.workers)),
		vegeta.MaxWorkers(uint64(p.workers)),
		vegeta.MaxBody(maxBody),
	)
	// The pacer notices a stop between two requests; this one frees an attack whose workers are all busy.
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()

	began := time.Now()
	results := attacker.Attack(interleaved(p.kinds), newPacer(ctx, p), 0, "")
	buffer := bufio.NewWriterSize(out, outputBuffer)
	lines := json.NewEncoder(buffer)
	lines.SetEscapeHTML(false)
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	for {
		var failed error
		select {
		case result, open := <-results:
			if !open {
				if err := buffer.Flush(); err != nil {
					return sent, late, fmt.Errorf("cannot write the output: %w", err)
				}
				if sent < p.requests {
					return sent, late, context.Cause(ctx)
				}
				return sent, late, nil
			}
			sent++
			due := began.Add(time.Duration(result.Seq) * time.Second / time.Duration(p.rate))
			late = max(late, result.Timestamp.Sub(due))
			failed = lines.Encode(recordOf(result, p.versionHeader))
		case <-flush.C:
			failed = buffer.Flush()
		}
		if failed != nil {
			cancel(fmt.Errorf("cannot write the output: %w", failed))
		}
	}
}

func recordOf(r *vegeta.Result, versionHeader string) record {
	subset := r.Headers.Get(versionHeader)
	return record{
		Seq:       r.Seq,
		Code:      r.Code,
		Body:      strings.TrimRight(string(r.Body), "\r\n"),
		Error:     r.Error,
		LatencyNs: r.Latency.Nanoseconds(),
		AtNs:      r.Timestamp.UnixNano(),
		Request:   numberOf(r.URL),
		Subset:    subset[:min(len(subset), maxBody)],
		Upstream:  r.Headers.Get(upstreamHeader) != "",
	}
}

// newClient keeps a connection for each worker, takes no proxy from the environment and follows no redirect: every
// request goes to the address that is measured, and is counted once. It checks no certificate.
func newClient(p plan) *http.Client {
	dialer := net.Dialer{Timeout: p.timeout}
	return &http.Client{
		Timeout: p.timeout,
		Transport: progress{&http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, cmp.Or(p.connectTo, address))
			},
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
			MaxIdleConnsPerHost: p.workers,
			MaxConnsPerHost:     p.workers,
			IdleConnTimeout:     idleConnTimeout,
			DisableCompression:  true,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// pacer holds a rate for a number of requests, and ends the attack when ctx is done. An attack that fell behind, because
// all workers were busy, catches up as fast as they can.
type pacer struct {
	vegeta.ConstantPacer
	ctx      context.Context
	requests int
}

func newPacer(ctx context.Context, p plan) pacer {
	return pacer{ConstantPacer: vegeta.ConstantPacer{Freq: p.rate, Per: time.Second}, ctx: ctx, requests: p.requests}
}

// Pace waits by itself instead of returning the wait: the attacker would sleep on it, deaf to a stop.
func (p pacer) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	if hits >= uint64(p.requests) {
		return 0, true
	}
	wait, stop = p.ConstantPacer.Pace(elapsed, hits)
	if stop || p.ctx.Err() != nil {
		return 0, true
	}
	if wait <= 0 {
		return 0, false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.ctx.Done():
		return 0, true
	case <-timer.C:
		return 0, false
	}
}
