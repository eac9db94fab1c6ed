package work

import (
	"sync"
	"sync/atomic"
)

// crew runs functions side by side, on goroutines that it keeps for the next ones: each
// new one would have to grow its stack to the depth of a call again. Safe for concurrent
// use.
type crew struct {
	next    chan func()
	idle    atomic.Int32
	most    int32 // idle goroutines that are kept
	running sync.WaitGroup
	members sync.WaitGroup
}

func newCrew(most int) *crew { return &crew{next: make(chan func()), most: int32(most)} }

// Go runs f on an idle goroutine, and on a new one if there is none.
func (c *crew) Go(f func()) {
	c.running.Add(1)
	select {
	case c.next <- f:
	default:
		c.members.Go(func() { c.serve(f) })
	}
}

func (c *crew) serve(f func()) {
	for more := true; more; {
		f()
		c.running.Done()
		if c.idle.Add(1) <= c.most {
			f, more = <-c.next
		} else {
			more = false
		}
		c.idle.Add(-1)
	}
}

// Wait waits until all functions have returned, and ends the crew.
func (c *crew) Wait() {
	c.running.Wait()
	close(c.next)
	c.members.Wait()
}
