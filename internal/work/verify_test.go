package work_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// reborn is what a process that has just started is made of: it remembers nothing.
func (r *rig) reborn() *work.Restorer {
	r.store = redisstore.New(r.rdb, redisstore.Config{})
	r.parts.Store = r.store
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	return work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{Settle: 50 * time.Millisecond}, r.parts.Log)
}

// missing lists the shards without data.
func (r *rig) missing() []int {
	r.t.Helper()
	shards, err := r.store.Missing(r.t.Context())
	require.NoError(r.t, err)
	return shards
}

// Redis goes back, and every process that was answered in the lost moments is dead: the
// next one to start finds out from the streams, before it does anything else.
func TestVerify_NoticesALossThatNobodyRemembers(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"an accept", "a retry's row", "an end"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, failing())
			stop := r.worker()
			early := r.ended(r.accept(r.change(uuid.New(), "early")).ID)
			r.flushed()
			var op operation.Operation
			var snapshot map[string]string
			switch lost {
			case "an accept":
				snapshot = dump(t, r)
				op = r.accept(r.change(uuid.New(), "late"))
			case "an end":
				stop()
				op = r.accept(r.change(uuid.New(), "late"))
				snapshot = dump(t, r)
				stop = r.worker()
				r.ended(op.ID)
				r.flushed()
			default:
				stop()
				op = r.accept(r.change(uuid.New(), "fail"))
				snapshot = dump(t, r)
				events := len(r.events())
				stop = r.worker()
				require.Eventually(t, func() bool { return len(r.events()) > events }, 20*time.Second, 10*time.Millisecond)
			}
			stop()
			calls := len(r.provider.received())

			verifier := r.reborn()
			require.NoError(t, verifier.Verify(t.Context()))
			require.Empty(t, r.missing(), "a Redis that has everything is left as it is")

			load(t, r, snapshot)
			verifier = r.reborn()
			require.NoError(t, verifier.Verify(t.Context()))
			require.Equal(t, []int{operation.ShardOf(r.conn)}, r.missing())
			_, err := r.store.Get(t.Context(), r.conn, op.ID)
			require.ErrorIs(t, err, redisstore.ErrStale)
			r.worker()
			r.open()
			if lost == "a retry's row" {
				require.GreaterOrEqual(t, r.rows(op.ID), 1)
				return
			}
			require.Equal(t, operation.Succeeded, r.ended(op.ID).Status)
			require.Equal(t, early, r.ended(early.ID))
			for _, c := range r.provider.received()[calls:] {
				require.False(t, c.OperationID == early.ID || lost == "an end", "what had ended is not called again")
			}
		})
	}
}

// Redis goes back to what was before a process compared it with the streams, or while it does
// that: the process has called nothing yet, and notices all the same.
func TestVerify_NoticesALossBeforeTheFirstCall(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"while it compares", "after that"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			stop := r.worker()
			r.ended(r.accept(r.change(uuid.New(), "early")).ID)
			snapshot := dump(t, r)
			r.ended(r.accept(r.change(uuid.New(), "late")).ID)
			r.flushed()
			stop()

			r.reborn()
			h := &told{}
			if when == "while it compares" {
				h.reading = func() { load(t, r, snapshot) }
			}
			require.NoError(t, work.NewRestorer(r.store, h, work.RestoreConfig{}, r.parts.Log).Verify(t.Context()))
			if when == "after that" {
				require.Empty(t, r.missing())
				load(t, r, snapshot)
			}
			found, err := r.store.Poll(t.Context(), 1)
			require.NoError(t, err)
			require.Contains(t, found.Missing, operation.ShardOf(r.conn))
		})
	}
}

func TestVerify_ANewInstallationNeedsNone(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	require.NoError(t, r.reborn().Verify(t.Context()))
	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	require.NoError(t, r.reborn().Verify(t.Context()), "a wiped one is found by the first poll")
}

// told is a history of accepted operations, in batches, that counts those that were asked for.
type told struct {
	batches [][]operation.Message
	ends    []operation.Event
	passed  int
	// reading is called before events are passed on. Nil: nothing is.
	reading func()
	// These are of streams that cannot be read.
	failedOperations, failedEvents error
}

func (h *told) Ends(context.Context) (operations, events uint64, err error) { return 1, 1, nil }

