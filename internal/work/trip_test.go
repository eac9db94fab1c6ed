package work_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func flaky(n int, f operation.Failure) func(context.Context, int, tsp.UserUpdate) error {
	return func(_ context.Context, call int, _ tsp.UserUpdate) error {
		if call <= n {
			return &f
		}
		return nil
	}
}

var busyProvider = operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 500, Detail: "answered 500"}

func TestTrip_SucceedsAndTellsOnce(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	r.worker()
	op := r.accept(r.change(uuid.New(), "hello"))
	done := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, done.Attempts, 1)
	require.Equal(t, 200, done.Attempts[0].StatusCode)
	require.Equal(t, requestID, done.Attempts[0].Header)
	require.Len(t, r.provider.received(), 1)
	require.Equal(t, operation.Text("hello"), r.provider.received()[0].Changes[operation.FieldNotes])

	require.Eventually(t, func() bool { return len(r.events()) == 1 }, 10*time.Second, 10*time.Millisecond)
	e := r.events()[0]
	require.Equal(t, operation.EventSucceeded, e.Kind)
	require.Equal(t, operation.EventID(op.ID, operation.EventSucceeded), e.ID)
	require.Equal(t, done, e.Operation, "the event carries the whole read view")
	r.settled()
}

// settled waits until nothing is left in any outbox.
func (r *rig) settled() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		for shard := range operation.Shards {
			n, err := r.rdb.ZCard(r.t.Context(), fmt.Sprintf("wb:{%02d}:outbox", shard)).Result()
			if err != nil || n > 0 {
				return false
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond)
}

func TestTrip_RetriesThenSucceeds(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{answer: flaky(2, busyProvider)})
	r.worker()
	op := r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	require.Equal(t, operation.Succeeded, op.Status)
	require.Len(t, op.Attempts, 3)
	require.Equal(t, operation.ErrorTSP, op.Attempts[0].ErrorType)
	require.Empty(t, op.Attempts[2].ErrorType)
	for i, call := range r.provider.received() {
		require.Equal(t, tsp.UserUpdate{OperationID: op.ID, SourceID: op.SourceID, Changes: op.Changes, Repeat: i > 0}, call)
	}
	r.settled()
	kinds := []operation.EventKind{}
	for _, e := range r.events() {
		kinds = append(kinds, e.Kind)
	}
	require.Equal(t, []operation.EventKind{operation.EventAttempted, operation.EventAttempted, operation.EventSucceeded}, kinds)
}

func TestTrip_GivesUpAfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{answer: flaky(100, busyProvider)})
	r.worker()
	a := r.change(uuid.New(), "x")
	a.MaxAttempts = 3
	op := r.ended(r.accept(a).ID)
	require.Equal(t, operation.Failed, op.Status)
	require.Len(t, op.Attempts, 3)
	require.Contains(t, op.Attempts[2].Detail, "gave up after attempt 3 of 3")
}

func TestTrip_NeverRetriesValidation(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{answer: flaky(100, *operation.Refuse("notes: too long"))})
	r.worker()
	op := r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	require.Equal(t, operation.Failed, op.Status)
	require.Len(t, op.Attempts, 1)
	require.Equal(t, operation.ErrorValidation, op.Attempts[0].ErrorType)
}

func TestTrip_OrderOfOneUserAcrossRetries(t *testing.T) {
	t.Parallel()
	const users, each = 6, 15
	p := &provider{limits: tsp.Limits{InFlight: 64}}
	p.answer = func(_ context.Context, n int, _ tsp.UserUpdate) error {
		if n%3 == 0 {
			f := busyProvider
			return &f
		}
		return nil
	}
	r := rigOn(t, p)
	r.worker()
	r.worker()
	var last []operation.Operation
	want := map[string][]string{}
	for range users {
		user := uuid.New()
		for i := range each {
			text := fmt.Sprint(i)
			want[user.String()] = append(want[user.String()], text)
			last = append(last, r.accept(r.change(user, text)))
		}
	}
	for _, op := range last {
		require.Equal(t, operation.Succeeded, r.ended(op.ID).Status)
	}
	got := map[string][]string{}
	seen := map[uuid.UUID]bool{}
	for _, c := range p.received() {
		if !seen[c.OperationID] {
			seen[c.OperationID] = true
			got[c.SourceID] = append(got[c.SourceID], c.Changes[operation.FieldNotes].Text())
		}
	}
	require.Equal(t, want, got)
	r.settled()
}

func TestTrip_PanicFailsItsAttemptOnly(t *testing.T) {
	t.Parallel()
	p := &provider{answer: func(_ context.Context, n int, _ tsp.UserUpdate) error {
		if n == 1 {
			panic("adapter bug")
		}
		return nil
	}}
	r := rigOn(t, p)
	r.worker()
	op := r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	require.Equal(t, operation.Failed, op.Status)
	require.NotContains(t, op.Attempts[0].Detail, "adapter bug", "no internal detail leaks")
	require.Equal(t, operation.Succeeded, r.ended(r.accept(r.change(uuid.New(), "x")).ID).Status)
}

// panicking is a provider that panics where it is asked for more than a write.
type panicking struct{ *provider }

func (panicking) ReadUser(context.Context, tsp.Connection, string) (operation.Changes, error) {
	panic("adapter bug")
}

// TestTrip_PanicInAReadBackIsNoFailure: the write before it is known to be done.
func TestTrip_PanicInAReadBackIsNoFailure(t *testing.T) {
	t.Parallel()
	p := panicking{&provider{}}
	r := rigOn(t, p.provider)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	r.parts.Providers, r.parts.Directory = registry, settings{}
	r.worker()
	op := r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	require.Equal(t, operation.Succeeded, op.Status)
	require.Empty(t, op.Attempts[0].Unapplied)
}

