package dirsync

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics of the sync. Labels are closed sets: provider, result.
type metrics struct {
	users metric.Int64Counter
	pages metric.Int64Counter
	walks metric.Int64Counter
}

// newMetrics makes the instruments; one that cannot be made records nothing.
func newMetrics() metrics {
	m := otel.Meter("writeback/dirsync")
	var out metrics
	out.users, _ = m.Int64Counter("writeback.sync.users", metric.WithDescription("Users of the directory sync by provider and result."))
	out.pages, _ = m.Int64Counter("writeback.sync.pages", metric.WithDescription("Pages that were listed, by provider and result."))
	out.walks, _ = m.Int64Counter("writeback.sync.walks", metric.WithDescription("Ended walks over a connection's users, by provider and result."))
	return out
}

func count(ctx context.Context, c metric.Int64Counter, provider, result string, n int) {
	if n > 0 {
		c.Add(ctx, int64(n), metric.WithAttributes(attribute.String("provider", provider), attribute.String("result", result)))
	}
}
