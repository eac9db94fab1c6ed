package history

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// good is a history without a fault: A and B are writes of one user, one after the
// other, B with a retry after a 429; C was not answered and runs all the same; D
// was refused; E is another user's, called twice since a worker died.
func good() History {
	return History{
		Limits: map[string]Limits{"c1": {InFlight: 2, PerSecond: 2, Burst: 2, Call: 2 * time.Second}},
		Requests: []Request{
			{Marker: "A", Connection: "c1", User: "u1", Sent: 10 * ms, Answered: 20 * ms, Status: 202, Operation: "opA"},
			{Marker: "B", Connection: "c1", User: "u1", Sent: 30 * ms, Answered: 40 * ms, Status: 202, Operation: "opB"},
			{Marker: "C", Connection: "c1", User: "u2", Sent: 30 * ms},
			{Marker: "D", Connection: "c1", User: "u2", Sent: 31 * ms, Answered: 32 * ms, Status: 429},
			{Marker: "E", Connection: "c1", User: "u3", Sent: 5000 * ms, Answered: 5001 * ms, Status: 202, Operation: "opE"},
		},
		Calls: []Call{
			{ID: "1", Connection: "c1", User: "u1", Marker: "A", Start: 100 * ms, End: 200 * ms, Status: 200, Applied: true},
			{ID: "2", Connection: "c1", User: "u1", Marker: "B", Start: 300 * ms, End: 310 * ms, Status: 429, Fault: true},
			{ID: "3", Connection: "c1", User: "u1", Marker: "B", Start: 5400 * ms, End: 5500 * ms, Status: 200, Applied: true},
			{ID: "4", Connection: "c1", User: "u2", Marker: "C", Start: 150 * ms, End: 250 * ms, Status: 200, Applied: true},
			{ID: "5", Connection: "c1", User: "u3", Marker: "E", Start: 6100 * ms, End: 6110 * ms, Status: 200, Applied: true},
			{ID: "6", Connection: "c1", User: "u3", Marker: "E", Start: 13_200 * ms, End: 13_300 * ms, Status: 200, Applied: true},
		},
		Operations: []Operation{
			{ID: "opA", Marker: "A", Connection: "c1", User: "u1", Status: Success, Updated: 202 * ms, Rows: []Row{
				{ID: "a1", Status: Success, Code: 200, Start: 99 * ms, End: 201 * ms},
			}},
			{ID: "opB", Marker: "B", Connection: "c1", User: "u1", Status: Success, Updated: 5502 * ms, Rows: []Row{
				{ID: "b1", Status: Failed, ErrorType: "tsp", Code: 429, Start: 299 * ms, End: 311 * ms, RetryAfter: 5 * time.Second},
				{ID: "b2", Status: Success, Code: 200, Start: 5399 * ms, End: 5501 * ms},
			}},
			{ID: "opC", Marker: "C", Connection: "c1", User: "u2", Status: Success, Updated: 252 * ms, Rows: []Row{
				{ID: "c1", Status: Success, Code: 200, Start: 149 * ms, End: 251 * ms},
			}},
			{ID: "opE", Marker: "E", Connection: "c1", User: "u3", Status: Success, Updated: 13_302 * ms, Rows: []Row{
				{ID: "e1", Status: Failed, ErrorType: Network, Start: 6099 * ms, End: 13_100 * ms},
				{ID: "e2", Status: Success, Code: 200, Start: 13_199 * ms, End: 13_301 * ms},
			}},
		},
		Events: []Event{
			{ID: "fA", Operation: "opA", Kind: "succeeded", At: 203 * ms, Rows: []EventRow{{ID: "a1", Status: Success}}},
			{ID: "b1", Operation: "opB", Kind: "attempted", At: 313 * ms, Blocked: 5312 * ms, Rows: []EventRow{{ID: "b1", Status: Failed}}},
			{ID: "fB", Operation: "opB", Kind: "succeeded", At: 5503 * ms, Rows: []EventRow{{ID: "b1", Status: Failed}, {ID: "b2", Status: Success}}},
			{ID: "fC", Operation: "opC", Kind: "succeeded", At: 253 * ms, Rows: []EventRow{{ID: "c1", Status: Success}}},
			{ID: "fE", Operation: "opE", Kind: "succeeded", At: 13_303 * ms, Rows: []EventRow{{ID: "e1", Status: Failed, Unknown: true}, {ID: "e2", Status: Success}}},
			{ID: "fE", Operation: "opE", Kind: "succeeded", At: 14_303 * ms, Rows: []EventRow{{ID: "e1", Status: Failed, Unknown: true}, {ID: "e2", Status: Success}}},
		},
		Reads: []Read{
			{Operation: "opA", Status: Pending, At: 50 * ms},
			{Operation: "opA", Status: Success, At: 210 * ms},
			{Operation: "opA", Status: Success, At: 9000 * ms},
		},
	}
}