// moody is a provider whose look at a credential panics the first time.
type moody struct {
	login
	asked *atomic.Int32
}

func (m moody) Fresh(tsp.Credentials, time.Time) bool {
	if m.asked.Add(1) == 1 {
		panic("adapter bug")
	}
	return true
}

func TestTrip_PanicOverACredentialFailsItsAttemptOnly(t *testing.T) {
	t.Parallel()
	p := moody{login{&provider{}}, &atomic.Int32{}}
	r := rigOn(t, p.provider)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	r.parts.Providers = registry
	r.worker()
	op := r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	require.Equal(t, operation.Failed, op.Status)
	require.NotContains(t, op.Attempts[0].Detail, "adapter bug", "no internal detail leaks")
	require.Equal(t, operation.Succeeded, r.ended(r.accept(r.change(uuid.New(), "x")).ID).Status)
}

func TestTrip_RetryAfterBlocksTheConnection(t *testing.T) {
	t.Parallel()
	limited := operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 429, RetryAfter: 400 * time.Millisecond, Detail: "429"}
	r := rigOn(t, &provider{answer: flaky(1, limited), limits: tsp.Limits{InFlight: 1}})
	r.worker()
	first := r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	require.Equal(t, operation.Succeeded, first.Status)
	gap := first.Attempts[1].StartedAt.Sub(first.Attempts[0].EndedAt)
	require.GreaterOrEqual(t, gap, 400*time.Millisecond)
}

func TestStop_GivesBackAndFinishes(t *testing.T) {
	t.Parallel()
	called, finish := make(chan struct{}), make(chan struct{})
	p := &provider{answer: func(_ context.Context, n int, _ tsp.UserUpdate) error {
		if n == 1 {
			close(called)
			<-finish
		}
		return nil
	}}
	r := rigOn(t, p)
	stop := r.worker()
	op := r.accept(r.change(uuid.New(), "x"))
	<-called
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("stopped while a call was under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	<-stopped
	got, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Succeeded, got.Status, "what was under way is finished and recorded")
}

func TestStop_BreaksOffAfterTheGrace(t *testing.T) {
	t.Parallel()
	called := make(chan struct{})
	p := &provider{answer: func(ctx context.Context, n int, _ tsp.UserUpdate) error {
		if n > 1 {
			return nil
		}
		close(called)
		<-ctx.Done()
		return &operation.Failure{Type: operation.ErrorNetwork, Retryable: true, Detail: "broken off"}
	}}
	r := rigOn(t, p)
	r.cfg.Grace = 50 * time.Millisecond
	stop := r.worker()
	op := r.accept(r.change(uuid.New(), "x"))
	<-called
	stop()
	got, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, got.Status)
	require.Len(t, got.Attempts, 1, "a call that was broken off has its row")
	r.worker()
	require.Equal(t, operation.Succeeded, r.ended(op.ID).Status, "another worker goes on")
}

func TestSync_OneAttempt(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{answer: flaky(1, busyProvider)})
	r.worker()
	failed, err := r.accepter.Sync(t.Context(), r.change(uuid.New(), "x"), r.limits())
	require.NoError(t, err)
	require.Equal(t, operation.Failed, failed.Status)
	require.Len(t, failed.Attempts, 1)
	ok, err := r.accepter.Sync(t.Context(), r.change(uuid.New(), "x"), r.limits())
	require.NoError(t, err)
	require.Equal(t, operation.Succeeded, ok.Status)
	require.Len(t, r.provider.received(), 2)
	r.settled()
	for _, e := range r.events() {
		require.True(t, e.Operation.Sync, "so that webhooks can skip it")
	}
}

func TestSync_RefusedWhileAnEarlierOneIsPending(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	user := uuid.New()
	r.accept(r.change(user, "first")) // no worker: it stays pending
	_, err := r.accepter.Sync(t.Context(), r.change(user, "second"), r.limits())
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeConflict, refused.Code)
	require.Empty(t, r.provider.received())
}

func TestNATSDown_AcceptsAndWorksAndTellsLater(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	r := newRig(t, server.URL(), testenv.Redis(t), &provider{})
	r.worker()
	require.Equal(t, operation.Succeeded, r.ended(r.accept(r.change(uuid.New(), "before")).ID).Status)
	server.Kill()
	require.Eventually(t, func() bool { return !r.nc.IsConnected() }, 10*time.Second, 5*time.Millisecond)
	during := r.ended(r.accept(r.change(uuid.New(), "during")).ID)
	require.Equal(t, operation.Succeeded, during.Status, "the due index does not need a message")
	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool {
		if !r.nc.IsConnected() {
			return false
		}
		for _, e := range r.events() {
			if e.Operation.ID == during.ID {
				return true
			}
		}
		return false
	}, 30*time.Second, 50*time.Millisecond, "events follow when NATS is back")
	r.settled()
}

func TestRedisDown_PausesAndBurnsNoAttempt(t *testing.T) {
	t.Parallel()
	server := testenv.RedisAOF(t, t.TempDir())
	r := newRig(t, testenv.NATS(t), server.URL(), &provider{})
	op := r.accept(r.change(uuid.New(), "x"))
	server.Kill()
	r.worker()
	_, err := r.accepter.Accept(t.Context(), r.change(uuid.New(), "y"), r.limits())
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeUnavailable, refused.Code)
	require.Positive(t, refused.RetryAfter)
	require.NoError(t, server.Restart())
	done := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, done.Attempts, 1)
	require.False(t, errors.Is(err, context.Canceled))
}
