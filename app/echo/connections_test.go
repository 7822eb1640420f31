package main

import (
	"net"
	"net/http"
	"testing"
)

func TestConnectionIsBusyUntilItsRequestIsAnswered(t *testing.T) {
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	var busy busyConnections
	for _, step := range []struct {
		state http.ConnState
		busy  bool
	}{
		{http.StateNew, true},
		{http.StateActive, true},
		{http.StateIdle, false},
		{http.StateActive, true},
		{http.StateClosed, false},
	} {
		busy.track(conn, step.state)
		if busy.none() == step.busy {
			t.Errorf("a connection that became %s: busy is %t, want %t", step.state, !step.busy, step.busy)
		}
	}
}
