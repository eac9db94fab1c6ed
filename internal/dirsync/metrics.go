package dirsync

import (
	"context"

	"writeback/internal/metrics"
)

// meters of the sync.
type meters struct{ users, pages, walks *metrics.Counter }

func newMetrics() meters {
	set := metrics.New(nil)
	return meters{users: set.Counter(metrics.SyncUsers), pages: set.Counter(metrics.SyncPages), walks: set.Counter(metrics.SyncWalks)}
}

func count(ctx context.Context, c *metrics.Counter, provider, result string, n int) {
	if n > 0 {
		c.Add(ctx, n, provider, result)
	}
}
