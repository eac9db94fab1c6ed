// Package convoy lets calls that come at the same time travel together: while some are
// under way, further ones are collected, and leave together as the next. Nothing waits
// for a timer, and no goroutine is started: one of those who travel drives.
package convoy

import (
	"context"
	"sync"
	"time"
)

// Convoy carries calls of one kind. Its exported fields are set before the first use.
// Safe for concurrent use.
type Convoy[T any] struct {
	// Travel takes a group to its end. It must return by itself, whatever becomes of
	// the callers. The slice is its own.
	Travel func(group []T)
	// Room is the most calls of a group.
	Room int
	// Fit says how many of those who wait, from the first on, fit into a group; at least
	// one does. Nil: as many as there is room for.
	Fit func(waiting []T) int
	// Stayed is told of each call that will never travel, since its caller went before it
	// could leave; Do returns after that. Nil: nobody is told.
	Stayed func(call T)
	// Slow is after which time a group does not hold the next one back, or slowFactor times
	// what groups usually take, if that is more: when all are slow, since there is too much
	// to do, it helps nobody if more leave with less. Most bounds the groups under way.
	Slow time.Duration
	Most int

	mu      sync.Mutex
	waiting []*rider[T]
	driving int
	left    time.Time     // when the last group left
	usual   time.Duration // how long groups take, smoothed
}

const (
	slowFactor = 4
	// smooth is how many groups it takes until another pace is the usual one, which is not
	// slower than usualMost: that is not for want of time, something hangs.
	smooth    = 8
	usualMost = 25 * time.Millisecond
)

// rider is a caller. Its turn comes once: with a group that it drives, or with nil when
// it has arrived.
type rider[T any] struct {
	call         T
	turn         chan *group[T]
	drives, gone bool
	// boarded says that it is of a group.
	boarded bool
}

type group[T any] struct {
	riders []*rider[T]
	calls  []T
}

// Do returns when the call has travelled, or with the cause of ctx when that ends before;
// a call that has left by then still arrives.
func (c *Convoy[T]) Do(ctx context.Context, call T) error {
	r := &rider[T]{call: call, turn: make(chan *group[T], 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, r)
	g := c.board()
	c.mu.Unlock()
	if g != nil && c.drive(g, r) {
		return nil
	}
	select {
	case g := <-r.turn:
		if g != nil {
			c.drive(g, r)
		}
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	r.gone = true
	drives, boarded := r.drives, r.boarded
	c.mu.Unlock()
	if !boarded && c.Stayed != nil {
		c.Stayed(call)
	}
	if drives { // the others wait for it
		go c.drive(<-r.turn, r)
	}
	return context.Cause(ctx)
}

// may says whether a group may leave now.
func (c *Convoy[T]) may() bool {
	if c.driving == 0 {
		return true
	}
	return c.driving < c.Most && time.Since(c.left) > max(c.Slow, slowFactor*c.usual)
}

// board takes those who leave next, without those who are gone; nil if there are none, or
// if they have to wait. The caller holds the lock.
func (c *Convoy[T]) board() *group[T] {
	for len(c.waiting) > 0 && c.may() {
		g := &group[T]{}
		n := min(len(c.waiting), c.Room)
		for _, r := range c.waiting[:n] {
			g.calls = append(g.calls, r.call)
		}
		if c.Fit != nil {
			n = min(n, max(1, c.Fit(g.calls)))
		}
		g.calls = g.calls[:0]
		for _, r := range c.waiting[:n] {
			if !r.gone {
				r.boarded = true
				g.riders, g.calls = append(g.riders, r), append(g.calls, r.call)
			}
		}
		if c.waiting = c.waiting[n:]; len(c.waiting) == 0 {
			c.waiting = nil
		}
		if len(g.riders) > 0 {
			c.driving++
			c.left = time.Now()
			return g
		}
	}
	return nil
}

// drive takes a group to its end, and lets the first of those who came meanwhile drive
// the next. It reports whether the driver was of the group.
func (c *Convoy[T]) drive(g *group[T], driver *rider[T]) (mine bool) {
	began := time.Now()
	c.Travel(g.calls)
	c.mu.Lock()
	c.usual += (min(time.Since(began), usualMost) - c.usual) / smooth
	c.driving--
	next := c.board()
	if next != nil {
		next.riders[0].drives = true
	}
	c.mu.Unlock()
	if next != nil {
		next.riders[0].turn <- next
	}
	for _, r := range g.riders {
		if r == driver {
			mine = true
		} else {
			r.turn <- nil
		}
	}
	return mine
}
