package telemetry

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// samplerFromEnv reads OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG. By default
// everything is sampled whose parent is, and all that has none.
func samplerFromEnv() (sdktrace.Sampler, error) {
	name := strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER")))
	root, parented := strings.CutPrefix(name, "parentbased_")
	var sampler sdktrace.Sampler
	switch root {
	case "":
		sampler, parented = sdktrace.AlwaysSample(), true
	case "always_on":
		sampler = sdktrace.AlwaysSample()
	case "always_off":
		sampler = sdktrace.NeverSample()
	case "traceidratio":
		ratio := 1.0
		if text := strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER_ARG")); text != "" {
			var err error
			if ratio, err = strconv.ParseFloat(text, 64); err != nil || ratio < 0 || ratio > 1 {
				return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not %q", text)
			}
		}
		sampler = sdktrace.TraceIDRatioBased(ratio)
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER %q is not known", name)
	}
	if parented {
		return sdktrace.ParentBased(linkBased{sampler}), nil
	}
	return linkBased{sampler}, nil
}

// linkBased decides over a root span with a link as it was decided over the span that
// the link leads to: a retry is in a trace of its own, and is worth as much as the
// request that it belongs to. Others are left to root.
type linkBased struct{ root sdktrace.Sampler }

// ShouldSample decides.
func (l linkBased) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if len(p.Links) == 0 || !p.Links[0].SpanContext.IsValid() {
		return l.root.ShouldSample(p)
	}
	if p.Links[0].SpanContext.IsSampled() {
		return sdktrace.AlwaysSample().ShouldSample(p)
	}
	return sdktrace.NeverSample().ShouldSample(p)
}

// Description names the sampler.
func (l linkBased) Description() string { return "LinkBased{" + l.root.Description() + "}" }
