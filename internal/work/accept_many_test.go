package work_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// AcceptedMany publishes unless the publisher is turned off.
func (s *switched) AcceptedMany(ctx context.Context, all []operation.Message) (int, error) {
	if !s.Connected() {
		return 0, natsq.ErrAway
	}
	s.published.Add(1)
	return s.publisher.AcceptedMany(ctx, all)
}

func (r *rig) acceptMany(all []operation.Accepted) ([]operation.Operation, []error) {
	r.t.Helper()
	ops, errs := r.accepter.AcceptMany(r.t.Context(), all, func(operation.Accepted) tsp.Limits { return r.limits() })
	require.Len(r.t, ops, len(all))
	require.Len(r.t, errs, len(all))
	return ops, errs
}

// batch accepts n changes of the users in turn, all of which must be accepted.
func (r *rig) batch(n int, users ...uuid.UUID) []operation.Operation {
	r.t.Helper()
	all := make([]operation.Accepted, 0, n)
	for i := range n {
		all = append(all, r.keyed(users[i%len(users)], fmt.Sprint(i), fmt.Sprint("scope", i), "print"))
	}
	ops, errs := r.acceptMany(all)
	for i, op := range ops {
		require.NoError(r.t, errs[i])
		require.Equal(r.t, all[i].ID, op.ID)
		require.Equal(r.t, operation.Pending, op.Status)
	}
	return ops
}

// notes gives the notes of a user in the order in which they came to the provider.
func (r *rig) notes(user uuid.UUID) (all []string) {
	for _, c := range r.provider.received() {
		if c.SourceID == user.String() {
			all = append(all, c.Changes[operation.FieldNotes].Text())
		}
	}
	return all
}

func TestAcceptMany_OneMessageAndTheOrderOfTheBatch(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	users := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	ops := r.batch(90, users...)
	require.EqualValues(t, 1, r.accepted(), "one message for all of them: the lane is not quiet")
	r.worker()
	for _, op := range ops {
		require.Equal(t, operation.Succeeded, r.ended(op.ID).Status)
	}
	for u, user := range users {
		var want []string
		for i := u; i < 90; i += 3 {
			want = append(want, fmt.Sprint(i))
		}
		require.Equal(t, want, r.notes(user))
	}
	r.settled()
}

// TestAcceptMany_WakesQuietLanes: lanes with little to do are looked at at once, by a
// worker that does not poll.
func TestAcceptMany_WakesQuietLanes(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	r.cfg.Poll = time.Hour
	all := make([]operation.Accepted, 0, 20)
	for i := range 20 {
		a := r.change(uuid.New(), fmt.Sprint(i))
		a.ConnectionID = uuid.New()
		all = append(all, a)
	}
	_, errs := r.acceptMany(all)
	var ids []uuid.UUID
	for i, err := range errs {
		require.NoError(t, err)
		ids = append(ids, all[i].ID)
	}
	require.ElementsMatch(t, ids, r.acceptedInStream(), "each once")
	require.LessOrEqual(t, r.accepted(), uint64(16+1), "those that wake the first lanes, which may share messages, and one for the others")
	r.worker()
	require.Eventually(t, func() bool { return len(r.provider.received()) >= 16 }, 20*time.Second, 5*time.Millisecond)
}

func TestAcceptMany_RepeatsAtOnce(t *testing.T) {
	t.Parallel()
	const times, size = 100, 40
	r := rigOn(t, &provider{})
	user, start := uuid.New(), make(chan struct{})
	var mu sync.Mutex
	made, answers := 0, map[int]map[uuid.UUID]bool{}
	var senders sync.WaitGroup
	for range times {
		all := make([]operation.Accepted, 0, size)
		for i := range size {
			all = append(all, r.keyed(user, fmt.Sprint(i), fmt.Sprint("scope", i), "print"))
		}
		senders.Go(func() {
			<-start
			ops, errs := r.accepter.AcceptMany(t.Context(), all, func(operation.Accepted) tsp.Limits { return r.limits() })
			mu.Lock()
			defer mu.Unlock()
			for i, op := range ops {
				if errs[i] != nil {
					t.Errorf("element %d: %v", i, errs[i])
					continue
				}
				if answers[i] == nil {
					answers[i] = map[uuid.UUID]bool{}
				}
				answers[i][op.ID] = true
				if op.ID == all[i].ID {
					made++
				}
			}
		})
	}
	close(start)
	senders.Wait()
	require.Equal(t, size, made)
	for i := range size {
		require.Len(t, answers[i], 1, "every answer about an element names the same operation")
	}
	require.Len(t, r.all(), size)
	r.worker()
	for i := range size {
		for id := range answers[i] {
			r.ended(id)
		}
	}
	var want []string
	for i := range size {
		want = append(want, fmt.Sprint(i))
	}
	require.Equal(t, want, r.notes(user))
}