func (h *History) op(id string) *Operation {
	return &h.Operations[slices.IndexFunc(h.Operations, func(o Operation) bool { return o.ID == id })]
}

func (h *History) call(id string) *Call {
	return &h.Calls[slices.IndexFunc(h.Calls, func(c Call) bool { return c.ID == id })]
}

// cutOff adds a row that an answer was cut off, of a call that is not there.
func cutOff(h *History) {
	op := h.op("opA")
	op.Rows = append([]Row{{ID: "z1", Status: Failed, ErrorType: Network, Code: 200, Start: op.Rows[0].Start - 2*ms, End: op.Rows[0].Start - ms}}, op.Rows...)
	h.Events[0].Rows = append([]EventRow{{ID: "z1", Status: Failed}}, h.Events[0].Rows...)
}

// Where an adapter reads first, that answer may have been the one that was cut off.
func TestCheck_AReadMayBeCutOff(t *testing.T) {
	h := good()
	cutOff(&h)
	l := h.Limits["c1"]
	l.Reads = true
	h.Limits["c1"] = l
	require.Empty(t, Check(h).Violations)
}

func TestCheck_AcceptsTheGood(t *testing.T) {
	t.Parallel()
	r := Check(good())
	require.Empty(t, r.Violations)
	require.Empty(t, r.Residue)
	require.True(t, r.Clean())
	require.Equal(t, Counts{
		Requests: 5, Accepted: 3, Unanswered: 1, Refused: 1, Operations: 4, Succeeded: 4,
		Calls: 6, Rows: 6, Events: 6, CalledAgain: 2,
	}, r.Counts)
	require.True(t, Check(History{}).Clean())
}

// What was refused before any call needs none.
func TestCheck_ARefusalNeedsNoCall(t *testing.T) {
	t.Parallel()
	h := good()
	h.another("F", 100*ms, 101*ms)
	h.op("opF").Status, h.Events[len(h.Events)-1].Kind = Failed, "failed"
	h.op("opF").Rows[0] = Row{ID: "rowF", Status: Failed, ErrorType: "validation", Start: 100 * ms, End: 101 * ms}
	require.Empty(t, Check(h).Violations)
}

