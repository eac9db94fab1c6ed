package work_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// failing makes a provider that fails users whose notes say so, for ever.
func failing() *provider {
	return &provider{limits: tsp.Limits{InFlight: 64}, answer: func(_ context.Context, _ int, u tsp.UserUpdate) error {
		if u.Changes[operation.FieldNotes].Text() == "fail" {
			f := busyProvider
			f.RetryAfter = 0
			return &f
		}
		return nil
	}}
}

// open waits until a shard's data can be used again.
func (r *rig) open() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		_, _, err := r.store.List(r.t.Context(), operation.Query{PartnerID: r.partner, From: time.Now().Add(-time.Hour), To: time.Now(), Limit: 1})
		return err == nil
	}, 30*time.Second, 20*time.Millisecond)
}

func TestRestore_AfterAWipe(t *testing.T) {
	t.Parallel()
	r := rigOn(t, failing())
	stop := r.worker()
	var ended, outstanding []operation.Operation
	user := uuid.New()
	for i := range 20 {
		ended = append(ended, r.accept(r.change(uuid.New(), fmt.Sprint(i))))
	}
	outstanding = append(outstanding, r.accept(r.change(user, "fail")), r.accept(r.change(user, "behind it")))
	for i, op := range ended {
		ended[i] = r.ended(op.ID)
	}
	keyed := r.change(uuid.New(), "keyed")
	keyed.Key = &operation.Key{Scope: "scope", Fingerprint: "print"}
	keyedOp := r.ended(r.accept(keyed).ID)
	require.Eventually(t, func() bool { return r.rows(outstanding[0].ID) >= 2 }, 20*time.Second, 5*time.Millisecond)
	r.flushed()
	stop()
	calls := len(r.provider.received())

	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	_, err := r.store.Get(t.Context(), r.conn, ended[0].ID)
	require.ErrorIs(t, err, redisstore.ErrStale, "an unknown id is not answered as missing while nobody can know")
	r.worker()
	r.worker()
	r.open()

	for _, op := range append(ended, keyedOp) {
		got, err := r.store.Get(t.Context(), r.conn, op.ID)
		require.NoError(t, err)
		op.Key = nil // its row is kept by itself
		require.Equal(t, op, got, "an ended operation is readable again, with its log")
	}
	head, err := r.store.Get(t.Context(), r.conn, outstanding[0].ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, head.Status)
	require.GreaterOrEqual(t, head.Attempted, 2, "attempts are not forgotten")
	behind, err := r.store.Get(t.Context(), r.conn, outstanding[1].ID)
	require.NoError(t, err)
	require.Equal(t, operation.WaitBehind, behind.Wait.Reason)
	require.Equal(t, outstanding[1].Seq, behind.Seq)

	again := keyed
	again.ID = uuid.Must(uuid.NewV7())
	replayed, err := r.accepter.Accept(t.Context(), again, r.limits())
	require.NoError(t, err)
	require.Equal(t, keyed.ID, replayed.ID, "the idempotency key is known again")

	next := r.accept(r.change(user, "newer"))
	require.Greater(t, next.Seq, outstanding[1].Seq)
	for _, c := range r.provider.received()[calls:] {
		require.Equal(t, outstanding[0].ID, c.OperationID, "nothing that had ended is called again")
	}
	_, err = r.store.Cancel(t.Context(), r.conn, outstanding[0].ID)
	require.NoError(t, err)
	require.Equal(t, operation.Succeeded, r.ended(outstanding[1].ID).Status)
	require.Equal(t, operation.Succeeded, r.ended(next.ID).Status)
}

func (r *rig) rows(id uuid.UUID) int {
	op, err := r.store.Get(r.t.Context(), r.conn, id)
	require.NoError(r.t, err)
	return len(op.Attempts)
}

// flushed waits until the streams have every ended operation.
func (r *rig) flushed() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		ops, _, err := r.store.List(r.t.Context(), operation.Query{PartnerID: r.partner, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: 1000})
		require.NoError(r.t, err)
		want := 0
		for _, op := range ops {
			if op.Status.Terminal() {
				want++
			}
		}
		got := map[uuid.UUID]bool{}
		for _, e := range r.events() {
			if e.Kind != operation.EventAttempted {
				got[e.Operation.ID] = true
			}
		}
		return len(got) == want
	}, 20*time.Second, 20*time.Millisecond)
}

