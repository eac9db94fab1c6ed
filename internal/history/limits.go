package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// block is a time in which a connection must not be called.
type block struct {
	recorded, until time.Duration
	why             string
}

// tolerance covers the resolutions of an HTTP date and of stored times.
const tolerance = time.Second + 2*time.Millisecond

// checkEarly is P5's wait: nothing is handed out from the moment a Retry-After is
// on record until it is over.
func (x *index) checkEarly() {
	for connection, blocks := range x.blocks() {
		for _, c := range x.ofConn[connection] {
			if !x.late(c) {
				x.checkWait(c, blocks)
			}
		}
	}
}

func (x *index) checkWait(c *call, blocks []block) {
	began, window := c.begin(x.Transit), false
	latest := began
	if c.row == nil {
		latest = c.Start // nobody knows when its worker made it
	}
	for _, b := range blocks {
		switch {
		case began <= b.recorded || latest >= b.until:
		case began <= b.recorded+x.StartWindow:
			window = true
		default:
			x.violate(Early, fmt.Sprintf("call %s began at %s; %s until %s was on record at %s", c.ID, began, b.why, b.until, b.recorded), c.ID)
			return
		}
	}
	if window {
		x.residue(WindowHandOuts, c.ID)
	}
}

// blocks come from the rows, by what the provider asked for, and from the events,
// by what we say ourselves. The stream tells when it was on record at the latest.
func (x *index) blocks() map[string][]block {
	out := map[string][]block{}
	for i := range x.Operations {
		op := &x.Operations[i]
		for _, row := range op.Rows {
			if at, ok := x.known[row.ID]; ok && row.RetryAfter > 0 {
				out[op.Connection] = append(out[op.Connection], block{at, row.End + row.RetryAfter - tolerance, "the wait of row " + row.ID})
			}
		}
		for _, e := range x.events[op.ID] {
			if e.Blocked > e.At {
				out[op.Connection] = append(out[op.Connection], block{e.At, e.Blocked, "the wait of event " + e.ID})
			}
		}
	}
	return out
}

// slack is how far the clocks of worker and provider may differ in what they call
// the end of a call.
const slack = 5 * time.Millisecond

// checkInFlight is P5's cap.
func (x *index) checkInFlight() {
	type edge struct {
		at   time.Duration
		step int
		id   string
	}
	for connection, calls := range x.ofConn {
		limit := x.Limits[connection].InFlight
		if limit == 0 {
			continue
		}
		var edges []edge
		for _, c := range calls {
			if x.late(c) {
				continue
			}
			edges = append(edges, edge{c.Start, 1, c.ID}, edge{max(c.Start, c.over()-slack), -1, c.ID})
		}
		slices.SortStableFunc(edges, func(a, b edge) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.step, b.step))
		})
		now := 0
		for _, e := range edges {
			if now += e.step; e.step > 0 && now > limit {
				x.violate(OverCap, fmt.Sprintf("call %s at %s is number %d of %d", e.id, e.at, now, limit), connection, e.id)
			}
		}
	}
}

// checkRate is P5's rate: a bucket of the burst, and of what may start late.
func (x *index) checkRate() {
	for connection, calls := range x.ofConn {
		l := x.Limits[connection]
		if l.PerSecond == 0 {
			continue
		}
		size := float64(max(l.Burst, 1)) + l.PerSecond*x.StartWindow.Seconds() + 1
		began := make([]time.Duration, 0, len(calls))
		for _, c := range calls {
			switch {
			case x.late(c):
			case c.row == nil:
				began = append(began, c.Start) // moved back it would meet others
			default:
				began = append(began, c.begin(x.Transit))
			}
		}
		slices.Sort(began)
		level, last := 0.0, time.Duration(0)
		for _, at := range began {
			level = max(0, level-l.PerSecond*(at-last).Seconds()) + 1
			last = at
			if level > size {
				x.violate(OverRate, fmt.Sprintf("at %s the bucket held %.1f of %.1f", at, level, size), connection)
			}
		}
	}
}