// TestCheck_RejectsTheDoctored breaks one thing each time, and wants exactly that
// rule to be named, with the id.
func TestCheck_RejectsTheDoctored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule   Rule
		id     string
		doctor func(h *History)
	}{
		"an answered operation is pending": {Lost, "opA", func(h *History) {
			h.op("opA").Status = Pending
			h.Reads = nil
		}},
		"an answered operation is gone": {Lost, "opGone", func(h *History) {
			h.Requests = append(h.Requests, Request{Marker: "F", Connection: "c1", User: "u9", Sent: 1, Answered: 2, Status: 202, Operation: "opGone"})
		}},
		"a sync write that was answered 200 is gone": {Lost, "opGone", func(h *History) {
			h.Requests = append(h.Requests, Request{Marker: "F", Connection: "c1", User: "u9", Sync: true, Sent: 1, Answered: 2, Status: 200, Operation: "opGone"})
		}},
		"a sync write that was answered 502 is gone": {Lost, "opGone", func(h *History) {
			h.Requests = append(h.Requests, Request{Marker: "F", Connection: "c1", User: "u9", Sync: true, Sent: 1, Answered: 2, Status: 502, Operation: "opGone"})
		}},
		"an unanswered operation hangs": {Lost, "opC", func(h *History) { h.op("opC").Status = Pending }},
		"nobody asked for it": {Unasked, "opX", func(h *History) {
			h.Operations = append(h.Operations, Operation{ID: "opX", Marker: "X", Connection: "c1", User: "u9", Status: Failed})
			h.Events = append(h.Events, Event{ID: "fX", Operation: "opX", Kind: "failed"})
		}},
		"it was refused": {Unasked, "opD", func(h *History) {
			h.Operations = append(h.Operations, Operation{ID: "opD", Marker: "D", Connection: "c1", User: "u2", Status: Failed})
			h.Events = append(h.Events, Event{ID: "fD", Operation: "opD", Kind: "failed"})
		}},
		"answered with the operation of another": {Unasked, "opE", func(h *History) {
			h.Requests[slices.IndexFunc(h.Requests, func(r Request) bool { return r.Marker == "E" })].Operation = "opA"
		}},
		"an operation hangs whose request was answered 503": {Lost, "opC", func(h *History) {
			h.Requests[2].Status = 503
			h.op("opC").Status = Pending
		}},
		"one request, two operations": {Doubled, "opA2", func(h *History) {
			h.Operations = append(h.Operations, Operation{ID: "opA2", Marker: "A", Connection: "c1", User: "u1", Status: Failed})
			h.Events = append(h.Events, Event{ID: "fA2", Operation: "opA2", Kind: "failed"})
		}},
		"a call without a row": {Unlogged, "1", func(h *History) {
			h.op("opA").Rows, h.Events[0].Rows = nil, nil
		}},
		"a call of no operation": {Unlogged, "9", func(h *History) {
			h.Calls = append(h.Calls, Call{ID: "9", Connection: "c1", User: "u9", Marker: "nobody", Start: 9000 * ms, End: 9001 * ms, Status: 200})
		}},
		"a row says another status than the call": {Unlogged, "1", func(h *History) {
			h.call("1").Status = 500
			h.op("opA").Rows[0] = Row{ID: "a1", Status: Failed, ErrorType: Network, Start: 300 * ms, End: 310 * ms}
		}},
		"a row without a call": {Uncalled, "b1", func(h *History) {
			h.Calls = slices.DeleteFunc(h.Calls, func(c Call) bool { return c.ID == "2" })
		}},
		"an answer that was cut off, without a call": {Uncalled, "z1", cutOff},
		"a repeat within the lease of a success": {Repeated, "opA", func(h *History) {
			h.Calls = append(h.Calls, Call{ID: "9", Connection: "c1", User: "u1", Marker: "A", Start: 250 * ms, End: 251 * ms, Status: 200})
			h.op("opA").Rows = append(h.op("opA").Rows, Row{ID: "a2", Status: Success, Code: 200, Start: 249 * ms, End: 252 * ms})
			h.op("opA").Updated = 253 * ms
		}},
		"a repeat after a success in the stream": {Repeated, "opE", func(h *History) {
			h.Calls = append(h.Calls, Call{ID: "9", Connection: "c1", User: "u3", Marker: "E", Start: 30_000 * ms, End: 30_001 * ms, Status: 200})
			h.op("opE").Rows = append(h.op("opE").Rows, Row{ID: "e3", Status: Success, Code: 200, Start: 29_999 * ms, End: 30_002 * ms})
			h.op("opE").Updated = 30_003 * ms
		}},
		"the newer write goes first": {OutOfOrder, "opB", func(h *History) {
			h.call("1").Start, h.call("1").End = 330*ms, 340*ms
			h.op("opA").Rows[0].Start, h.op("opA").Rows[0].End = 329*ms, 341*ms
			h.op("opA").Updated = 250 * ms
			h.Events[0].At = 342 * ms
		}},
		"the older write has not ended": {StartedEarly, "opB", func(h *History) { h.op("opA").Updated = 301 * ms }},
		"two calls of one user": {Overlap, "2", func(h *History) {
			h.call("1").End = 305 * ms
			h.op("opA").Rows[0].End = 306 * ms
		}},
		"two calls of one user, just within the lease": {Overlap, "6", func(h *History) { h.overlap(11_950 * ms) }},
		"called before Retry-After": {Early, "5", func(h *History) {
			h.call("5").Start, h.call("5").End = 2100*ms, 2110*ms
			h.op("opE").Rows[0].Start = 2099 * ms
		}},
		"called before Retry-After, of which the event does not tell": {Early, "5", func(h *History) {
			h.call("5").Start, h.call("5").End = 2100*ms, 2110*ms
			h.op("opE").Rows[0].Start = 2099 * ms
			h.Events[1].Blocked = 0
		}},
		"called before what the event says": {Early, "5", func(h *History) {
			h.op("opB").Rows[0].RetryAfter = 0
			h.Events[1].Blocked = 6200 * ms
		}},
		"over the cap": {OverCap, "9", func(h *History) {
			h.Limits["c1"] = Limits{InFlight: 2, Call: 2 * time.Second}
			h.Calls = append(h.Calls, Call{ID: "9", Connection: "c1", User: "u4", Marker: "F", Start: 160 * ms, End: 170 * ms, Status: 200})
			h.another("F", 159*ms, 171*ms)
		}},
		"over the rate": {OverRate, "c1", func(h *History) {
			h.Limits["c1"] = Limits{PerSecond: 1, Burst: 1, Call: 2 * time.Second}
			h.Calls = append(h.Calls, Call{ID: "9", Connection: "c1", User: "u4", Marker: "F", Start: 160 * ms, End: 170 * ms, Status: 200})
			h.another("F", 159*ms, 171*ms)
		}},
		"an end is taken back": {Changed, "opA", func(h *History) {
			h.Reads = append(h.Reads, Read{Operation: "opA", Status: Failed, At: 9001 * ms})
		}},
		"it ended otherwise than was read": {Changed, "opA", func(h *History) {
			h.op("opA").Status, h.Events[0].Kind = Failed, "failed"
		}},
		"pending again": {Changed, "opA", func(h *History) {
			h.Reads[2].Status = Pending
		}},
		"the api does not know what the stream has": {Vanished, "opX", func(h *History) { h.Streamed = []string{"opX"} }},
		"the api does not know what an event tells": {Vanished, "opX", func(h *History) {
			h.Events = append(h.Events, Event{ID: "fX", Operation: "opX", Kind: "failed"})
		}},
		"a row of the stream is not in the log": {LogLost, "b0", func(h *History) {
			h.Events[1].Rows = append(h.Events[1].Rows, EventRow{ID: "b0", Status: Failed})
		}},
		"lost with the store although it was told": {Lost, "opF", func(h *History) {
			h.forget("F")
			h.Untold = nil
		}},
		"lost, and the store was whole": {Lost, "opF", func(h *History) {
			h.forget("F")
			h.Losses = nil
		}},
		"a call without a row, long before the loss": {Unlogged, "1", func(h *History) {
			h.op("opA").Rows, h.Events[0].Rows = nil, nil
			h.Losses = []Loss{{Since: 40_000 * ms, Until: 41_000 * ms}}
		}},
		"a call without a row, after the loss": {Unlogged, "6", func(h *History) {
			h.op("opE").Rows = h.op("opE").Rows[:1]
			for i := range h.Events {
				h.Events[i].Rows = slices.DeleteFunc(h.Events[i].Rows, func(r EventRow) bool { return r.ID == "e2" })
			}
			h.Losses = []Loss{{Since: 11_000 * ms, Until: 12_100 * ms}}
		}},
		"after a loss an older write goes once more, and the stream had the newer one": {OutOfOrder, "opA", func(h *History) {
			h.again()
			h.Events[1].At = 313 * ms
		}},
		"before a loss an older write goes once more": {OutOfOrder, "opA", func(h *History) {
			h.again()
			h.Losses[0].Until = 1402 * ms
		}},
		"no final event":            {NoFinalEvent, "opA", func(h *History) { h.Events = h.Events[1:] }},
		"the final event disagrees": {Contradiction, "opA", func(h *History) { h.Events[0].Kind = "failed" }},
		"the event id changes":      {UnstableID, "opE", func(h *History) { h.Events[5].ID = "other" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			c.doctor(&h)
			r := Check(h)
			require.NotEmpty(t, r.Violations)
			for _, v := range r.Violations {
				require.Equal(t, c.rule, v.Rule, r.String())
			}
			require.True(t, slices.ContainsFunc(r.Violations, func(v Violation) bool { return slices.Contains(v.IDs, c.id) }), r.String())
			require.Contains(t, r.String(), string(c.rule))
		})
	}
}

