package history

import "fmt"

// checkLog is the first half of P2: calls and log rows belong together.
func (x *index) checkLog() {
	for _, c := range x.calls {
		switch {
		case c.row == nil && x.forgotten(c):
			x.residue(Forgotten, c.ID)
		case c.op == nil:
			x.violate(Unlogged, fmt.Sprintf("call %s with marker %q belongs to no operation", c.ID, c.Marker), c.ID)
		case c.row == nil:
			x.violate(Unlogged, fmt.Sprintf("call %s at %s (%d) has no row among %d", c.ID, c.Start, c.Status, len(c.op.Rows)), c.op.ID, c.ID)
		case x.late(c):
			x.residue(SentLate, c.op.ID)
		}
	}
	for i := range x.Operations {
		op := &x.Operations[i]
		limits := x.Limits[op.Connection]
		if limits.Silent {
			continue
		}
		found := map[*Row]bool{}
		for _, c := range x.ofOp[op.ID] {
			found[c.row] = true
		}
		for j := range op.Rows {
			row := &op.Rows[j]
			if _, must := row.called(limits.Reads); must && !found[row] {
				x.violate(Uncalled, fmt.Sprintf("row %s (%s %s %d) at %s", row.ID, row.Status, row.ErrorType, row.Code, row.Start), op.ID, row.ID)
			}
		}
	}
}

// checkRepeats is the second half of P2: after a recorded success there is no
// further call. A success that was recorded only after its lease had ended cannot
// hold back a repeat that was handed out before.
func (x *index) checkRepeats() {
	for id, calls := range x.ofOp {
		for i, done := range calls {
			if done.row == nil || done.row.Status != Success {
				continue
			}
			for _, again := range calls[i+1:] {
				if x.late(again) {
					continue // its process had decided before; counted by checkLog
				}
				recorded, seen := x.known[done.row.ID]
				began := again.begin(x.Transit)
				switch {
				case x.forgotten(done) && !seen:
					x.residue(Forgotten, done.ID)
				case !x.expired(done, again.Start):
					x.violate(Repeated, fmt.Sprintf("call %s succeeded at %s, call %s came at %s, within the lease", done.ID, done.End, again.ID, again.Start), id)
				case seen && began > recorded+x.StartWindow:
					x.violate(Repeated, fmt.Sprintf("the success of call %s was in the stream at %s, call %s began at %s", done.ID, recorded, again.ID, began), id)
				default:
					x.residue(RecordedLate, id)
				}
			}
		}
	}
}