func TestAcceptMany_AnswersEach(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	old, bad := r.accept(r.keyed(uuid.New(), "old", "old", "print")), r.accept(r.keyed(uuid.New(), "bad", "bad", "print"))
	r.spoil(bad.ID)
	first := r.keyed(uuid.New(), "a", "new", "print")
	ops, errs := r.acceptMany([]operation.Accepted{
		r.keyed(uuid.New(), "old", "old", "print"), first, r.keyed(uuid.New(), "a", "new", "print"), r.keyed(uuid.New(), "b", "new", "another"),
		r.keyed(uuid.New(), "bad", "bad", "print"),
	})
	for i, want := range []uuid.UUID{old.ID, first.ID, first.ID} {
		require.NoError(t, errs[i])
		require.Equal(t, want, ops[i].ID)
	}
	var refused *operation.Error
	require.ErrorAs(t, errs[3], &refused)
	require.Equal(t, operation.CodeInvalid, refused.Code)
	require.ErrorAs(t, errs[4], &refused)
	require.Equal(t, operation.CodeUnavailable, refused.Code)
	require.Equal(t, []uuid.UUID{first.ID}, slices.DeleteFunc(r.acceptedInStream(), func(id uuid.UUID) bool { return id != first.ID }), "once")
}

// gated is a publisher whose messages wait until they are let through.
type gated struct {
	*natsq.Publisher
	waiting atomic.Int32
	through chan struct{}
}

func (g *gated) Accepted(ctx context.Context, m operation.Message, quiet bool) error {
	g.waiting.Add(1)
	<-g.through
	return g.Publisher.Accepted(ctx, m, quiet)
}

func (g *gated) AcceptedMany(ctx context.Context, all []operation.Message) (int, error) {
	g.waiting.Add(1)
	<-g.through
	return g.Publisher.AcceptedMany(ctx, all)
}

// TestAcceptMany_AnswersWhatIsPublished: also if the client has gone, and beside others.
func TestAcceptMany_AnswersWhatIsPublished(t *testing.T) {
	t.Parallel()
	for name, repeated := range map[string]bool{"new": false, "repeated": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			batches := [][]operation.Accepted{{r.keyed(uuid.New(), "x", "a", "print")}, {r.keyed(uuid.New(), "x", "b", "print")}}
			if repeated {
				r.parts.Publisher = &switched{publisher: r.pub, off: true}
				r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
				r.acceptMany(slices.Concat(batches...))
			}
			gate := &gated{Publisher: r.pub, through: make(chan struct{})}
			open := sync.OnceFunc(func() { close(gate.through) })
			defer open()
			r.parts.Publisher = gate
			r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var answered atomic.Int32
			var clients sync.WaitGroup
			for _, all := range batches {
				again := slices.Clone(all)
				if repeated {
					again[0].ID = uuid.Must(uuid.NewV7())
				}
				clients.Go(func() {
					r.accepter.AcceptMany(ctx, again, func(operation.Accepted) tsp.Limits { return r.limits() })
					answered.Add(1)
				})
			}
			require.Eventually(t, func() bool { return gate.waiting.Load() == 2 }, 10*time.Second, time.Millisecond)
			leave()
			time.Sleep(50 * time.Millisecond)
			require.Zero(t, answered.Load(), "none is in a stream yet")
			open()
			clients.Wait()
			require.ElementsMatch(t, []uuid.UUID{batches[0][0].ID, batches[1][0].ID}, r.acceptedInStream())
		})
	}
}