// another adds a good operation of user u4.
func (h *History) another(marker string, start, end time.Duration) {
	id := "op" + marker
	h.Requests = append(h.Requests, Request{Marker: marker, Connection: "c1", User: "u4", Sent: 1, Answered: 2, Status: 202, Operation: id})
	h.Operations = append(h.Operations, Operation{ID: id, Marker: marker, Connection: "c1", User: "u4", Status: Success, Updated: end + ms, Rows: []Row{
		{ID: "row" + marker, Status: Success, Code: 200, Start: start, End: end},
	}})
	h.Events = append(h.Events, Event{ID: "f" + marker, Operation: id, Kind: "succeeded", At: end + 2*ms, Rows: []EventRow{{ID: "row" + marker, Status: Success}}})
}

// overlap has the second call of E come by then, while the first, whose worker took it at
// 6.099 s, is still under way.
func (h *History) overlap(by time.Duration) {
	h.call("5").End, h.op("opE").Rows[0].End = by+100*ms, by+101*ms
	h.call("6").Start, h.op("opE").Rows[1].Start = by, by-ms
}

// forget adds a write that was answered while the stream was away, and that went
// down with the store.
func (h *History) forget(marker string) {
	id := "op" + marker
	h.Requests = append(h.Requests, Request{Marker: marker, Connection: "c1", User: "u4", Sent: 300 * ms, Answered: 320 * ms, Status: 202, Operation: id})
	h.Untold, h.Losses = map[string]bool{id: true}, []Loss{{Since: 330 * ms, Until: 500 * ms}}
}

