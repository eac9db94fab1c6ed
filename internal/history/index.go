package history

import (
	"cmp"
	"slices"
	"time"
)

// call is a provider's call with what is known of it on our side.
type call struct {
	Call
	op  *Operation
	row *Row // nil: none stands for it
}

// begin is when the worker made the call, as far as it can be told.
func (c *call) begin(transit time.Duration) time.Duration {
	if c.row == nil {
		return c.Start - transit
	}
	return max(c.row.Start, c.Start-transit)
}

// answerSlack is how long before a busy provider notes the end of a call the worker
// may have its answer.
const answerSlack = 100 * time.Millisecond

// over is when the call stopped to matter: it was answered, or its worker gave up.
func (c *call) over() time.Duration {
	switch {
	case c.row == nil && c.Status != 0 && c.End != 0:
		return max(c.Start, c.End-answerSlack) // only the provider's clock is known
	case c.row == nil:
		return c.End
	case c.End == 0:
		return c.row.End
	}
	return min(c.End, c.row.End)
}

// mailbox is one user of one connection.
type mailbox struct{ connection, user string }

// index is a history, sorted for the rules.
type index struct {
	History
	operations map[string]*Operation
	byMarker   map[string][]*Operation
	requests   map[string]*Request
	calls      []*call // by start
	ofUser     map[mailbox][]*call
	ofConn     map[string][]*call
	ofOp       map[string][]*call
	events     map[string][]Event
	// known is when the stream first had a row with its outcome.
	known map[string]time.Duration
	// unknown are rows that the stream had as unknown before.
	unknown map[string]bool
	// streamed are operations that the stream of accepted messages has.
	streamed map[string]bool
	report   *Report
}

func newIndex(h History, r *Report) *index {
	if h.StartWindow == 0 {
		h.StartWindow = time.Second
	}
	if h.Margin == 0 {
		h.Margin = 4 * time.Second
	}
	x := &index{
		History: h, report: r,
		operations: map[string]*Operation{}, byMarker: map[string][]*Operation{}, requests: map[string]*Request{},
		ofUser: map[mailbox][]*call{}, ofConn: map[string][]*call{}, ofOp: map[string][]*call{},
		events: map[string][]Event{}, known: map[string]time.Duration{}, unknown: map[string]bool{},
		streamed: map[string]bool{},
	}
	for i := range h.Requests {
		x.requests[h.Requests[i].Marker] = &h.Requests[i]
	}
	for i := range h.Operations {
		op := &h.Operations[i]
		x.operations[op.ID] = op
		x.byMarker[op.Marker] = append(x.byMarker[op.Marker], op)
	}
	for _, id := range h.Streamed {
		x.streamed[id] = true
	}
	x.addEvents()
	x.addCalls()
	return x
}

func (x *index) addEvents() {
	for _, e := range x.Events {
		x.events[e.Operation] = append(x.events[e.Operation], e)
		for _, row := range e.Rows {
			if row.Unknown {
				x.unknown[row.ID] = true
				continue
			}
			if at, ok := x.known[row.ID]; !ok || e.At < at {
				x.known[row.ID] = e.At
			}
		}
	}
}

// addCalls joins each call with its operation and log row.
func (x *index) addCalls() {
	for _, c := range x.Calls {
		joined := &call{Call: c}
		if ops := x.byMarker[c.Marker]; len(ops) > 0 {
			joined.op = ops[0]
			x.ofOp[ops[0].ID] = append(x.ofOp[ops[0].ID], joined)
		}
		x.calls = append(x.calls, joined)
	}
	byStart := func(a, b *call) int { return cmp.Compare(a.Start, b.Start) }
	slices.SortStableFunc(x.calls, byStart)
	for _, c := range x.calls {
		at := mailbox{c.Connection, c.User}
		x.ofUser[at] = append(x.ofUser[at], c)
		x.ofConn[c.Connection] = append(x.ofConn[c.Connection], c)
	}
	for id, calls := range x.ofOp {
		slices.SortStableFunc(calls, byStart)
		matchRows(x.operations[id], calls)
	}
}

// matchRows gives each call the row that was open when it arrived, first of all one that
// tells of its answer; a call that arrived after its worker had given up gets a row that a
// network fault ended.
func matchRows(op *Operation, calls []*call) {
	taken := map[*Row]bool{}
	take := func(c *call, fits func(r *Row) bool) {
		for i := len(op.Rows) - 1; i >= 0 && c.row == nil; i-- {
			r := &op.Rows[i]
			if may, _ := r.called(false); may && !taken[r] && r.Start <= c.Start && fits(r) {
				c.row, taken[r] = r, true
			}
		}
	}
	for _, fits := range []func(c *call, r *Row) bool{
		func(c *call, r *Row) bool { return c.Start <= r.End && r.Code == c.Status },
		func(c *call, r *Row) bool { return c.Start <= r.End && r.ErrorType == Network },
		func(_ *call, r *Row) bool { return r.ErrorType == Network },
	} {
		for _, c := range calls {
			take(c, func(r *Row) bool { return fits(c, r) })
		}
	}
}

// lease is the length of a connection's leases. Zero: not known.
func (x *index) lease(connection string) time.Duration {
	call := x.Limits[connection].Call
	if call == 0 {
		return 0
	}
	return x.StartWindow + call + x.Margin
}

// expired reports whether the lease of the earlier call may have run out by then.
func (x *index) expired(c *call, by time.Duration) bool {
	from := c.Start
	if c.row != nil {
		from = c.row.Start
	}
	return x.leaseOver(c.Connection, from, by)
}

// leaseOver reports whether the lease of an attempt may have run out by then: it was handed
// out at most a start window before the attempt began.
func (x *index) leaseOver(connection string, began, by time.Duration) bool {
	lease := x.lease(connection)
	return lease > 0 && by >= began+lease-x.StartWindow
}

// late reports a call that its process sent long after it had decided to, or that
// the way there delivered after the worker had given up.
func (x *index) late(c *call) bool {
	return c.row != nil && (c.Start > c.row.End || c.Start-c.row.Start > x.StartWindow+x.Transit)
}