// TestRestore_KeepsRetryAfter: until when a provider asked to wait outlives Redis, also if the
// stream that said it was lost before and published again.
func TestRestore_KeepsRetryAfter(t *testing.T) {
	t.Parallel()
	asked := busyProvider
	asked.RetryAfter = time.Hour
	for name, p := range map[string]*provider{
		"with a failure": {answer: func(context.Context, int, tsp.UserUpdate) error { return &asked }},
		"with a success": {spent: true},
	} {
		for _, streamsToo := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streams too %t", name, streamsToo), func(t *testing.T) {
				t.Parallel()
				r := rigOn(t, &provider{answer: p.answer, spent: p.spent})
				stop := r.worker()
				op := r.accept(r.change(uuid.New(), "x"))
				require.Eventually(t, func() bool { return r.rows(op.ID) == 1 }, 20*time.Second, 5*time.Millisecond)
				r.flushed()
				stop()
				require.NoError(t, r.refiller().Check(t.Context()))
				before, err := r.store.Lane(t.Context(), r.conn)
				require.NoError(t, err)
				require.Greater(t, time.Until(before.Blocked), 50*time.Minute)

				if streamsToo {
					r.loses(natsq.StreamOperations, natsq.StreamEvents)
					require.NoError(t, r.refiller().Check(t.Context()))
				}
				require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
				r.worker()
				r.open()
				after, err := r.store.Lane(t.Context(), r.conn)
				require.NoError(t, err)
				require.Equal(t, before.Blocked, after.Blocked)
			})
		}
	}
}

func TestRestore_AfterARollBack(t *testing.T) {
	t.Parallel()
	server := testenv.RedisAOF(t, t.TempDir())
	r := newRig(t, testenv.NATS(t), server.URL(), failing())
	r.worker()
	user := uuid.New()
	early := r.ended(r.accept(r.change(user, "early")).ID)
	r.flushed()

	// What a replica would have that is one moment behind.
	snapshot := dump(t, r)
	late := r.ended(r.accept(r.change(user, "late")).ID)
	waiting := r.accept(r.change(uuid.New(), "fail"))
	require.Eventually(t, func() bool { return r.rows(waiting.ID) >= 1 }, 20*time.Second, 5*time.Millisecond)
	r.flushed()
	calls := map[uuid.UUID]int{}
	for _, c := range r.provider.received() {
		calls[c.OperationID]++
	}
	// Longer than a beat, so that the worker remembers more than the snapshot has.
	time.Sleep(time.Second)
	load(t, r, snapshot)

	require.Eventually(t, func() bool {
		op, err := r.store.Get(t.Context(), r.conn, late.ID)
		return err == nil && op.Status == operation.Succeeded
	}, 30*time.Second, 20*time.Millisecond, "the end that Redis forgot is back")
	got, err := r.store.Get(t.Context(), r.conn, early.ID)
	require.NoError(t, err)
	require.Equal(t, early, got)
	op, err := r.store.Get(t.Context(), r.conn, waiting.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, op.Status)
	require.GreaterOrEqual(t, op.Attempted, 1)
	require.Equal(t, operation.Succeeded, r.ended(r.accept(r.change(user, "after")).ID).Status)
	for _, c := range r.provider.received() {
		if c.OperationID == early.ID || c.OperationID == late.ID {
			calls[c.OperationID]--
		}
	}
	require.Zero(t, calls[early.ID])
	require.Zero(t, calls[late.ID], "what had ended is not called again")
}

// dump copies every key, as a snapshot would.
func dump(t *testing.T, r *rig) map[string]string {
	t.Helper()
	out := map[string]string{}
	keys, err := r.rdb.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		if v, err := r.rdb.Dump(t.Context(), key).Result(); err == nil {
			out[key] = v
		}
	}
	return out
}