// again has A called once more after B, since the store had lost both outcomes.
func (h *History) again() {
	h.Losses = []Loss{{Since: 320 * ms, Until: 400 * ms}}
	h.Events[0].At, h.Events[1].At = 1403*ms, 1404*ms
	h.Calls = append(h.Calls, Call{ID: "9", Connection: "c1", User: "u1", Marker: "A", Start: 1300 * ms, End: 1310 * ms, Status: 200, Applied: true})
	h.op("opA").Rows = append(h.op("opA").Rows[:0], Row{ID: "a2", Status: Success, Code: 200, Start: 1299 * ms, End: 1311 * ms})
	h.op("opA").Updated = 1312 * ms
	h.Events[0].Rows = []EventRow{{ID: "a2", Status: Success}}
}

// TestCheck_CountsResidue wants what no rule prevents to be forgiven, and counted.
func TestCheck_CountsResidue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   Residue
		doctor func(h *History)
	}{
		"a worker stood still before the socket": {SentLate, func(h *History) {
			h.call("5").Start, h.call("5").End = 13_250*ms, 13_260*ms // in the middle of the repeat
		}},
		"a success was recorded after its lease": {RecordedLate, func(h *History) {
			h.op("opE").Rows[0] = Row{ID: "e1", Status: Success, Code: 200, Start: 6099 * ms, End: 6111 * ms}
		}},
		"a call hung beyond its lease": {LeaseOverlap, func(h *History) {
			h.call("5").End = 13_220 * ms
			h.op("opE").Rows[0].End = 13_221 * ms
		}},
		"a call hung until just beyond its lease": {LeaseOverlap, func(h *History) { h.overlap(12_150 * ms) }},
		"handed out before the 429 was on record": {WindowHandOuts, func(h *History) {
			h.call("5").Start, h.call("5").End = 1100*ms, 1110*ms
			h.op("opE").Rows[0].Start = 1099 * ms
			h.op("opE").Rows[0].End = 8100 * ms
		}},
		"a call that the store forgot": {Forgotten, func(h *History) {
			h.op("opE").Rows = h.op("opE").Rows[1:]
			for i := range h.Events {
				h.Events[i].Rows = slices.DeleteFunc(h.Events[i].Rows, func(r EventRow) bool { return r.ID == "e1" })
			}
			h.Losses = []Loss{{Since: 6200 * ms, Until: 7000 * ms}}
		}},
		"a call whose lease went with the store": {Forgotten, func(h *History) {
			h.op("opE").Rows = h.op("opE").Rows[1:]
			for i := range h.Events {
				h.Events[i].Rows = slices.DeleteFunc(h.Events[i].Rows, func(r EventRow) bool { return r.ID == "e1" })
			}
			h.Losses = []Loss{{Since: 5200 * ms, Until: 5900 * ms}}
		}},
		"an accept that no stream knew": {LostUntold, func(h *History) { h.forget("F") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			c.doctor(&h)
			r := Check(h)
			require.Empty(t, r.Violations, r.String())
			require.Len(t, r.Residue[c.kind], 1, r.String())
			require.Contains(t, r.String(), string(c.kind))
		})
	}
}

