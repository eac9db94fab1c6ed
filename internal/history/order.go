package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// checkOrder is P3 in real time: of two writes of one user, the one that was
// answered before the other was sent goes first, and has ended before the other
// starts.
func (x *index) checkOrder() {
	writes := map[mailbox][]*Request{}
	for i := range x.Requests {
		r := &x.Requests[i]
		if len(x.byMarker[r.Marker]) > 0 {
			at := mailbox{r.Connection, r.User}
			writes[at] = append(writes[at], r)
		}
	}
	for _, list := range writes {
		slices.SortStableFunc(list, func(a, b *Request) int { return cmp.Compare(a.Sent, b.Sent) })
		for i, newer := range list {
			for _, older := range list[:i] {
				if older.accepted() && older.Answered < newer.Sent {
					x.checkPair(x.byMarker[older.Marker][0], x.byMarker[newer.Marker][0])
				}
			}
		}
	}
}

func (x *index) checkPair(older, newer *Operation) {
	calls := x.ofOp[newer.ID]
	if len(calls) == 0 {
		return
	}
	first := calls[0]
	completed := x.completedLate(older, first.Start) // which moves the time of the last change
	for _, c := range x.ofOp[older.ID] {
		switch {
		case c.Start <= first.Start || x.late(c):
		case x.overtakenInDark(first, c.Start):
			x.residue(DarkOrder, older.ID)
		default:
			x.violate(OutOfOrder, fmt.Sprintf("call %s at %s came after call %s at %s", c.ID, c.Start, first.ID, first.Start), older.ID, newer.ID)
		}
	}
	for _, row := range older.Rows {
		completed = completed || x.unknown[row.ID]
	}
	switch {
	case !terminal(older.Status) || older.Updated <= first.Start || completed || x.late(first):
	case x.endedInDark(older):
		x.residue(DarkOrder, older.ID)
	default:
		x.violate(StartedEarly, fmt.Sprintf("call %s came at %s, the older write changed at %s", first.ID, first.Start, older.Updated), older.ID, newer.ID)
	}
}

// completedLate reports that the operation may have ended by then with the success of a repeat, and
// that the outcome of the call before it, whose lease had run out, may have come after. The stream
// does not say so if the events waited for both.
func (x *index) completedLate(op *Operation, by time.Duration) bool {
	for _, done := range op.Rows {
		if done.Status != Success || done.End > by {
			continue
		}
		// The call of the row before may have come later than that of the repeat, or never.
		if slices.ContainsFunc(op.Rows, func(before Row) bool { return x.leaseOver(op.Connection, before.Start, done.Start) }) {
			return true
		}
	}
	return false
}

// checkOverlap is P3 at any moment: one user is called once at a time, unless the
// lease of a call whose outcome is unknown has run out.
func (x *index) checkOverlap() {
	for _, calls := range x.ofUser {
		for i, c := range calls {
			for _, next := range calls[i+1:] {
				if next.Start >= c.over() && c.over() != 0 {
					continue
				}
				switch {
				case x.late(c) || x.late(next):
					// Counted by checkLog.
				case x.expired(c, next.Start):
					x.residue(LeaseOverlap, next.ID)
				default:
					x.violate(Overlap, fmt.Sprintf("call %s was under way from %s to %s, call %s came at %s", c.ID, c.Start, c.over(), next.ID, next.Start), c.ID, next.ID)
				}
			}
		}
	}
}