// load puts the snapshot in place of what is there, at one moment.
func load(t *testing.T, r *rig, snapshot map[string]string) {
	t.Helper()
	pipe := r.rdb.TxPipeline()
	pipe.FlushAll(t.Context())
	for key, v := range snapshot {
		pipe.Restore(t.Context(), key, 0, v)
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
}

func TestRestore_OlderThanANewerAttemptIsNotWritten(t *testing.T) {
	t.Parallel()
	t.Run("that was counted", func(t *testing.T) { t.Parallel(); olderThanANewerAttempt(t, 1) })
	// It was under way when the data was lost an earlier time, and recorded after that.
	t.Run("that was recorded late", func(t *testing.T) { t.Parallel(); olderThanANewerAttempt(t, 0) })
}

func olderThanANewerAttempt(t *testing.T, counted int) {
	t.Helper()
	r := rigOn(t, &provider{})
	user := uuid.New()
	// The end of the older one never reached a stream; the newer one's did.
	older, newer := r.change(user, "older"), r.change(user, "newer")
	place := func(n int64) operation.Place {
		return operation.Place{Seq: time.Now().UnixMicro() + n, Deadline: time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)}
	}
	a, b := operation.Message{Accepted: older, Place: place(0)}, operation.Message{Accepted: newer, Place: place(1)}
	require.NoError(t, r.pub.Accepted(t.Context(), a, false))
	require.NoError(t, r.pub.Accepted(t.Context(), b, false))
	done := operation.Operation{
		Accepted: newer, Place: b.Place, UpdatedAt: time.Now().UTC().Truncate(time.Microsecond), Status: operation.Succeeded, Attempted: counted,
		Attempts: []operation.Attempt{{ID: uuid.Must(uuid.NewV7()), OperationID: newer.ID, StartedAt: time.Now().UTC().Truncate(time.Microsecond),
			EndedAt: time.Now().UTC().Truncate(time.Microsecond), Status: operation.AttemptSucceeded, StatusCode: 200}},
	}
	require.NoError(t, r.pub.Event(t.Context(), operation.Event{
		Version: operation.Version, ID: operation.EventID(newer.ID, operation.EventSucceeded), Kind: operation.EventSucceeded, Operation: done,
	}))
	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	r.worker()
	got := r.ended(older.ID)
	require.Equal(t, operation.Failed, got.Status)
	require.Contains(t, got.Attempts[0].Detail, "newer update")
	require.Equal(t, done, r.ended(newer.ID))
	require.Empty(t, r.provider.received())
	r.settled()
}

func TestRestore_UnfinishedHistoryIsTakenOver(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	stop := r.worker()
	op := r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	r.flushed()
	stop()
	shard := operation.ShardOf(r.conn)
	key := func(name string) string { return fmt.Sprintf("wb:{%02d}:%s", shard, name) }
	// As after a commit whose restorer died before the older history was read.
	page := key("page:" + op.ID.String()[24:34])
	require.Eventually(t, func() bool { return r.rdb.Exists(t.Context(), page).Val() == 1 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, r.rdb.Del(t.Context(), page).Err())
	require.NoError(t, r.rdb.Set(t.Context(), key("history"), "1", 0).Err())
	_, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.ErrorIs(t, err, redisstore.ErrStale)
	r.worker()
	require.Eventually(t, func() bool {
		got, err := r.store.Get(t.Context(), r.conn, op.ID)
		return err == nil && got.Status == operation.Succeeded
	}, 20*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		n, err := r.rdb.Exists(t.Context(), key("history"), key("rebuild")).Result()
		return err == nil && n == 0
	}, 20*time.Second, 20*time.Millisecond)
}

// TestRestore_OlderHistoryPutsBackOnlyEnds: its shards are open, so what it makes pending would be called.
func TestRestore_OlderHistoryPutsBackOnlyEnds(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	old := func(kind operation.EventKind, status operation.Status) operation.Event {
		now := time.Now().UTC().Truncate(time.Microsecond)
		return operation.Event{Version: operation.Version, Kind: kind, FirstRow: 1, Operation: operation.Operation{
			Accepted: r.change(uuid.New(), "x"), Status: status, UpdatedAt: now.Add(-72 * time.Hour), Attempts: []operation.Attempt{},
			Place: operation.Place{Seq: now.Add(-73 * time.Hour).UnixMicro(), Deadline: now.Add(time.Hour).Truncate(time.Millisecond)},
		}}
	}
	attempted, ended := old(operation.EventAttempted, operation.Pending), old(operation.EventFailed, operation.Failed)
	h := &told{ends: []operation.Event{attempted, ended}}
	shards := []int{operation.ShardOf(r.conn)}
	require.NoError(t, r.store.Withdraw(t.Context(), shards))
	b, err := r.store.TakeRebuild(t.Context(), shards)
	require.NoError(t, err)
	require.NoError(t, b.Commit(t.Context(), func(int) time.Duration { return 0 }, nil, true))
	require.NoError(t, b.Release(t.Context()))
	require.NoError(t, work.NewRestorer(r.store, h, work.RestoreConfig{}, r.parts.Log).Finish(t.Context(), shards))
	require.Equal(t, ended.Operation, r.ended(ended.Operation.ID))
	_, err = r.store.Get(t.Context(), r.conn, attempted.Operation.ID)
	require.ErrorIs(t, err, redisstore.ErrMissing)
}

