package work_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// away is a Redis that does not answer while it is set.
type away struct{ atomic.Bool }

var errRedisAway = errors.New("redis is away")

// DialHook changes nothing.
func (a *away) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook refuses commands.
func (a *away) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if a.Load() {
			cmd.SetErr(errRedisAway)
			return errRedisAway
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook refuses pipelines.
func (a *away) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !a.Load() {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(errRedisAway)
		}
		return errRedisAway
	}
}

// A worker that is told to stop while Redis is away, with a call just ended, does not wait
// for Redis: the outcome that it cannot record is in its log, and its trace has an error. Not
// parallel: see recordSpans.
func TestStop_DoesNotWaitForAStoreThatIsAway(t *testing.T) {
	spans := recordSpans(t)
	started, answer := make(chan struct{}), make(chan struct{})
	r := rigOn(t, &provider{answer: func(context.Context, int, tsp.UserUpdate) error {
		close(started)
		<-answer
		return nil
	}})
	var log bytes.Buffer
	r.parts.Log = slog.New(slog.NewTextHandler(&log, nil))
	r.cfg.Grace = time.Millisecond
	var gone away
	r.rdb.AddHook(&gone)
	stop := r.worker()
	op := r.accept(r.change(uuid.New(), "x"))
	<-started
	gone.Store(true)
	close(answer)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(20 * work.RecordTime):
		gone.Store(false) // or it would not end
		<-stopped
		require.Fail(t, "the worker waited for Redis")
	}
	require.Contains(t, log.String(), "outcome not recorded")
	require.Contains(t, log.String(), "operation_id="+op.ID.String())
	require.Contains(t, log.String(), "outcome=success status_code=200")
	recorded := named(spans, "record outcome")
	require.Len(t, recorded, 1)
	require.Equal(t, codes.Error, recorded[0].Status().Code)
	require.Len(t, named(spans, "operation attempt"), 1)
}

// A line about Redis says which one: an error such as "context deadline exceeded" does not.
func TestAway_TheLineNamesRedis(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	log := &lineBuffer{}
	r.parts.Log = slog.New(slog.NewTextHandler(log, nil))
	var gone away
	r.rdb.AddHook(&gone)
	r.worker()
	gone.Store(true)
	require.Eventually(t, func() bool { return strings.Contains(log.text(), "polling for due lanes") }, 10*time.Second, time.Millisecond)
	gone.Store(false)
	require.Contains(t, log.text(), "redis="+r.rdb.Options().Addr)
}

// lineBuffer keeps a log that is read while it is written.
type lineBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write takes a line.
func (l *lineBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lineBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lingering is a source of messages that ends late.
type lingering struct{ passes time.Duration }

// Run waits for the end, and for longer.
func (l lingering) Run(ctx context.Context, _ func(context.Context, operation.Message, func(), func())) error {
	<-ctx.Done()
	time.Sleep(l.passes)
	return nil
}

// The grace is counted from the stop: what fetches may take its time to end, when a server hangs.
func TestStop_TheGraceBeginsAtOnce(t *testing.T) {
	t.Parallel()
	const lingers = 5 * time.Second
	started, brokenOff := make(chan struct{}), make(chan time.Time, 1)
	r := rigOn(t, &provider{answer: func(ctx context.Context, _ int, _ tsp.UserUpdate) error {
		close(started)
		<-ctx.Done()
		brokenOff <- time.Now()
		return ctx.Err()
	}})
	r.cfg.Grace = lingers / 5
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{}, r.parts.Log)
	w := work.NewWorker(r.parts, r.cfg, r.acker, restorer)
	stop := r.background(func(ctx context.Context) error { return w.Run(ctx, lingering{lingers}) })
	op := r.accept(r.change(uuid.New(), "x"))
	<-started
	began := time.Now()
	stop()
	require.Less(t, (<-brokenOff).Sub(began), lingers)
	kept, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Len(t, kept.Attempts, 1, "and its outcome is recorded")
}
