package work

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics of the trip. Labels are closed sets: provider, outcome, kind of repair.
type metrics struct {
	attempts metric.Int64Counter
	duration metric.Float64Histogram
	ended    metric.Int64Counter
	repairs  metric.Int64Counter
	delay    metric.Float64Histogram
}

// newMetrics makes the instruments. An instrument that cannot be made records
// nothing; that is never a reason to stop. name starts their names.
func newMetrics(name string) metrics {
	m := otel.Meter("writeback/work")
	var out metrics
	out.attempts, _ = m.Int64Counter(name+".attempts", metric.WithDescription("Attempts by provider and outcome."))
	out.duration, _ = m.Float64Histogram(name+".attempt.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of attempts by provider."))
	out.ended, _ = m.Int64Counter(name+".operations.ended", metric.WithDescription("Operations that ended, by provider and status."))
	out.repairs, _ = m.Int64Counter(name+".repairs",
		metric.WithDescription("Repairs by kind: expired leases, healed records, republished messages, dead letters. Zero in normal life."))
	out.delay, _ = m.Float64Histogram(name+".first_attempt.delay", metric.WithUnit("s"),
		metric.WithDescription("Time from accept to the first attempt, by provider."))
	return out
}

func (m metrics) attempted(ctx context.Context, provider, outcome string, d time.Duration) {
	m.attempts.Add(ctx, 1, metric.WithAttributes(attribute.String("provider", provider), attribute.String("outcome", outcome)))
	m.duration.Record(ctx, d.Seconds(), metric.WithAttributes(attribute.String("provider", provider)))
}

func (m metrics) repaired(ctx context.Context, kind string, n int) {
	if n > 0 {
		m.repairs.Add(ctx, int64(n), metric.WithAttributes(attribute.String("kind", kind)))
	}
}

func (m metrics) first(ctx context.Context, provider string, d time.Duration) {
	m.delay.Record(ctx, d.Seconds(), metric.WithAttributes(attribute.String("provider", provider)))
}
