package telemetry

import (
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TestSampler reads the environment, so it is not parallel.
func TestSampler(t *testing.T) {
	sampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true})
	unsampled := sampled.WithTraceFlags(0)
	for _, tt := range []struct {
		sampler, arg string
		parent       trace.SpanContext
		link         trace.SpanContext
		want         bool
	}{
		{want: true},
		{parent: unsampled, want: false},
		{parent: sampled, want: true},
		{link: unsampled, want: false},
		{link: sampled, want: true},
		{sampler: "parentbased_always_off", link: sampled, want: true},
		{sampler: "parentbased_always_off", want: false},
		{sampler: "parentbased_traceidratio", arg: "0", want: false},
		{sampler: "parentbased_traceidratio", arg: "0", parent: sampled, want: true},
		{sampler: "parentbased_traceidratio", arg: "0", link: sampled, want: true},
		{sampler: "parentbased_traceidratio", arg: "1", want: true},
		{sampler: "traceidratio", parent: unsampled, want: true},
		{sampler: "always_off", parent: sampled, want: false},
		{sampler: "always_on", parent: unsampled, want: true},
	} {
		t.Setenv("OTEL_TRACES_SAMPLER", tt.sampler)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", tt.arg)
		sampler, err := samplerFromEnv()
		require.NoError(t, err)
		provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler))
		var opts []trace.SpanStartOption
		if tt.link.IsValid() {
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: tt.link}))
		}
		_, span := provider.Tracer("t").Start(trace.ContextWithRemoteSpanContext(t.Context(), tt.parent), "s", opts...)
		require.Equal(t, tt.want, span.SpanContext().IsSampled(), "%+v", tt)
	}
	for sampler, arg := range map[string]string{"parentbased_traceidratio": "2", "traceidratio": "x", "nonsense": ""} {
		t.Setenv("OTEL_TRACES_SAMPLER", sampler)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", arg)
		_, err := samplerFromEnv()
		require.ErrorContains(t, err, "OTEL_TRACES_SAMPLER")
	}
}

func TestWithIDs_FixesOneSpan(t *testing.T) {
	t.Parallel()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithIDGenerator(idGenerator{})).Tracer("t")
	traceID, spanID := trace.TraceID{1}, trace.SpanID{2}
	_, root := tracer.Start(WithIDs(t.Context(), traceID, spanID), "root")
	defer root.End()
	require.Equal(t, traceID, root.SpanContext().TraceID())
	require.Equal(t, spanID, root.SpanContext().SpanID())
	_, below := tracer.Start(trace.ContextWithSpan(t.Context(), root), "below")
	defer below.End()
	require.Equal(t, traceID, below.SpanContext().TraceID())
	require.NotEqual(t, spanID, below.SpanContext().SpanID())
	_, other := tracer.Start(t.Context(), "other")
	defer other.End()
	require.NotEqual(t, traceID, other.SpanContext().TraceID())
	require.True(t, other.SpanContext().IsValid())
}