// TestCheck_OrderInTheDark wants a repeat after a newer write to be forgiven where the
// store lost both outcomes before the stream had them.
func TestCheck_OrderInTheDark(t *testing.T) {
	t.Parallel()
	h := good()
	h.again()
	r := Check(h)
	require.Empty(t, r.Violations, r.String())
	require.NotEmpty(t, r.Residue[DarkOrder])
	h.Losses = nil
	require.NotZero(t, Check(h).Count(OutOfOrder))
}

// TestCheck_PutBackInTheDark wants a newer write to be allowed before the end of an older one was
// put down, where a loss came between the hand-out of that and its call.
func TestCheck_PutBackInTheDark(t *testing.T) {
	t.Parallel()
	h := good()
	call := h.call("1")
	h.op("opA").Updated = 301 * ms
	h.Losses = []Loss{{Since: call.Start - 5*ms, Until: call.Start - ms}}
	r := Check(h)
	require.Empty(t, r.Violations, r.String())
	require.NotEmpty(t, r.Residue[DarkOrder])
	h.Losses[0].Since, h.Losses[0].Until = h.Losses[0].Since-time.Second, h.Losses[0].Until-time.Second
	require.NotZero(t, Check(h).Count(StartedEarly), "it was handed out after the loss")
}

// TestCheck_CompletedLate wants a newer write to be allowed after the success of a repeat, also
// where the outcome of the call before it moved the time of the last change, and no event was
// out by then.
func TestCheck_CompletedLate(t *testing.T) {
	t.Parallel()
	h := good()
	h.Requests = append(h.Requests, Request{Marker: "F", Connection: "c1", User: "u3", Sent: 5100 * ms, Answered: 5110 * ms, Status: 202, Operation: "opF"})
	h.Calls = append(h.Calls, Call{ID: "7", Connection: "c1", User: "u3", Marker: "F", Start: 13_400 * ms, End: 13_410 * ms, Status: 200, Applied: true})
	h.Operations = append(h.Operations, Operation{ID: "opF", Marker: "F", Connection: "c1", User: "u3", Status: Success, Updated: 13_412 * ms, Rows: []Row{
		{ID: "f1", Status: Success, Code: 200, Start: 13_399 * ms, End: 13_411 * ms},
	}})
	h.Events = append(h.Events, Event{ID: "fF", Operation: "opF", Kind: "succeeded", At: 13_413 * ms, Rows: []EventRow{{ID: "f1", Status: Success}}})
	require.Empty(t, Check(h).Violations)

	h.op("opE").Updated = 14_000 * ms
	h.op("opE").Rows[0] = Row{ID: "e1", Status: Success, Code: 200, Start: 6099 * ms, End: 6111 * ms}
	for i := range h.Events {
		if h.Events[i].ID == "fE" {
			h.Events[i].At, h.Events[i].Rows = 14_303*ms, []EventRow{{ID: "e1", Status: Success}, {ID: "e2", Status: Success}}
		}
	}
	r := Check(h)
	require.Empty(t, r.Violations, r.String())
	require.Len(t, r.Residue[RecordedLate], 1)

	// The worker gave the call up, and it came after all.
	sent := *h.call("5")
	h.call("5").Start, h.call("5").End = 13_900*ms, 13_910*ms
	h.op("opE").Rows[0] = Row{ID: "e1", Status: Failed, ErrorType: Network, Start: 6099 * ms, End: 13_800 * ms}
	for i := range h.Events {
		if h.Events[i].ID == "fE" {
			h.Events[i].Rows[0].Status = Failed
		}
	}
	r = Check(h)
	require.Zero(t, r.Count(StartedEarly), r.String())
	*h.call("5") = sent

	h.op("opE").Rows[1].Start, h.call("6").Start = 7000*ms, 7001*ms // within the lease of the call before it
	require.NotZero(t, Check(h).Count(StartedEarly))
}

