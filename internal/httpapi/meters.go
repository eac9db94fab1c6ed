package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/metric"

	"writeback/internal/metrics"
	"writeback/pkg/operation"
)

// meters of the edge.
type meters struct {
	duration *metrics.Histogram
	active   *metrics.Sum
	accepted *metrics.Counter
	updates  *metrics.Counter
	replays  *metrics.Counter
	rejected *metrics.Counter
}

func newMeters(provider metric.MeterProvider) meters {
	set := metrics.New(provider)
	return meters{
		duration: set.Histogram(metrics.HTTPServerDuration), active: set.UpDown(metrics.HTTPServerActive),
		accepted: set.Counter(metrics.Accepted), updates: set.Counter(metrics.BatchUpdates),
		replays: set.Counter(metrics.Replays), rejected: set.Counter(metrics.TokensRejected),
	}
}

// answered measures a request by the conventions for HTTP servers.
func (m meters) answered(ctx context.Context, r *http.Request, route string, status int, took time.Duration) {
	code, fault := strconv.Itoa(status), ""
	if status >= http.StatusInternalServerError {
		fault = code
	}
	m.duration.Record(ctx, took.Seconds(), method(r.Method), route, code, scheme(r), fault)
}

// batch counts the updates of a request for many by what each was answered with. A
// request that is refused as a whole refuses all of them, or one if nobody knows how many.
func (m meters) batch(ctx context.Context, status int, b *counts) {
	if status == http.StatusOK && b != nil {
		for code, n := range b.statuses {
			m.updates.Add(ctx, n, strconv.Itoa(code))
		}
		return
	}
	n := 1
	if b != nil {
		n = max(1, b.elements)
	}
	m.updates.Add(ctx, n, strconv.Itoa(status))
}

// taken counts an operation that was accepted, or had been under the same key.
func (m meters) taken(ctx context.Context, a operation.Accepted, replay bool) {
	if replay {
		m.replays.Add(ctx, 1)
		return
	}
	mode := metrics.ModeAsync
	if a.Sync {
		mode = metrics.ModeSync
	}
	m.accepted.Add(ctx, 1, a.Provider, string(a.Type), mode)
}

// scheme is how the request came here; a proxy before us may have ended TLS.
func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}