// TestRestore_EmptyStreamsBesideData: the streams were made anew, and Redis went back: calls of before may
// be under way, so it does not begin as a new installation does.
func TestRestore_EmptyStreamsBesideData(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	op := r.accept(r.change(uuid.New(), "x"))
	_, err := r.store.Poll(t.Context(), 1) // a beat
	require.NoError(t, err)
	r.loses(natsq.StreamOperations, natsq.StreamEvents)
	shard := operation.ShardOf(r.conn)
	require.NoError(t, r.rdb.Del(t.Context(), fmt.Sprintf("wb:{%02d}:gen", shard)).Err())
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{Settle: time.Millisecond}, r.parts.Log)
	require.NoError(t, restorer.Restore(t.Context(), r.missing()))
	require.Empty(t, r.missing())
	got, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, got.Status)
	lane, err := r.store.Lane(t.Context(), r.conn)
	require.NoError(t, err)
	require.True(t, lane.Opens.After(lane.Now))
}

func TestRestore_QuarantineHoldsHandOutsBack(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	op := r.accept(r.change(uuid.New(), "x"))
	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{
		Settle: time.Millisecond,
		LongestCalls: func() (all [operation.Shards]time.Duration) {
			all[operation.ShardOf(r.conn)] = time.Hour
			return all
		},
	}, r.parts.Log)
	missing, err := r.store.Missing(t.Context())
	require.NoError(t, err)
	require.Len(t, missing, operation.Shards)
	began := time.Now()
	require.NoError(t, restorer.Restore(t.Context(), missing))
	h, err := r.store.Next(t.Context(), r.conn, redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour}, []uuid.UUID{uuid.New()}, nil)
	require.NoError(t, err)
	require.Empty(t, h.Leases)
	lane, err := r.store.Lane(t.Context(), r.conn)
	require.NoError(t, err)
	require.False(t, lane.Opens.Before(began.Add(time.Hour)), "its own shard's calls are dead then")
	got, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, got.Status)
}

// TestRestore_PausedStaysPaused: an operator has paused it, and Redis alone held the lane.
func TestRestore_PausedStaysPaused(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string]bool{"rebuilt": true, "of new shards": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			if streams {
				r.accept(r.change(uuid.New(), "x"))
			}
			elsewhere := uuid.New()
			for operation.ShardOf(elsewhere) == operation.ShardOf(r.conn) {
				elsewhere = uuid.New()
			}
			require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
			restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{
				Settle:       time.Millisecond,
				LongestCalls: func() (none [operation.Shards]time.Duration) { return none },
				Paused:       func() []uuid.UUID { return []uuid.UUID{elsewhere, r.conn} },
			}, r.parts.Log)
			shards := r.missing()
			if !streams { // others begin the other shards
				shards = []int{operation.ShardOf(r.conn)}
			}
			require.NoError(t, restorer.Restore(t.Context(), shards))
			if !streams {
				r.accept(r.change(uuid.New(), "x"))
			}
			l, err := r.store.Lane(t.Context(), r.conn)
			require.NoError(t, err)
			require.Equal(t, []any{true, 1}, []any{l.Paused, l.Outstanding})
			require.True(t, l.Opens.IsZero(), "a lane that is looked at for its deadline only")
			require.NoError(t, r.store.Pause(t.Context(), r.conn, false))
			h, err := r.store.Lane(t.Context(), r.conn)
			require.NoError(t, err)
			require.False(t, h.Paused)
		})
	}
}

func TestRecord_PutsBackWhatRedisLostWithItsMessage(t *testing.T) {
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
	r.worker()
	op := r.accept(r.change(uuid.New(), "x"))
	<-called
	require.Eventually(t, func() bool {
		c, err := r.js.Consumer(t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet)
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	}, 20*time.Second, time.Millisecond, "a message that is still to come would put the record back")
	// The record and its message are gone; the shard itself is not.
	key := fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), op.ID)
	require.NoError(t, r.rdb.Del(t.Context(), key).Err())
	close(finish)
	done := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, done.Attempts, 1)
}

