package telemetry

import (
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"writeback/internal/sandbox"
	"writeback/test/otlp"
)

const (
	spanRequest  = "PATCH /v2/telematics/users/{user_id}"
	spanPublish  = "publish operation.accepted.busy" // nobody has to be woken
	spanFanOut   = "process operation.accepted.busy"
	spanPublishQ = "publish operation.accepted.quiet"
	spanWake     = "process operation.accepted.quiet"
	spanAttempt  = "operation attempt"
	spanRecord   = "record outcome"
	spanDelivery = "webhook delivery attempt"
	spanSend     = "POST"
	spanCall     = "PATCH"
)

// success: one PATCH is one connected trace over both programs, down to the webhook. The api
// hands the operation to the worker, once it has heard of it.
func (r *rig) success() {
	var op view
	var trace string
	require.Eventually(r.t, func() bool {
		op, trace = r.write(0, "", nil)
		r.collector.AwaitAll(r.t, trace, spanRequest) // which ends after what it publishes
		return len(r.collector.Trace(trace).Named(spanPublish)) == 1
	}, 30*time.Second, 10*time.Millisecond)
	done := r.ended(op.ID)
	require.Equal(r.t, "success", done.Status)
	require.Len(r.t, done.Logs, 1)
	require.Equal(r.t, trace, done.Logs[0].TraceID, "the row tells its trace")
	got := r.collector.AwaitAll(r.t, trace, spanRequest, spanPublish, spanFanOut, spanAttempt, spanCall, spanRecord,
		"publish operation.succeeded", "process operation.succeeded", "publish webhook.accepted", spanDelivery, spanSend)
	r.whole(trace)

	request := got[spanRequest]
	require.Equal(r.t, "writeback-api", request.Service)
	require.Equal(r.t, tracepb.Span_SPAN_KIND_SERVER, request.Kind)
	require.Equal(r.t, "PATCH", request.At("http.request.method"))
	require.Equal(r.t, "/v2/telematics/users/{user_id}", request.At("http.route"))
	require.Equal(r.t, "202", request.At("http.response.status_code"))
	require.Equal(r.t, op.ID, request.At("writeback.operation_id"))

	publish := got[spanPublish]
	require.Equal(r.t, request.ID(), publish.Parent())
	require.Equal(r.t, tracepb.Span_SPAN_KIND_PRODUCER, publish.Kind)
	for key, value := range map[string]string{
		"messaging.system": "nats", "messaging.operation.name": "publish", "messaging.operation.type": "send",
		"messaging.destination.name": "operation.accepted.busy", "messaging.message.conversation_id": op.ID,
	} {
		require.Equal(r.t, value, publish.At(key), key)
	}
	require.Equal(r.t, publish.ID(), got[spanFanOut].Parent())
	require.Empty(r.t, r.collector.Trace(trace).Named(spanWake), "the worker had it already")

	attempt := got[spanAttempt]
	require.Equal(r.t, request.ID(), attempt.Parent())
	require.Equal(r.t, "1", attempt.At("writeback.attempt"))
	require.Equal(r.t, "samsara", attempt.At("writeback.provider"))
	require.Equal(r.t, "success", attempt.At("writeback.outcome"))
	require.Empty(r.t, attempt.Links)
	call := got[spanCall]
	require.Equal(r.t, attempt.ID(), call.Parent())
	require.Equal(r.t, tracepb.Span_SPAN_KIND_CLIENT, call.Kind)
	require.Equal(r.t, "200", call.At("http.response.status_code"))
	require.Equal(r.t, attempt.ID(), got[spanRecord].Parent())
	event := got["publish operation.succeeded"]
	require.Equal(r.t, attempt.ID(), event.Parent())
	require.Equal(r.t, event.ID(), got["process operation.succeeded"].Parent())

	for _, d := range r.collector.Find(func(s otlp.Span) bool { return s.TraceID() == trace && s.Name == spanSend }) {
		require.Equal(r.t, tracepb.Span_SPAN_KIND_CLIENT, d.Kind)
		require.Equal(r.t, "127.0.0.1", d.At("server.address"))
		require.Equal(r.t, "204", d.At("http.response.status_code"))
	}
	r.nothingSecret()
}

// woken: what cannot be called at once, here since an earlier write of its user is under way,
// wakes a worker by its message.
func (r *rig) woken() {
	require.NoError(r.t, r.Fault(sandbox.Fault{
		Provider: sandbox.Samsara, User: sandbox.UserID(connection, 5), LatencyMS: 1000, Count: 1,
	}))
	first, _ := r.write(5, "", nil)
	op, trace := r.write(5, "", nil)
	require.Equal(r.t, "success", r.ended(first.ID).Status)
	require.Equal(r.t, "success", r.ended(op.ID).Status)
	got := r.collector.AwaitAll(r.t, trace, spanRequest, spanPublishQ, spanWake, spanAttempt, spanCall, spanRecord)
	r.whole(trace)
	publish, wake := got[spanPublishQ], got[spanWake]
	require.Equal(r.t, "operation.accepted.quiet", publish.At("messaging.destination.name"))
	require.Equal(r.t, "writeback-worker", wake.Service)
	require.Equal(r.t, publish.ID(), wake.Parent())
	require.Equal(r.t, tracepb.Span_SPAN_KIND_CONSUMER, wake.Kind)
	require.Equal(r.t, "nats", wake.At("messaging.system"))
	require.Equal(r.t, "process", wake.At("messaging.operation.type"))
	require.Equal(r.t, got[spanRequest].ID(), got[spanAttempt].Parent())
}

