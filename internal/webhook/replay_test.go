package webhook_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// TestReplay_FullQueueLosesNoDeadLetter: what has no room stays dead, and is sent once
// there is.
func TestReplay_FullQueueLosesNoDeadLetter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	_, err := r.front.Pause(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	r.bound = 2
	p, _ := r.work()
	for range 3 {
		r.operation(true)
	}
	dead := func() int {
		m, err := p.records.Metrics(t.Context(), r.partner, s.ID)
		require.NoError(t, err)
		return m.DeadLetters
	}
	require.Eventually(t, func() bool { return dead() == 1 }, soon, often)
	require.Equal(t, 2, r.queued(p, s))

	_, err = p.records.Replay(t.Context(), r.partner, s.ID, webhook.ReplayQuery{})
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeRateLimited, refused.Code)
	require.Positive(t, refused.RetryAfter)
	require.Equal(t, 1, dead())

	_, err = r.front.Activate(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	e.after(t, 2)
	require.Eventually(t, func() bool { return r.queued(p, s) == 0 }, soon, often)
	n, err := p.records.Replay(t.Context(), r.partner, s.ID, webhook.ReplayQuery{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	ids := map[string]bool{}
	for _, g := range e.after(t, 3) {
		ids[g.ID] = true
	}
	require.Len(t, ids, 3)
	require.Zero(t, dead())
}

// together lets nobody publish before as many are about to.
type together struct {
	publisher
	mu      sync.Mutex
	missing int
	all     chan struct{}
}

type publisher interface {
	Accepted(ctx context.Context, m operation.Message, quiet bool) error
	Event(ctx context.Context, e operation.Event) error
	Connected() bool
}

func (p *together) Accepted(ctx context.Context, m operation.Message, quiet bool) error {
	p.mu.Lock()
	if p.missing--; p.missing == 0 {
		close(p.all)
	}
	p.mu.Unlock()
	select {
	case <-p.all:
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.publisher.Accepted(ctx, m, quiet)
}

// TestReplay_ManyAtOnce: one round trip after the other, ten thousand would take longer
// than a request may.
func TestReplay_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	const many = 16
	for range many {
		r.operation(true)
	}
	require.Eventually(t, func() bool {
		m, err := p.records.Metrics(t.Context(), r.partner, s.ID)
		return err == nil && m.Hours6.Successes == many
	}, soon, often)
	p.fanout.Publisher = &together{publisher: p.fanout.Publisher, missing: many, all: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	n, err := p.records.Replay(ctx, r.partner, s.ID, webhook.ReplayQuery{Status: webhook.LogSuccess})
	require.NoError(t, err)
	require.Equal(t, many, n)
	require.NoError(t, ctx.Err())
	e.after(t, 2*many)
}

// TestRecords_AreOfTheirPartner: to another there is no such webhook.
func TestRecords_AreOfTheirPartner(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventSucceeded})
	for partner, want := range map[uuid.UUID]operation.Code{r.partner: "", uuid.New(): operation.CodeNotFound} {
		_, metrics := r.front.records.Metrics(t.Context(), partner, s.ID)
		_, _, logs := r.front.records.Logs(t.Context(), partner, webhook.LogQuery{Webhook: s.ID, Limit: 1})
		_, replay := r.front.records.Replay(t.Context(), partner, s.ID, webhook.ReplayQuery{})
		for _, err := range []error{metrics, logs, replay} {
			if want == "" {
				require.NoError(t, err)
				continue
			}
			var known *operation.Error
			require.ErrorAs(t, err, &known)
			require.Equal(t, want, known.Code)
		}
	}
}
