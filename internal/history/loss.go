package history

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Loss is a time in which the store lost data: of what it was told between Since
// and Until it may know nothing any more. Before Since it knew everything.
type Loss struct{ Since, Until time.Duration }

// memory bounds how long what happened may be in the store alone, before a stream
// has it: an outage of NATS in these tests, or a process that stands still.
const memory = 30 * time.Second

// within reports whether something of that moment may be gone.
func (l Loss) within(at time.Duration) bool { return at <= l.Until && at > l.Since-memory }

// forgotten reports a call whose outcome a loss took before the stream had it.
func (x *index) forgotten(c *call) bool {
	return slices.ContainsFunc(x.Losses, func(l Loss) bool { return x.forgottenBy(c, l) })
}

func (x *index) forgottenBy(c *call, l Loss) bool {
	if !l.within(c.Start) {
		// Handed out before the loss, which took the lease with it, and made within its
		// window: nothing was left that could say more of it than its worker.
		return c.row == nil && x.outlived(c, l)
	}
	// A call that came after its row had ended may as well be one whose own row is gone.
	if c.row == nil || x.late(c) {
		return true
	}
	at, known := x.known[c.row.ID]
	return !known || at > l.Until
}

// untold reports an answered write that a loss took while no stream knew of it: of
// a sync one only its end is told, of others the api says that it could not.
func (x *index) untold(r *Request) bool {
	if x.streamed[r.Operation] || len(x.events[r.Operation]) > 0 || !r.Sync && !x.Untold[r.Operation] {
		return false
	}
	return slices.ContainsFunc(x.Losses, func(l Loss) bool {
		return r.Sent < l.Until && l.within(min(r.Answered, l.Until))
	})
}

// overtakenInDark reports that an older write may have come after the newer one,
// since a loss took what both had done.
func (x *index) overtakenInDark(newer *call, older time.Duration) bool {
	return slices.ContainsFunc(x.Losses, func(l Loss) bool { return older > l.Until && x.forgottenBy(newer, l) })
}

// endedInDark reports that the operation may have ended before, in a loss that took
// its end.
func (x *index) endedInDark(op *Operation) bool {
	told := time.Duration(0)
	for _, e := range x.events[op.ID] {
		if e.Kind != attempted && (told == 0 || e.At < told) {
			told = e.At
		}
	}
	return slices.ContainsFunc(x.Losses, func(l Loss) bool {
		return told > l.Since && slices.ContainsFunc(x.ofOp[op.ID], func(c *call) bool { return x.forgottenBy(c, l) || x.outlived(c, l) })
	})
}

// outlived reports a call that was handed out before a loss and made after it: the store was told
// of it, and of its operation, when it could be asked again, and newer writes may have come before.
func (x *index) outlived(c *call, l Loss) bool {
	return c.Start > l.Until && l.within(c.Start-x.StartWindow)
}

// checkRestored is P10: what the streams tell of, the api knows, with every row.
func (x *index) checkRestored() {
	told := maps.Clone(x.streamed)
	for id := range x.events {
		told[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(told)) {
		op := x.operations[id]
		if op == nil {
			x.violate(Vanished, "the streams tell of the operation; the api does not know it", id)
			continue
		}
		has := map[string]bool{}
		for _, row := range op.Rows {
			has[row.ID] = true
		}
		for _, e := range x.events[id] {
			for _, row := range e.Rows {
				if !has[row.ID] {
					has[row.ID] = true // said once
					x.violate(LogLost, fmt.Sprintf("event %s at %s has row %s (%s)", e.ID, e.At, row.ID, row.Status), id, row.ID)
				}
			}
		}
	}
}