func (h *told) Operations(_ context.Context, _ time.Time, _ uint64, pass func([]operation.Message) error) error {
	for _, batch := range h.batches {
		h.passed++
		if err := pass(batch); err != nil {
			return err
		}
	}
	return h.failedOperations
}

func (h *told) Events(_ context.Context, _ time.Time, _ uint64, pass func([]operation.Event) error) error {
	if h.reading != nil {
		h.reading()
		return nil
	}
	return errors.Join(pass(h.ends), h.failedEvents)
}

// TestVerify_StreamsThatCannotBeRead: nobody knows then whether Redis has everything.
func TestVerify_StreamsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	away := errors.New("a stream has no leader")
	for _, h := range []*told{{failedOperations: away}, {failedEvents: away}} {
		require.ErrorIs(t, work.NewRestorer(r.store, h, work.RestoreConfig{}, r.parts.Log).Verify(t.Context()), away)
	}
	require.Empty(t, r.missing())
}

// TestVerify_EndsWhenNothingMoreCanBeFound: after a wipe a start does not read streams whose
// shards are all to be rebuilt anyway.
func TestVerify_EndsWhenNothingMoreCanBeFound(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	lost := make([]operation.Message, 0, operation.Shards)
	for shards := map[int]bool{}; len(shards) < operation.Shards; {
		r.conn = uuid.Must(uuid.NewV7())
		if shard := operation.ShardOf(r.conn); !shards[shard] {
			shards[shard] = true
			lost = append(lost, operation.Message{
				Accepted: r.change(uuid.New(), "x"), Place: operation.Place{Seq: 1, Deadline: time.Now().Add(time.Hour)},
			})
		}
	}
	h := &told{batches: [][]operation.Message{lost[1:], lost[:1], lost, lost}}
	require.NoError(t, work.NewRestorer(r.store, h, work.RestoreConfig{}, r.parts.Log).Verify(t.Context()))
	require.Len(t, r.missing(), operation.Shards)
	require.Equal(t, 2, h.passed, "the second batch has what the last shard lacks")
}

// TestVerify_KnowsWhatTheStoreHasForgotten: a record that has an end has a time to live, and is
// not missed after it; what has no end is.
func TestVerify_KnowsWhatTheStoreHasForgotten(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Hour
	for name, tc := range map[string]struct {
		endedBefore time.Duration // zero: it has not ended
		missed      bool
	}{
		"ended long ago": {ttl + time.Minute, false},
		"just ended":     {time.Minute, true},
		"not ended":      {0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			a := r.change(uuid.New(), "x")
			place := operation.Place{Seq: 1, Deadline: time.Now().Add(time.Hour)}
			h := &told{batches: [][]operation.Message{{{Accepted: a, Place: place}}}}
			if tc.endedBefore > 0 {
				h.ends = []operation.Event{{Version: operation.Version, Kind: operation.EventSucceeded, Operation: operation.Operation{
					Accepted: a, Place: place, Status: operation.Succeeded, UpdatedAt: time.Now().Add(-tc.endedBefore),
				}}}
			}
			store := redisstore.New(r.rdb, redisstore.Config{RecordTTL: ttl})
			require.NoError(t, work.NewRestorer(store, h, work.RestoreConfig{}, r.parts.Log).Verify(t.Context()))
			require.Equal(t, tc.missed, len(r.missing()) > 0)
		})
	}
}

// TestVerify_CountsTheRowsOfAllAttempts: an event carries only those since the one before it.
func TestVerify_CountsTheRowsOfAllAttempts(t *testing.T) {
	t.Parallel()
	r := rigOn(t, failing())
	stop := r.worker()
	op := r.accept(r.change(uuid.New(), "fail"))
	require.Eventually(t, func() bool { return r.rows(op.ID) > 1 }, 20*time.Second, 5*time.Millisecond)
	stop()
	for more := range 2 {
		h := &told{ends: []operation.Event{happened(op.Message(), operation.EventAttempted, operation.Pending, r.rows(op.ID)+more)}}
		require.NoError(t, work.NewRestorer(r.store, h, work.RestoreConfig{}, r.parts.Log).Verify(t.Context()))
		require.Len(t, r.missing(), more)
	}
}