// TestCheck_Transit judges by the worker's own time where the way to the provider
// may hold a call.
func TestCheck_Transit(t *testing.T) {
	t.Parallel()
	h := good()
	h.op("opC").Rows[0] = Row{ID: "c1", Status: Success, Code: 200, Start: 149 * ms, End: 1800 * ms}
	h.call("4").Start, h.call("4").End = 1700*ms, 1710*ms
	h.op("opC").Updated, h.Events[3].At = 1801*ms, 1802*ms
	h.Transit = 2 * time.Second
	require.Empty(t, Check(h).Violations)
	require.Empty(t, Check(h).Residue)
	h.Transit = 0
	require.Len(t, Check(h).Residue[SentLate], 1)
}

// TestCheck_UnloggedCallsHaveNoExactStart wants a call without a row not to be judged
// by the earliest moment at which it may have been made.
func TestCheck_UnloggedCallsHaveNoExactStart(t *testing.T) {
	t.Parallel()
	h := good()
	h.op("opE").Rows = h.op("opE").Rows[1:]
	for i := range h.Events {
		h.Events[i].Rows = slices.DeleteFunc(h.Events[i].Rows, func(r EventRow) bool { return r.ID == "e1" })
	}
	h.Losses = []Loss{{Since: 6200 * ms, Until: 7000 * ms}}
	h.call("5").End, h.call("6").Start = 13_250*ms, 13_200*ms // its end was noted late
	require.Empty(t, Check(h).Residue[LeaseOverlap])
	h.call("5").End = 13_350 * ms
	require.Len(t, Check(h).Residue[LeaseOverlap], 1)
	h.call("5").End = 6110 * ms
	h.Transit = 2 * time.Second // may have been made at 4.1 s, in the wait of B
	require.Empty(t, Check(h).Violations)
	h.call("5").Start = 2600 * ms // in the wait in any case
	h.call("5").End, h.Transit = 2610*ms, 500*ms
	require.Equal(t, 1, Check(h).Count(Early))
}

func TestHistory_Stories(t *testing.T) {
	t.Parallel()
	h := good()
	require.Empty(t, h.Stories(Check(h)))
	h.op("opA").Status = Failed
	story := h.Stories(Check(h))
	for _, want := range []string{"opA", "request A", "call 1", "row a1", "event fA", "is failed"} {
		require.Contains(t, story, want)
	}
}

func TestReport_StringIsBounded(t *testing.T) {
	t.Parallel()
	var h History
	for range 100 {
		h.Operations = append(h.Operations, Operation{ID: "op", Marker: "m", Status: Pending})
	}
	text := Check(h).String()
	require.Contains(t, text, "and 80 more")
	require.Less(t, strings.Count(text, "\n"), 60)
}

// A row that a fault ended late was open too when a later call of the operation arrived.
func TestMatchRows_AnAnswerIsOfTheRowThatTellsOfIt(t *testing.T) {
	t.Parallel()
	op := &Operation{Rows: []Row{
		{ID: "later", Status: Success, Code: 200, Start: 7600 * ms, End: 7610 * ms},
		{ID: "lost on the way", Status: Failed, ErrorType: Network, Start: 10 * ms, End: 8000 * ms},
	}}
	arrived := &call{Call: Call{Start: 7605 * ms, End: 7606 * ms, Status: 200}}
	matchRows(op, []*call{arrived})
	require.Equal(t, "later", arrived.row.ID)
}
