package work

import (
	"context"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// wake is a message that waits for a slot.
type wake struct {
	operation.Message
	ack, nak func()
}

// serving looks at a lane with n slots, for a message if there is one, and does not wait.
type serving = func(msg *wake, lane uuid.UUID, n int)

const mostGlances = 16

// woken serves a message if a slot is free, and holds it until one is. A full worker that
// has looked at the lane since the operation was accepted knows what the message says: the
// lane gets its turn, but not before those that nobody has looked at.
func (w *Worker) woken(ctx context.Context, m *wake, serve serving) {
	select {
	case <-w.slots:
		serve(m, m.ConnectionID, 1)
		return
	default:
	}
	if w.Free() == 0 && w.lanes.lookedSince(m.ConnectionID, m.CreatedAt()) {
		select {
		case w.glances <- struct{}{}:
		case <-ctx.Done():
			m.nak()
			return
		}
		w.glancing.Go(func() {
			defer func() { <-w.glances }()
			w.glance(ctx, m)
		})
		return
	}
	w.knocking.Add(1)
	defer w.knocking.Add(-1)
	select {
	case w.quiet <- *m:
	case <-ctx.Done():
		m.nak()
	}
}

// glance takes note of a message that says nothing new: its operation is in the store, or
// is put back by a look.
func (w *Worker) glance(ctx context.Context, msg *wake) {
	ask, cancel := context.WithTimeout(ctx, 3*time.Second)
	have, due, err := w.parts.Store.Have(ask, msg.ConnectionID, msg.ID)
	cancel()
	if err == nil && have {
		msg.ack()
	} else {
		var out redisstore.Handout
		out, err = w.look(ctx, ctx, msg, msg.ConnectionID, 0)
		due = out.More
	}
	if err == nil && due {
		w.lanes.more(msg.ConnectionID)
	}
}

// job is what a slot is to do: look at a lane, for a message if there is one, or make the
// call of a lease.
type job struct {
	msg   *wake
	lane  uuid.UUID
	lease *redisstore.Lease
}

// dispatch gives each free slot its work: a waiting quiet wake first, then the lane longest
// due, then one of our own with work left, then what is handed over for a free slot.
func (w *Worker) dispatch(ctx context.Context, serve serving, run func(redisstore.Lease)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.slots:
		}
		j, ok := w.nextJob(ctx)
		switch {
		case !ok:
			w.slots <- struct{}{}
			return nil
		case j.lease != nil:
			run(*j.lease)
		case j.msg != nil:
			serve(j.msg, j.lane, 1)
		default:
			serve(nil, j.lane, 1+w.takeFree(w.cfg.Concurrency/4))
		}
	}
}

func (w *Worker) nextJob(ctx context.Context) (job, bool) {
	w.waiting.Store(1)
	defer w.waiting.Store(0)
	for {
		select {
		case m := <-w.quiet:
			return job{msg: &m, lane: m.ConnectionID}, true
		default:
		}
		if lane, ok := w.lanes.take(); ok {
			return job{lane: lane}, true
		}
		select {
		case m := <-w.quiet:
			return job{msg: &m, lane: m.ConnectionID}, true
		case <-w.lanes.some:
		case lease := <-w.direct:
			return job{lease: &lease}, true
		case <-ctx.Done():
			return job{}, false
		}
	}
}

// takeFree takes up to n more free slots without waiting.
func (w *Worker) takeFree(n int) int {
	for got := range n {
		select {
		case <-w.slots:
		default:
			return got
		}
	}
	return n
}

func (w *Worker) giveBack(n int) {
	for range n {
		w.slots <- struct{}{}
	}
	w.freed()
}