// retry: each attempt has a span, linked to the one before; those after a delay have a
// trace of their own.
func (r *rig) retry() {
	const failures = 2
	require.NoError(r.t, r.Fault(sandbox.Fault{
		Provider: sandbox.Samsara, User: sandbox.UserID(connection, 1), Status: http.StatusServiceUnavailable, Count: failures,
	}))
	op, trace := r.write(1, "", nil)
	done := r.ended(op.ID)
	require.Equal(r.t, "success", done.Status)
	require.Len(r.t, done.Logs, failures+1)
	var attempts otlp.Trace
	require.Eventually(r.t, func() bool {
		attempts = r.collector.Of(spanAttempt, op.ID)
		return len(attempts) == failures+1
	}, 30*time.Second, 50*time.Millisecond)
	request := r.collector.AwaitAll(r.t, trace, spanRequest)[spanRequest]
	seen := map[string]bool{}
	for i, a := range attempts {
		require.Equal(r.t, done.Logs[i].TraceID, a.TraceID(), "row %d tells the trace of its attempt", i+1)
		require.False(r.t, seen[a.TraceID()], "an attempt after a delay does not stretch a trace")
		seen[a.TraceID()] = true
		require.Equal(r.t, i < failures, a.Failed())
		if i == 0 {
			require.Equal(r.t, trace, a.TraceID())
			require.Equal(r.t, request.ID(), a.Parent())
			continue
		}
		require.Empty(r.t, a.Parent())
		before := attempts[i-1]
		require.Equal(r.t, before.Place(), a.LinkedTo()["previous attempt"])
		require.Equal(r.t, request.Place(), a.LinkedTo()["request"])
	}
	last := attempts[failures].TraceID()
	r.collector.AwaitAll(r.t, last, spanCall, spanRecord, "publish operation.succeeded", spanDelivery, spanSend)
	r.whole(last)
}

// whole wants every span of a trace to be within another: those that deliver a second event
// may come after those that were waited for.
func (r *rig) whole(trace string) {
	r.t.Helper()
	require.EventuallyWithT(r.t, func(c *assert.CollectT) {
		assert.Empty(c, r.collector.Trace(trace).Gap())
	}, 10*time.Second, 50*time.Millisecond)
}

// failure: what the provider refuses ends in a trace that says so.
func (r *rig) failure() {
	require.NoError(r.t, r.Fault(sandbox.Fault{
		Provider: sandbox.Samsara, User: sandbox.UserID(connection, 2), Status: http.StatusBadRequest, Count: 1,
	}))
	op, trace := r.write(2, "", nil)
	require.Equal(r.t, "failed", r.ended(op.ID).Status)
	got := r.collector.AwaitAll(r.t, trace, spanRequest, spanAttempt, spanCall, spanRecord, "publish operation.failed", spanDelivery, spanSend)
	r.whole(trace)
	require.True(r.t, got[spanAttempt].Failed())
	require.Equal(r.t, "validation", got[spanAttempt].At("error.type"))
	require.True(r.t, got[spanCall].Failed())
	require.False(r.t, got[spanRequest].Failed(), "the request was answered as it should be")
}

// sync: the attempt is within the request.
func (r *rig) sync() {
	op, trace := r.write(3, "?is_sync=true", nil)
	require.Equal(r.t, "success", op.Status)
	require.Equal(r.t, trace, op.Logs[0].TraceID)
	got := r.collector.AwaitAll(r.t, trace, spanRequest, spanAttempt, spanCall, spanRecord, "publish operation.succeeded")
	r.whole(trace)
	require.Equal(r.t, "writeback-api", got[spanAttempt].Service)
}

// unsampled: a caller's traceparent is taken as it is, with its decision.
func (r *rig) unsampled() {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	op, trace := r.write(4, "", http.Header{"Traceparent": {"00-" + id + "-00f067aa0ba902b7-00"}})
	require.Equal(r.t, id, trace)
	require.Equal(r.t, id, r.ended(op.ID).Logs[0].TraceID)
	// What comes after it has arrived, so it would have too.
	_, next := r.write(4, "", nil)
	r.collector.AwaitAll(r.t, next, spanRequest, spanAttempt, spanRecord)
	require.Empty(r.t, r.collector.Trace(id))
}

// nothingSecret looks for what may not be in any span or record.
func (r *rig) nothingSecret() {
	r.t.Helper()
	var all strings.Builder
	for _, s := range r.collector.Spans() {
		all.WriteString(s.String())
	}
	for _, l := range r.collector.Records() {
		all.WriteString(l.String())
	}
	for _, secret := range []string{"SECRETTOKEN", "SECRETNAME", "15550100", r.Token(sandbox.ConnectionID(connection)), sandbox.UserID(connection, 0)} {
		require.NotContains(r.t, all.String(), secret)
	}
}
