package natsq

import (
	"sync"

	"github.com/google/uuid"
)

// turns bounds how many work at once. Those who wait are let in partner after partner, so
// that the many of one stand before nobody else. Safe for concurrent use.
type turns struct {
	mu   sync.Mutex
	free int
	// waiting are those who wait, and next the partners who have some, in turn.
	waiting map[uuid.UUID][]chan struct{}
	next    []uuid.UUID
}

func newTurns(most int) *turns {
	return &turns{free: most, waiting: map[uuid.UUID][]chan struct{}{}}
}

// wait returns when it is the partner's turn; leave must follow.
func (t *turns) wait(partner uuid.UUID) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return
	}
	let := make(chan struct{})
	if len(t.waiting[partner]) == 0 {
		t.next = append(t.next, partner)
	}
	t.waiting[partner] = append(t.waiting[partner], let)
	t.mu.Unlock()
	<-let
}

// leave lets the next one in.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.next) == 0 {
		t.free++
		return
	}
	partner := t.next[0]
	t.next = t.next[1:]
	all := t.waiting[partner]
	close(all[0])
	if len(all) > 1 {
		t.waiting[partner] = all[1:]
		t.next = append(t.next, partner)
	} else {
		delete(t.waiting, partner)
	}
}
