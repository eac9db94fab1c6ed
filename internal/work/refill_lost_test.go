package work_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// losing is a history whose streams lack what happened since then, as so many looks find.
type losing struct {
	since time.Time
	looks int
}

func (l *losing) Losses(context.Context, map[string]string) (have map[string]string, operations, events *time.Time, err error) {
	have = map[string]string{"a stream": "is there"}
	if l.looks--; l.looks < 0 {
		return have, nil, nil, nil
	}
	return have, &l.since, &l.since, nil
}

// again notes what is published again.
type again struct {
	*natsq.Publisher
	mu       sync.Mutex
	accepted []uuid.UUID
	events   []operation.Event
	fails    error
}

func (a *again) AcceptedAgain(ctx context.Context, m operation.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accepted = append(a.accepted, m.ID)
	return a.Publisher.AcceptedAgain(ctx, m)
}

func (a *again) EventAgain(ctx context.Context, e operation.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fails != nil {
		return a.fails
	}
	a.events = append(a.events, e)
	return a.Publisher.EventAgain(ctx, e)
}

// TestRefill_SaysWhatTheLostPartSaid: no more than that, and all of it, also if that fails the first time.
func TestRefill_SaysWhatTheLostPartSaid(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(spy *again, lanes *refusing, on bool){
		"at once":                       func(*again, *refusing, bool) {},
		"although an event was refused": func(a *again, _ *refusing, on bool) { a.fails = map[bool]error{true: errors.New("full")}[on] },
		"although a lane was not read":  func(_ *again, lanes *refusing, on bool) { lanes.on.Store(on) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, failing())
			stop := r.worker()
			r.ended(r.accept(r.change(uuid.New(), "before")).ID)
			early := r.accept(r.change(uuid.New(), "fail"))
			stop()
			since := time.Now()
			ends, late := r.accept(r.change(uuid.New(), "fine")), r.accept(r.change(uuid.New(), "fail"))
			stop = r.worker()
			r.ended(ends.ID)
			require.Eventually(t, func() bool { return r.rows(late.ID) > 0 && r.latest(early.ID).After(since) }, 20*time.Second, 5*time.Millisecond)
			stop()
			sync := r.change(uuid.New(), "is called now")
			sync.Sync = true
			_, err := r.store.AcceptSync(t.Context(), sync, r.storeLimits(), uuid.New())
			require.NoError(t, err)
			untried := r.accept(r.change(uuid.New(), "nobody calls"))

			spy, lanes := &again{Publisher: r.pub}, &refusing{released: released{step: "lane"}}
			r.rdb.AddHook(lanes)
			refiller := work.NewRefiller(r.store, &losing{since, 2}, spy, r.partners, r.parts.Log)
			if name != "at once" {
				fail(spy, lanes, true)
				require.Error(t, refiller.Check(t.Context()))
				fail(spy, lanes, false)
				spy.accepted, spy.events = nil, nil // and from now on only a note says what is lost
			}
			require.NoError(t, refiller.Check(t.Context()))

			require.ElementsMatch(t, []uuid.UUID{late.ID, untried.ID}, spy.accepted)
			told := map[uuid.UUID]operation.Event{}
			for _, e := range spy.events {
				told[e.Operation.ID] = e
			}
			require.Len(t, spy.events, 3)
			require.Equal(t, operation.EventSucceeded, told[ends.ID].Kind)
			for _, id := range []uuid.UUID{early.ID, late.ID} {
				rec, err := r.store.GetRecord(t.Context(), r.conn, id)
				require.NoError(t, err)
				require.Equal(t, operation.EventAttempted, told[id].Kind)
				require.Equal(t, rec.NextAt, told[id].NextAt)
				require.False(t, rec.NextAt.IsZero())
			}
		})
	}
}

// latest is when the operation last changed.
func (r *rig) latest(id uuid.UUID) time.Time {
	op, err := r.store.Get(r.t.Context(), r.conn, id)
	require.NoError(r.t, err)
	return op.UpdatedAt
}

// TestRefill_LooksOnceMoreWhenItIsItsTurn: another process may have filled the streams meanwhile.
func TestRefill_LooksOnceMoreWhenItIsItsTurn(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	r.accept(r.change(uuid.New(), "x"))
	spy := &again{Publisher: r.pub}
	require.NoError(t, work.NewRefiller(r.store, &losing{time.Time{}, 1}, spy, r.partners, r.parts.Log).Check(t.Context()))
	require.Empty(t, spy.accepted)
	mine, err := redisstore.New(r.rdb, redisstore.Config{}).TakeRefill(t.Context(), time.Minute)
	require.NoError(t, err)
	require.True(t, mine, "whoever comes next need not wait")
}

// TestRefill_CanFillWhatItKnows: of streams that nobody has noted, and of a shard that has nothing, it does not know
// what they had.
func TestRefill_CanFillWhatItKnows(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	require.Error(t, r.refiller().CanFill(t.Context()))
	require.NoError(t, r.refiller().Check(t.Context()))
	require.NoError(t, r.refiller().CanFill(t.Context()))
	keys, err := r.rdb.Keys(t.Context(), fmt.Sprintf("wb:{%02d}:*", operation.ShardOf(r.conn))).Result()
	require.NoError(t, err)
	require.NoError(t, r.rdb.Del(t.Context(), keys...).Err())
	require.Error(t, r.refiller().CanFill(t.Context()))
}
