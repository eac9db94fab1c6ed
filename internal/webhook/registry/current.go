package registry

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Current waits until the copy holds all that the bucket held when it was called:
// whoever fans an event out after that misses no subscription that was answered
// before the event. Calls at the same time share a question to NATS. An error means
// that the copy may be behind. Safe for concurrent use.
func (r *Registry) Current(ctx context.Context) error {
	last, err := r.newest.ask(ctx, r.last)
	if err != nil {
		return fmt.Errorf("registry: how far the bucket is: %w", err)
	}
	if err := r.seen.await(ctx, last); err != nil {
		return fmt.Errorf("registry: the copy is behind the bucket: %w", err)
	}
	return nil
}

// place is how far the bucket was read. The zero value is its start.
type place struct {
	mu    sync.Mutex
	at    uint64
	moved chan struct{} // closed when at has moved; nil: nobody waits
}

func (p *place) get() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// reach moves the place on, and never back.
func (p *place) reach(at uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at > p.at {
		p.set(at)
	}
}

// reset moves the place back to the start.
func (p *place) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(0)
}

func (p *place) set(at uint64) {
	p.at = at
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

// await returns when the place is at least the given one.
func (p *place) await(ctx context.Context, at uint64) error {
	for {
		p.mu.Lock()
		if p.at >= at {
			p.mu.Unlock()
			return nil
		}
		if p.moved == nil {
			p.moved = make(chan struct{})
		}
		moved := p.moved
		p.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// askSpacing keeps questions apart: a busy process asks two hundred times a second, an
// idle one at once.
const askSpacing = 5 * time.Millisecond

// question is one that may be shared: its answer is of a time after everybody who
// shares it has called. Only one is asked at a time.
type question struct {
	turn chan struct{} // holds a token while one is asked
	// asked is when the last one was; only the holder of the turn uses it.
	asked time.Time

	mu   sync.Mutex
	next *answer
}

type answer struct {
	done chan struct{}
	last uint64
	err  error
}

func newQuestion() *question { return &question{turn: make(chan struct{}, 1)} }

// ask gives the answer to a question that is put after the call. The first to want
// one asks for all who come before it is put.
func (q *question) ask(ctx context.Context, put func(context.Context) (uint64, error)) (uint64, error) {
	q.mu.Lock()
	a, mine := q.next, q.next == nil
	if mine {
		a = &answer{done: make(chan struct{})}
		q.next = a
	}
	q.mu.Unlock()
	if mine {
		a.last, a.err = q.put(ctx, a, put)
		close(a.done)
		return a.last, a.err
	}
	select {
	case <-a.done:
		return a.last, a.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (q *question) put(ctx context.Context, a *answer, put func(context.Context) (uint64, error)) (uint64, error) {
	defer q.shut(a)
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if wait := askSpacing - time.Since(q.asked); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	q.asked = time.Now()
	q.shut(a) // who comes from now on may know of something newer
	return put(ctx)
}

// shut ends the sharing of a question.
func (q *question) shut(a *answer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == a {
		q.next = nil
	}
}
