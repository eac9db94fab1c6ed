package webhooks_test

import (
	"encoding/json"
	"net/http"

	"github.com/stretchr/testify/require"
)

// told is what arrived of one event of an operation.
type told struct {
	ids      map[string]bool
	data     []map[string]any
	attempts int
	// again counts requests after one that was answered well: nobody had noted that.
	again    int
	accepted bool
}

func (p *partner) check() {
	all, faults := p.hooks.received()
	require.Empty(p.t, faults, "each request is signed, and its headers say what the body says")
	events := map[string]*told{} // by event and operation
	byID := map[string]string{}
	for _, d := range all {
		require.Contains(p.t, p.async, d.operation, "an event of a sync operation, or of nobody's")
		key := d.EventName + " " + d.operation
		e := events[key]
		if e == nil {
			e = &told{ids: map[string]bool{}}
			events[key] = e
		}
		if other, known := byID[d.ID]; known {
			require.Equal(p.t, other, key, "one id, two events")
		}
		byID[d.ID] = key
		e.note(p, d)
	}
	again, atAccept := 0, 0
	for id := range p.async {
		created, ended := events["resource_operation.created "+id], events["resource_operation."+p.final(id)+" "+id]
		require.NotNil(p.t, created, "no event says that %s was accepted", id)
		require.NotNil(p.t, ended, "no event says how %s ended", id)
		for _, e := range []*told{created, ended} {
			require.True(p.t, e.accepted, "the event was given up before it arrived")
			require.Len(p.t, e.ids, 1, "the id of an event must not change")
			again += e.again
		}
		for _, data := range ended.data {
			require.Equal(p.t, p.ended[id], data, "the event says what the operation's read view says")
		}
		for _, data := range created.data {
			require.Equal(p.t, "pending", data["status"])
			if view := p.atAccept[id]; view != nil {
				require.Equal(p.t, view, data)
				atAccept++
			}
		}
		delete(events, "resource_operation.created "+id)
		delete(events, "resource_operation."+p.final(id)+" "+id)
	}
	require.Empty(p.t, events, "an operation has one end")
	p.t.Logf("%d operations, %d sync; %d requests, %d after one that had arrived; %d created events compared",
		len(p.async), len(p.sync), len(all), again, atAccept)
	require.NotEmpty(p.t, p.sync)
	require.NotZero(p.t, atAccept)
	require.NotZero(p.t, again, "no killed worker had a send under way: the test proves nothing")
	failed := 0
	for id := range p.async {
		if p.final(id) == "failed" {
			failed++
		}
	}
	require.NotZero(p.t, failed)
	require.Less(p.t, failed, len(p.async))
}

func (e *told) note(p *partner, d delivery) {
	var data map[string]any
	require.NoError(p.t, json.Unmarshal(d.Data[0], &data))
	e.ids[d.ID] = true
	e.data = append(e.data, data)
	e.attempts++
	if e.accepted {
		e.again++
	}
	e.accepted = e.accepted || d.answered < http.StatusMultipleChoices
}

// final is the last word of the event that says how the operation ended.
func (p *partner) final(id string) string {
	if p.ended[id]["status"] == "success" {
		return "succeeded"
	}
	return "failed"
}
