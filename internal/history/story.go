package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Story tells all that was seen of one operation, by time, for people who look into
// a violation.
func (h *History) Story(id string) string {
	type entry struct {
		at   time.Duration
		text string
	}
	var all []entry
	tell := func(at time.Duration, format string, args ...any) {
		all = append(all, entry{at, fmt.Sprintf(format, args...)})
	}
	at := slices.IndexFunc(h.Operations, func(o Operation) bool { return o.ID == id })
	marker := ""
	if at >= 0 {
		op := h.Operations[at]
		marker = op.Marker
		tell(op.Updated, "is %s (created %s)", op.Status, op.Created)
		for _, r := range op.Rows {
			tell(r.Start, "row %s to %s: %s %s %d", r.ID, r.End, r.Status, r.ErrorType, r.Code)
		}
	}
	for _, r := range h.Requests {
		if r.Operation == id || marker != "" && r.Marker == marker {
			tell(r.Sent, "request %s for %s, sync %v, answered %d at %s", r.Marker, r.User, r.Sync, r.Status, r.Answered)
		}
	}
	for _, c := range h.Calls {
		if marker != "" && c.Marker == marker {
			tell(c.Start, "call %s to %s: %d, applied %v, fault %v", c.ID, c.End, c.Status, c.Applied, c.Fault)
		}
	}
	for _, e := range h.Events {
		if e.Operation == id {
			tell(e.At, "event %s %s, blocked until %s, rows %v", e.ID, e.Kind, e.Blocked, e.Rows)
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", id)
	for _, e := range all {
		fmt.Fprintf(&b, "  %s %s\n", e.at, e.text)
	}
	return b.String()
}

// told is how many operations of each rule Stories tells of.
const told = 3

// Stories tells of the first operations of each rule that was broken.
func (h *History) Stories(r Report) string {
	var b strings.Builder
	rules, seen := map[Rule]int{}, map[string]bool{}
	for _, v := range r.Violations {
		if rules[v.Rule]++; rules[v.Rule] > told {
			continue
		}
		for _, id := range v.IDs {
			known := slices.ContainsFunc(h.Operations, func(o Operation) bool { return o.ID == id })
			if known && !seen[id] {
				seen[id] = true
				b.WriteString(h.Story(id))
			}
		}
	}
	return b.String()
}
