package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// progress says of a request that got no answer how far it came: the client's own words for a timeout are the same
// whether no name was found, no connection was made, or no answer came.
type progress struct{ http.RoundTripper }

func (p progress) RoundTrip(request *http.Request) (*http.Response, error) {
	var stage atomic.Value
	stage.Store("waiting for a connection")
	trace := &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { stage.Store("looking up the address") },
		ConnectStart:      func(string, string) { stage.Store("connecting") },
		TLSHandshakeStart: func() { stage.Store("agreeing on TLS") },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { stage.Store("waiting for a connection") },
		GotConn:           func(httptrace.GotConnInfo) { stage.Store("sending") },
		WroteRequest:      func(httptrace.WroteRequestInfo) { stage.Store("waiting for the answer") },
	}
	answer, err := p.RoundTripper.RoundTrip(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return nil, fmt.Errorf("%w while %s", err, stage.Load())
	}
	return answer, nil
}
