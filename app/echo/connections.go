package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// quietPoll is how often a server that shuts down looks whether its connections have become quiet.
const quietPoll = 5 * time.Millisecond

// busyConnections are those that carry a request or have not carried one yet. It is safe for concurrent use; its zero
// value is empty.
type busyConnections struct {
	mutex sync.Mutex
	open  map[net.Conn]struct{}
}

// track is an http.Server's ConnState hook.
func (b *busyConnections) track(conn net.Conn, state http.ConnState) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	switch state {
	case http.StateNew, http.StateActive:
		if b.open == nil {
			b.open = make(map[net.Conn]struct{})
		}
		b.open[conn] = struct{}{}
	default:
		delete(b.open, conn)
	}
}

func (b *busyConnections) none() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return len(b.open) == 0
}

// awaitNone returns when no connection is busy, or when ctx is done.
func (b *busyConnections) awaitNone(ctx context.Context) {
	poll := time.NewTicker(quietPoll)
	defer poll.Stop()
	for !b.none() {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