// Nothing but the lease knows the operation then: it is put back as soon as Redis is there.
func TestRecord_PutsBackWhatIsLostAfterAnOutageOfBoth(t *testing.T) {
	t.Parallel()
	called, finish := make(chan struct{}), make(chan struct{})
	r := rigOn(t, &provider{answer: func(_ context.Context, n int, _ tsp.UserUpdate) error {
		if n == 1 {
			close(called)
			<-finish
		}
		return nil
	}})
	stream := &switched{publisher: r.pub, off: true}
	r.parts.Publisher = stream
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	putting := &puttingBack{}
	r.rdb.AddHook(putting)
	r.worker()
	op := r.accept(r.change(uuid.New(), "x"))
	putting.id.Store(op.ID.String())
	<-called
	key := fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), op.ID)
	require.NoError(t, r.rdb.Del(t.Context(), key).Err())
	close(finish)
	done := r.ended(op.ID)
	require.Greater(t, putting.refused.Load(), int64(2))
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, done.Attempts, 1)
	require.Equal(t, operation.AttemptSucceeded, done.Attempts[0].Status)
}

// puttingBack is a Redis that refuses the first three looks at a lane that bring an operation.
type puttingBack struct {
	away
	id      atomic.Value
	refused atomic.Int64
}

// ProcessPipelineHook refuses a pipeline with such a look.
func (p *puttingBack) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			brings := slices.Contains(cmd.Args(), any("next")) && slices.Contains(cmd.Args(), p.id.Load())
			if brings && p.refused.Add(1) <= 3 {
				for _, c := range cmds {
					c.SetErr(errRedisAway)
				}
				return errRedisAway
			}
		}
		return next(ctx, cmds)
	}
}

func TestSync_EndIsToldAlthoughTheRecordIsGone(t *testing.T) {
	t.Parallel()
	p := &provider{}
	r := rigOn(t, p)
	p.answer = func(ctx context.Context, _ int, u tsp.UserUpdate) error {
		return r.rdb.Del(ctx, fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), u.OperationID)).Err()
	}
	op, err := r.accepter.Sync(t.Context(), r.change(uuid.New(), "x"), r.limits())
	require.NoError(t, err)
	require.Equal(t, operation.Succeeded, op.Status)
	events := r.events()
	require.Len(t, events, 1, "a rebuild finds it here")
	require.Equal(t, operation.EventID(op.ID, operation.EventSucceeded), events[0].ID)
	got, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err, "no rebuild comes, and it is readable all the same")
	require.Equal(t, op.Attempts[0].ID, got.Attempts[0].ID)
	require.Equal(t, operation.Succeeded, got.Status)
}

// forgetful is a provider in whose call the record of a create is lost.
type forgetful struct {
	*provider
	lose func(operation uuid.UUID) error
}

func (f forgetful) CreateUser(_ context.Context, _ tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	return tsp.Created{Result: tsp.Result{StatusCode: 201}, SourceID: "new-1"}, f.lose(u.OperationID)
}

func TestSync_NewUserIsToldAlthoughTheRecordIsGone(t *testing.T) {
	t.Parallel()
	p := forgetful{provider: &provider{}}
	r := rigOn(t, p.provider)
	p.lose = func(id uuid.UUID) error {
		return r.rdb.Del(t.Context(), fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), id)).Err()
	}
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	dir := settings{learned: make(chan tsp.ListedUser, 1)}
	r.parts.Providers, r.parts.Directory = registry, dir
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	a := r.change(uuid.Nil, "new")
	a.Type, a.SourceID = operation.Create, ""
	op, err := r.accepter.Sync(t.Context(), a, r.limits())
	require.NoError(t, err)
	user := directory.UserID(r.conn, "new-1")
	require.Equal(t, user, op.ResourceID)
	require.Equal(t, "new-1", op.SourceID)
	require.Equal(t, user, r.events()[0].Operation.ResourceID)
	kept, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, user, kept.ResourceID)
	require.Len(t, dir.learned, 1, "the directory knows the user")
	require.Equal(t, "new-1", (<-dir.learned).SourceID)
}
