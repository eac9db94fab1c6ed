package webhook

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// owned finds a partner's subscription; see registry.Registry.
type owned interface {
	Get(ctx context.Context, partner, id uuid.UUID) (Subscription, error)
}

// records reads what was sent; see journal.Journal.
type records interface {
	Metrics(ctx context.Context, s Subscription) (Metrics, error)
	Logs(ctx context.Context, q LogQuery) ([]LogRow, bool, error)
	// Dead gives dead letters, oldest first.
	Dead(ctx context.Context, id uuid.UUID, q ReplayQuery, limit int) ([]DeadLetter, error)
	// Revived takes a dead letter out, unless it has died again since it was read.
	Revived(ctx context.Context, id uuid.UUID, d DeadLetter) error
}

// Records lets a partner look at what was sent to its endpoints, and have it sent
// again. Another partner's subscription is not found. Safe for concurrent use. Every
// error is an *operation.Error.
type Records struct {
	Owned   owned
	Journal records
	Fanout  *Fanout
}

// Metrics gives an endpoint's counts.
func (r *Records) Metrics(ctx context.Context, partner, id uuid.UUID) (Metrics, error) {
	s, err := r.Owned.Get(ctx, partner, id)
	if err != nil {
		return Metrics{}, err
	}
	m, err := r.Journal.Metrics(ctx, s)
	if err != nil {
		return Metrics{}, unavailable(err)
	}
	return m, nil
}

// Logs gives the log rows that the query selects, newest first, and whether there
// are more in its direction.
func (r *Records) Logs(ctx context.Context, partner uuid.UUID, q LogQuery) ([]LogRow, bool, error) {
	if _, err := r.Owned.Get(ctx, partner, q.Webhook); err != nil {
		return nil, false, err
	}
	rows, more, err := r.Journal.Logs(ctx, q)
	if err != nil {
		return nil, false, unavailable(err)
	}
	return rows, more, nil
}

// retryLater is when a partner may come back after a store was not there.
const retryLater = 2 * time.Second

const (
	// MostReplayed bounds one replay; whoever has more asks again.
	MostReplayed = 10_000
	// replaysAtOnce is how many deliveries of a replay are made at once: one by one, ten
	// thousand round trips to Redis and NATS take longer than a request may.
	replaysAtOnce = 16
)

// Replay makes the deliveries that the query selects once more, at most MostReplayed,
// and gives their number. Each has the event id that it had; its attempts count from
// 1 again. Deliveries to an endpoint that is paused or stale wait like all others: if
// no more may, the error is rate_limited, and what is left is as dead as it was.
func (r *Records) Replay(ctx context.Context, partner, id uuid.UUID, q ReplayQuery) (int, error) {
	s, err := r.Owned.Get(ctx, partner, id)
	if err != nil {
		return 0, err
	}
	chosen, err := choose(ctx, r.Journal, id, q)
	if err != nil {
		return 0, unavailable(err)
	}
	replay := uuid.New()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(replaysAtOnce)
	for _, c := range chosen {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := r.Fanout.Replay(ctx, s, c.Reference, replay); err != nil || c.dead == nil {
				return err
			}
			return r.Journal.Revived(ctx, id, *c.dead)
		})
	}
	err = g.Wait()
	switch {
	case errors.Is(err, redisstore.ErrLaneFull):
		return 0, &operation.Error{
			Code: operation.CodeRateLimited, RetryAfter: fullLater, Err: err,
			Message: "as many deliveries as may wait for this webhook do; activate it if it is not active, or replay the rest later",
		}
	case err != nil:
		return 0, unavailable(err)
	}
	return len(chosen), nil
}

// fullLater is when a partner may come back who has too many deliveries waiting.
const fullLater = 30 * time.Second

// choice is one message to replay. dead is its dead letter, if it is one.
type choice struct {
	Reference
	dead *DeadLetter
}

func choose(ctx context.Context, j records, id uuid.UUID, q ReplayQuery) ([]choice, error) {
	var out []choice
	seen := map[uuid.UUID]bool{}
	add := func(r Reference, dead *DeadLetter) {
		wanted := len(q.Messages) == 0 || slices.Contains(q.Messages, r.Message)
		if wanted && !seen[r.Message] && len(out) < MostReplayed {
			seen[r.Message] = true
			out = append(out, choice{r, dead})
		}
	}
	if q.Status != LogSuccess {
		dead, err := j.Dead(ctx, id, q, MostReplayed)
		if err != nil {
			return nil, err
		}
		for i := range dead {
			add(dead[i].Reference, &dead[i])
		}
	}
	if q.Status == "" {
		return out, nil
	}
	// To the present: what failed in the window may have arrived since.
	rows, _, err := j.Logs(ctx, LogQuery{Webhook: id, From: q.From, Limit: 2 * MostReplayed})
	if err != nil {
		return nil, err
	}
	arrived := map[uuid.UUID]bool{}
	for _, row := range rows {
		if row.Status == LogSuccess {
			arrived[row.Reference.Message] = true
		}
	}
	for _, row := range slices.Backward(rows) {
		within := q.To.IsZero() || row.CreatedAt.Before(q.To)
		if within && row.Status == q.Status && (q.Status == LogSuccess || !arrived[row.Reference.Message]) {
			add(row.Reference, nil)
		}
	}
	return out, nil
}

func unavailable(err error) *operation.Error {
	return &operation.Error{
		Code: operation.CodeUnavailable, RetryAfter: retryLater, Err: err,
		Message: "webhooks are not available right now; nothing is lost, try again",
	}
}