// TestAcceptMany_NATSAway: what nobody could publish is accepted, and published later;
// a repeat publishes it before it answers.
func TestAcceptMany_NATSAway(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	pub := &switched{publisher: r.pub, off: true}
	r.parts.Publisher = pub
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	user := uuid.New()
	ops := r.batch(30, user)
	require.Zero(t, r.accepted())
	pub.turn(false)
	again := make([]operation.Accepted, 0, len(ops))
	for i := range ops[:20] {
		again = append(again, r.keyed(user, fmt.Sprint(i), fmt.Sprint("scope", i), "print"))
	}
	got, errs := r.acceptMany(again)
	for i := range got {
		require.NoError(t, errs[i])
		require.Equal(t, ops[i].ID, got[i].ID)
	}
	require.EqualValues(t, 1, r.accepted(), "the repeat publishes as one message")
	r.worker()
	for _, op := range ops {
		require.Equal(t, operation.Succeeded, r.ended(op.ID).Status)
	}
	require.Eventually(t, func() bool {
		rec, err := r.store.GetRecord(t.Context(), r.conn, ops[29].ID)
		return err == nil && rec.Accepted && rec.Final
	}, 20*time.Second, 10*time.Millisecond, "the outbox publishes what nobody repeated")
	var ids []uuid.UUID
	for _, op := range ops {
		ids = append(ids, op.ID)
	}
	require.Subset(t, r.acceptedInStream(), ids)
	published := pub.published.Load()
	r.acceptMany([]operation.Accepted{r.keyed(user, "29", "scope29", "print")})
	require.Equal(t, published, pub.published.Load(), "what is in the stream is not published again")
}

func TestAcceptMany_RedisAway(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	require.NoError(t, r.rdb.Close())
	_, errs := r.acceptMany([]operation.Accepted{r.change(uuid.New(), "x"), r.change(uuid.New(), "y")})
	for _, err := range errs {
		var refused *operation.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, operation.CodeUnavailable, refused.Code)
		require.Positive(t, refused.RetryAfter)
	}
	require.Zero(t, r.accepted())
}

// TestAcceptMany_ComesBackAfterAWipe: a rebuild reads the batch message, and Verify
// notices when what it says is missing.
func TestAcceptMany_ComesBackAfterAWipe(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	user := uuid.New()
	ops := r.batch(50, user)
	require.EqualValues(t, 1, r.accepted())
	require.Eventually(t, func() bool {
		rec, err := r.store.GetRecord(t.Context(), r.conn, ops[49].ID)
		return err == nil && rec.Accepted
	}, 10*time.Second, 5*time.Millisecond)
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{Settle: time.Millisecond}, r.parts.Log)
	require.NoError(t, restorer.Verify(t.Context()))
	key := fmt.Sprintf("wb:{%02d}:", operation.ShardOf(r.conn))
	require.NoError(t, r.rdb.Del(t.Context(), key+"op:"+ops[20].ID.String()).Err())
	require.NoError(t, restorer.Verify(t.Context()))
	_, err := r.store.Get(t.Context(), r.conn, ops[0].ID)
	require.ErrorIs(t, err, redisstore.ErrStale, "the shard is closed")

	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	r.worker()
	r.open()
	for i, op := range ops {
		got, err := r.store.Get(t.Context(), r.conn, op.ID)
		require.NoError(t, err)
		require.Equal(t, op.Place, got.Place)
		require.Equal(t, ops[i].Changes, got.Changes)
	}
	again, errs := r.acceptMany([]operation.Accepted{r.keyed(user, "7", "scope7", "print")})
	require.NoError(t, errs[0])
	require.Equal(t, ops[7].ID, again[0].ID, "the keys are known again")
	var want []string
	for i, op := range ops {
		require.Equal(t, operation.Succeeded, r.ended(op.ID).Status)
		want = append(want, fmt.Sprint(i))
	}
	require.Equal(t, want, r.notes(user))
}
