package rolling

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/otlp"
)

const (
	spanRequest = "PATCH /v2/telematics/users/{user_id}"
	spanAttempt = "operation attempt"
	spanRecord  = "record outcome"
	// shown is how many gaps are told in full.
	shown = 3
)

// onlyAtTheEnd lets a program keep every span until it stops, so that a stop that does
// not send them is seen. The queue holds all that a life of one makes.
var onlyAtTheEnd = []string{
	"OTEL_TRACES_SAMPLER=parentbased_always_on", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none",
	"OTEL_BSP_SCHEDULE_DELAY=3600000", "OTEL_BSP_MAX_QUEUE_SIZE=131072", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=131072",
}

// traces is what the programs have sent over all their lives. They have all stopped, so
// nothing is to come.
type traces struct {
	*testing.T
	byID     map[string]otlp.Trace
	attempts map[string]otlp.Trace // by operation, in the order of their numbers
	retried  int
}

// checkTraces: no trace has a gap, and every operation is told from its request to its end.
func checkTraces(t *testing.T, r *otlp.Receiver, operations []history.Operation) {
	t.Helper()
	require.Empty(t, r.Faults())
	c := &traces{T: t, byID: r.Traces(), attempts: map[string]otlp.Trace{}}
	var gaps []string
	for _, trace := range c.byID {
		if gap := trace.Gap(); gap != "" {
			gaps = append(gaps, gap)
		}
	}
	for _, s := range r.Find(func(s otlp.Span) bool { return s.Name == spanAttempt }) {
		c.attempts[s.Operation()] = append(c.attempts[s.Operation()], s)
	}
	for _, op := range operations {
		if gap := c.gap(op); gap != "" {
			gaps = append(gaps, "operation "+op.ID+": "+gap)
		}
	}
	require.Empty(t, gaps[:min(len(gaps), shown)], "%d gaps in %d traces", len(gaps), len(c.byID))
	require.NotZero(t, c.retried, "nothing was tried again: the links prove nothing")
	t.Logf("%d traces, %d operations tried again", len(c.byID), c.retried)
}

// gap says what the traces do not tell of an operation. Empty: they tell all.
func (c *traces) gap(op history.Operation) string {
	attempts := c.attempts[op.ID]
	if len(attempts) != len(op.Rows) {
		return fmt.Sprintf("%d rows, and these attempts:%s", len(op.Rows), attempts)
	}
	if len(attempts) > 1 {
		c.retried++
	}
	first := c.byID[attempts[0].TraceID()]
	request := otlp.Span{}
	for _, s := range first.Named(spanRequest) {
		if s.ID() == attempts[0].Parent() {
			request = s
		}
	}
	switch {
	case request.Span == nil:
		return "the first attempt is not below its request:" + first.String()
	case request.Kind != tracepb.Span_SPAN_KIND_SERVER, request.Operation() != op.ID, request.Service != "writeback-api":
		return "the first attempt is below another request:" + first.String()
	case !published(first, request, "operation.accepted."):
		return "its message is not below the request:" + first.String()
	}
	for i, a := range attempts {
		if gap := c.gapOf(attempts, i, request); gap != "" {
			return fmt.Sprintf("attempt %d: %s:%s", i+1, gap, c.byID[a.TraceID()])
		}
	}
	return ""
}

// gapOf says what the trace of one attempt lacks.
func (c *traces) gapOf(attempts otlp.Trace, i int, request otlp.Span) string {
	a, event := attempts[i], "operation.attempted"
	if i == len(attempts)-1 {
		event = "operation.succeeded"
	}
	trace := c.byID[a.TraceID()]
	calls := 0
	for _, s := range trace.Below(a.ID()) {
		if s.Kind == tracepb.Span_SPAN_KIND_CLIENT {
			calls++
		}
	}
	switch links := a.LinkedTo(); {
	case a.At("writeback.attempt") != strconv.Itoa(i+1):
		return "it is the attempt " + a.At("writeback.attempt")
	case a.Service != "writeback-worker":
		return "it is from " + a.Service
	case calls == 0 && a.At("writeback.provider") != sandbox.Simulator:
		return "the call is missing"
	case len(trace.Below(a.ID()).Named(spanRecord)) != 1:
		return "what is recorded is missing"
	case !published(trace, a, event):
		return "the event is missing"
	case i > 0 && a.Parent() != "":
		return "it stretches a trace"
	case i > 0 && links["previous attempt"] != attempts[i-1].Place():
		return "it is not linked to the attempt before"
	case i > 0 && links["request"] != request.Place():
		return "it is not linked to the request"
	}
	return ""
}

// published reports whether a message of the subject was published right below the span.
func published(t otlp.Trace, above otlp.Span, subject string) bool {
	for _, s := range t.Below(above.ID()) {
		if s.Kind == tracepb.Span_SPAN_KIND_PRODUCER && strings.HasPrefix(s.Name, "publish "+subject) {
			return true
		}
	}
	return false
}
