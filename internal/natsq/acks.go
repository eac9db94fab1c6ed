package natsq

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ackEvery is how long acks are collected. Nothing waits for them, and one alone would
// wake the connection's writer, and the server for it.
const ackEvery = 20 * time.Millisecond

// acks sends the acks of messages together. The zero value collects. Safe for concurrent
// use.
type acks struct {
	mu      sync.Mutex
	waiting []jetstream.Msg
	ended   bool
}

// add acks a message, soon. One whose ack gets lost is given out again, which does no
// harm.
func (a *acks) add(msg jetstream.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		_ = msg.Ack()
		return
	}
	if a.waiting = append(a.waiting, msg); len(a.waiting) == 1 {
		time.AfterFunc(ackEvery, a.flush)
	}
}

func (a *acks) flush() {
	a.mu.Lock()
	all := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	for _, msg := range all {
		_ = msg.Ack()
	}
}

// end acks what waits, and from now on at once.
func (a *acks) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.flush()
}
