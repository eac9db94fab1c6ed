package history

import (
	"fmt"
	"slices"
)

// checkEnds is P1: every answered write ends, and what ends was asked for.
func (x *index) checkEnds() {
	for i := range x.Requests {
		r := &x.Requests[i]
		if !r.accepted() {
			continue
		}
		op := x.operations[r.Operation]
		switch {
		case op == nil && x.untold(r):
			x.residue(LostUntold, r.Operation)
		case op == nil:
			x.violate(Lost, fmt.Sprintf("request %s was answered %d; the api does not know the operation", r.Marker, r.Status), r.Operation)
		case !terminal(op.Status):
			x.violate(Lost, fmt.Sprintf("request %s was answered %d; the operation is %s", r.Marker, r.Status, op.Status), r.Operation)
		}
	}
	for marker, ops := range x.byMarker {
		r := x.requests[marker]
		for _, op := range ops {
			switch {
			case r == nil:
				x.violate(Unasked, fmt.Sprintf("no request has the marker %q", marker), op.ID)
			case r.accepted() && r.Operation != op.ID && len(ops) == 1:
				x.violate(Unasked, fmt.Sprintf("request %s was answered with operation %s", marker, r.Operation), op.ID)
			case !r.accepted() && !r.open():
				x.violate(Unasked, fmt.Sprintf("request %s was refused with %d", marker, r.Status), op.ID)
			case r.open() && !terminal(op.Status):
				// Nobody was promised anything, but what is stored must end all the same.
				x.violate(Lost, fmt.Sprintf("request %s was not answered; its operation is %s", marker, op.Status), op.ID)
			}
		}
		if len(ops) > 1 {
			x.violate(Doubled, fmt.Sprintf("request %s has %d operations", marker, len(ops)), ids(ops)...)
		}
	}
}

// checkFinal is P7: a terminal state stays, and the stream says it under one id.
func (x *index) checkFinal() {
	reads := slices.Clone(x.Reads)
	slices.SortStableFunc(reads, func(a, b Read) int { return int(a.At - b.At) })
	ended := map[string]string{}
	for _, r := range reads {
		was, ok := ended[r.Operation]
		if ok && was != r.Status {
			x.violate(Changed, fmt.Sprintf("was read as %s, at %s as %s", was, r.At, r.Status), r.Operation)
		}
		if terminal(r.Status) {
			ended[r.Operation] = r.Status
		}
	}
	for i := range x.Operations {
		if op := &x.Operations[i]; terminal(op.Status) {
			x.checkFinalEvents(op)
			if was, ok := ended[op.ID]; ok && was != op.Status {
				x.violate(Changed, fmt.Sprintf("was read as %s, is %s", was, op.Status), op.ID)
			}
		}
	}
}

func (x *index) checkFinalEvents(op *Operation) {
	final := map[string]bool{}
	want := map[string]string{Success: "succeeded", Failed: "failed"}[op.Status]
	for _, e := range x.events[op.ID] {
		if e.Kind == attempted {
			continue
		}
		final[e.ID] = true
		if e.Kind != want {
			x.violate(Contradiction, fmt.Sprintf("event %s says %s, the operation is %s", e.ID, e.Kind, op.Status), op.ID)
		}
	}
	switch {
	case len(final) == 0:
		x.violate(NoFinalEvent, fmt.Sprintf("the operation is %s", op.Status), op.ID)
	case len(final) > 1:
		x.violate(UnstableID, fmt.Sprintf("%d ids", len(final)), op.ID)
	}
}

func ids(ops []*Operation) []string {
	out := make([]string, len(ops))
	for i, op := range ops {
		out[i] = op.ID
	}
	return out
}
