package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rule is one thing that must never be seen.
type Rule string

// The rules, each with the promise that it belongs to.
const (
	Lost          Rule = "P1 lost: answered, and has not ended"
	Unasked       Rule = "P1 unasked: an operation that no open or accepted request explains"
	Doubled       Rule = "P1 doubled: two operations of one request"
	Unlogged      Rule = "P2 unlogged: a call without a log row"
	Uncalled      Rule = "P2 uncalled: a log row of a call that the provider never had"
	Repeated      Rule = "P2 repeated: called again after a recorded success"
	OutOfOrder    Rule = "P3 out of order: called after a newer write of the user"
	StartedEarly  Rule = "P3 started early: called before the older write of the user had ended"
	Overlap       Rule = "P3 overlap: two calls of one user at a time"
	Early         Rule = "P5 early: handed out while the provider's Retry-After was on record"
	OverCap       Rule = "P5 over the cap: too many calls in flight"
	OverRate      Rule = "P5 over the rate: too many calls in a time"
	Changed       Rule = "P7 changed: a terminal state changed"
	NoFinalEvent  Rule = "P7 no final event: ended, and the stream does not say so"
	Contradiction Rule = "P7 contradiction: a final event says another state"
	Vanished      Rule = "P10 vanished: in the streams, and the api does not know it"
	LogLost       Rule = "P10 log lost: a row that the stream has is not in the operation's log"
	UnstableID    Rule = "P7 unstable id: final events of one operation with different ids"
)

// Residue is something that no rule prevents. It is counted, not held against
// anybody.
type Residue string

// The kinds of residue.
const (
	SentLate       Residue = "sent late: the process stood still between its last check and the socket, or the way there held the call"
	RecordedLate   Residue = "recorded late: a success became known after its lease had ended, and the call was repeated"
	LeaseOverlap   Residue = "overlap after an expired lease"
	Forgotten      Residue = "forgotten: an outcome that no stream had yet went down with the store"
	DarkOrder      Residue = "order after a loss: the store lost an outcome that no stream had, and the write came again, or was put back, after a newer one"
	LostUntold     Residue = "lost with the store: accepted while its message could not be put into the stream"
	WindowHandOuts Residue = "handed out before the provider's Retry-After was recorded"
)

// Violation is one breach of a rule.
type Violation struct {
	Rule Rule
	// IDs of what is concerned: operations, calls, rows, connections.
	IDs    []string
	Detail string
}

// Counts say how much was seen.
type Counts struct {
	Requests, Accepted, Unanswered, Refused int
	Operations, Succeeded, Failed           int
	Calls, Rows, Events                     int
	// CalledAgain counts operations with more than one call.
	CalledAgain int
}

// Report is what Check found.
type Report struct {
	Counts     Counts
	Violations []Violation
	Residue    map[Residue][]string
}

// Clean reports that no rule was broken.
func (r Report) Clean() bool { return len(r.Violations) == 0 }

// Count is the number of violations of one rule.
func (r Report) Count(rule Rule) int {
	n := 0
	for _, v := range r.Violations {
		if v.Rule == rule {
			n++
		}
	}
	return n
}

func (x *index) violate(rule Rule, detail string, ids ...string) {
	x.report.Violations = append(x.report.Violations, Violation{Rule: rule, IDs: ids, Detail: detail})
}

func (x *index) residue(kind Residue, id string) {
	if x.report.Residue == nil {
		x.report.Residue = map[Residue][]string{}
	}
	if !slices.Contains(x.report.Residue[kind], id) {
		x.report.Residue[kind] = append(x.report.Residue[kind], id)
	}
}

// shown is how many violations of one rule are printed with their ids.
const shown = 20

// String is the report for people: the counts, the violations by rule, the residue.
func (r Report) String() string {
	var b strings.Builder
	c := r.Counts
	fmt.Fprintf(&b, "requests %d: accepted %d, unanswered %d, refused %d\n", c.Requests, c.Accepted, c.Unanswered, c.Refused)
	fmt.Fprintf(&b, "operations %d: succeeded %d, failed %d, not ended %d\n",
		c.Operations, c.Succeeded, c.Failed, c.Operations-c.Succeeded-c.Failed)
	fmt.Fprintf(&b, "calls %d, log rows %d, events %d, operations called more than once %d\n", c.Calls, c.Rows, c.Events, c.CalledAgain)
	byRule := map[Rule][]Violation{}
	for _, v := range r.Violations {
		byRule[v.Rule] = append(byRule[v.Rule], v)
	}
	fmt.Fprintf(&b, "violations %d\n", len(r.Violations))
	for _, rule := range slices.Sorted(maps.Keys(byRule)) {
		fmt.Fprintf(&b, "  %s: %d\n", rule, len(byRule[rule]))
		for i, v := range byRule[rule] {
			if i == shown {
				fmt.Fprintf(&b, "    and %d more\n", len(byRule[rule])-shown)
				break
			}
			fmt.Fprintf(&b, "    %s: %s\n", strings.Join(v.IDs, " "), v.Detail)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Residue)) {
		fmt.Fprintf(&b, "residue, %s: %d\n", kind, len(r.Residue[kind]))
	}
	return b.String()
}
