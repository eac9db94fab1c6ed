package otlp

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// arrives is how long a test waits for spans of programs that run.
const arrives = 60 * time.Second

// Span is one span that was received, with the program that it is from.
type Span struct {
	*tracepb.Span
	Service string
}

// ID gives the span's id as hex.
func (s Span) ID() string { return id(s.SpanId) }

// TraceID gives the id of the span's trace as hex.
func (s Span) TraceID() string { return id(s.TraceId) }

// Parent gives the id of the span above as hex. Empty: it begins its trace.
func (s Span) Parent() string { return id(s.ParentSpanId) }

// Failed reports a span that ended with an error.
func (s Span) Failed() bool { return s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR }

// At gives an attribute as text. Empty: it has none of that name.
func (s Span) At(key string) string { return attribute(s.Attributes, key) }

// Operation gives the operation that the span says it belongs to. Empty: it says none.
func (s Span) Operation() string { return s.At("writeback.operation_id") }

// Place is the span's place among all: its trace and its id.
func (s Span) Place() string { return s.TraceID() + " " + s.ID() }

// LinkedTo gives the places that the span links to, by the links' writeback.link.
func (s Span) LinkedTo() map[string]string {
	out := map[string]string{}
	for _, l := range s.Links {
		out[attribute(l.Attributes, "writeback.link")] = id(l.TraceId) + " " + id(l.SpanId)
	}
	return out
}

func id(raw []byte) string { return hex.EncodeToString(raw) }

func attribute(all []*common.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			if n, ok := a.Value.Value.(*common.AnyValue_IntValue); ok {
				return strconv.FormatInt(n.IntValue, 10)
			}
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// Trace is the spans of one trace, oldest first.
type Trace []Span

// Gap says what keeps the trace from being whole: a span whose parent did not arrive,
// a span that arrived twice, no beginning or several. Empty: nothing does.
func (t Trace) Gap() string {
	seen, roots := map[string]bool{}, 0
	for _, s := range t {
		if seen[s.ID()] {
			return fmt.Sprintf("%q arrived twice:%s", s.Name, t)
		}
		seen[s.ID()] = true
		if s.Parent() == "" {
			roots++
		}
	}
	for _, s := range t {
		if s.Parent() != "" && !seen[s.Parent()] {
			return fmt.Sprintf("%q hangs in the air:%s", s.Name, t)
		}
	}
	if roots != 1 {
		return fmt.Sprintf("%d spans begin the trace:%s", roots, t)
	}
	return ""
}

// Below gives the spans right below the one with the id.
func (t Trace) Below(id string) Trace {
	return slices.DeleteFunc(slices.Clone(t), func(s Span) bool { return s.Parent() != id })
}

// Named gives the spans of the name.
func (t Trace) Named(name string) Trace {
	return slices.DeleteFunc(slices.Clone(t), func(s Span) bool { return s.Name != name })
}

// String shows the trace for people, a span a line.
func (t Trace) String() string {
	var b strings.Builder
	for _, s := range t {
		b.WriteString("\n" + s.Service + " " + s.Name + " " + s.ID() + " below " + s.Parent())
	}
	return b.String()
}

// Traces gives all traces so far by their ids.
func (r *Receiver) Traces() map[string]Trace {
	out := map[string]Trace{}
	for _, s := range r.Find(func(Span) bool { return true }) {
		out[s.TraceID()] = append(out[s.TraceID()], s)
	}
	return out
}

// Trace gives the spans of one trace so far.
func (r *Receiver) Trace(id string) Trace {
	return r.Find(func(s Span) bool { return s.TraceID() == id })
}

// Of gives the spans of a name that belong to an operation.
func (r *Receiver) Of(name, operation string) Trace {
	return r.Find(func(s Span) bool { return s.Name == name && s.Operation() == operation })
}

// Find gives the spans so far for which matches holds, oldest first.
func (r *Receiver) Find(matches func(Span) bool) Trace {
	out := Trace(slices.DeleteFunc(r.Spans(), func(s Span) bool { return !matches(s) }))
	slices.SortStableFunc(out, func(a, b Span) int { return cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	return out
}

// AwaitAll waits until the trace has a span of each name and gives the first by name.
func (r *Receiver) AwaitAll(t testing.TB, trace string, names ...string) map[string]Span {
	t.Helper()
	found := map[string]Span{}
	require.Eventually(t, func() bool {
		for _, s := range r.Trace(trace) {
			if _, known := found[s.Name]; !known {
				found[s.Name] = s
			}
		}
		for _, name := range names {
			if _, ok := found[name]; !ok {
				return false
			}
		}
		return true
	}, arrives, 50*time.Millisecond, "trace %s lacks one of %v", trace, names)
	return found
}
