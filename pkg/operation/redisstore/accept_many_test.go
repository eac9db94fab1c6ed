package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func (f *fixture) acceptMany(all ...operation.Accepted) []redisstore.Taken {
	f.t.Helper()
	out := f.store.AcceptMany(f.t.Context(), all, func(operation.Accepted) redisstore.Limits { return f.limits })
	require.Len(f.t, out, len(all))
	return out
}

func keyOf(scope, fingerprint string) *operation.Key {
	return &operation.Key{Scope: scope, Fingerprint: fingerprint}
}

// TestAcceptMany_IsManyAccepts accepts on many lanes of many shards at once: each
// operation has its place, and each mailbox the order of the batch.
func TestAcceptMany_IsManyAccepts(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		many, lanes := 1000, 100
		if f.embedded {
			many, lanes = 200, 10
		}
		conns := append(ids(lanes), f.conn)
		users := map[uuid.UUID][]uuid.UUID{}
		for _, c := range conns {
			users[c] = ids(3)
		}
		var all []operation.Accepted
		for i := range many {
			a := f.accepted(uuid.Nil)
			a.ConnectionID = conns[i%len(conns)]
			if i >= many*6/10 {
				a.ConnectionID = f.conn
			}
			a.ResourceID = users[a.ConnectionID][i%3]
			all = append(all, a)
		}
		taken := f.acceptMany(all...)
		last, outstanding := map[uuid.UUID]int64{}, map[uuid.UUID]int{}
		for i, got := range taken {
			require.NoError(t, got.Err)
			require.Equal(t, uuid.Nil, got.Receipt.Replay)
			require.Greater(t, got.Receipt.Seq, last[all[i].ConnectionID], "the order of the batch")
			outstanding[all[i].ConnectionID]++
			require.Equal(t, outstanding[all[i].ConnectionID], got.Receipt.Outstanding)
			last[all[i].ConnectionID] = got.Receipt.Seq
		}
		listed, more, err := f.store.List(t.Context(), operation.Query{
			PartnerID: f.partner, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: 2000,
		})
		require.NoError(t, err)
		require.False(t, more)
		require.Len(t, listed, len(all))
		late, err := f.rdb.Keys(t.Context(), "wb:*:late:*").Result()
		require.NoError(t, err)
		require.Empty(t, late, "places of one script are in order, also over different lanes")
		n, err := f.store.Outstanding(t.Context(), conns)
		require.NoError(t, err)
		require.Equal(t, len(all), n)
		_, due := f.due()
		require.True(t, due)
		h := f.next(10)
		require.Len(t, h.Leases, 3, "one of each user")
		for _, l := range h.Leases {
			for i, a := range all {
				if a.ConnectionID == f.conn && a.ResourceID == l.ResourceID {
					require.Equal(t, all[i].ID, l.ID, "the first of the user")
					break
				}
			}
		}
	})
}

// TestAcceptMany_AnswersEach: what is refused for itself stops nothing else.
func TestAcceptMany_AnswersEach(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{LaneBound: 3}, func(t *testing.T, f *fixture) {
		keyed := func(scope, fingerprint string) operation.Accepted {
			a := f.accepted(uuid.New())
			a.Key = keyOf(scope, fingerprint)
			return a
		}
		before := keyed("before", "x")
		f.accept(before)
		first, elsewhere := keyed("now", "x"), keyed("elsewhere", "x")
		elsewhere.ConnectionID = uuid.New()
		got := f.acceptMany(
			keyed("before", "x"), first, keyed("now", "x"), keyed("now", "other"), keyed("before", "other"),
			f.accepted(uuid.New()), f.accepted(uuid.New()), elsewhere, first,
		)
		for i, want := range []uuid.UUID{before.ID, uuid.Nil, first.ID} {
			require.NoError(t, got[i].Err, i)
			require.Equal(t, want, got[i].Receipt.Replay, i)
		}
		require.ErrorIs(t, got[3].Err, redisstore.ErrMismatch)
		require.ErrorIs(t, got[4].Err, redisstore.ErrMismatch)
		require.NoError(t, got[5].Err)
		require.ErrorIs(t, got[6].Err, redisstore.ErrLaneFull)
		require.NoError(t, got[7].Err, "another lane has room")
		require.NoError(t, got[8].Err)
		require.Equal(t, got[1].Receipt.Place, got[8].Receipt.Place)
	})
}

// TestAcceptMany_IsOneScriptAShard counts what Redis was asked.
func TestAcceptMany_IsOneScriptAShard(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	all := make([]operation.Accepted, 0, 130)
	for range 130 {
		all = append(all, f.accepted(uuid.New()))
	}
	f.acceptMany(f.accepted(uuid.New())) // loads the scripts
	before := f.calls("fcall")
	f.acceptMany(all...)
	require.Equal(t, 3, f.calls("fcall")-before, "64, 64 and 2")
}

// calls counts how often Redis has run a command.
func (f *fixture) calls(command string) (n int) {
	info, err := f.rdb.Info(f.t.Context(), "commandstats").Result()
	require.NoError(f.t, err)
	for line := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			_, err := fmt.Sscanf(rest, "%d", &n)
			require.NoError(f.t, err)
		}
	}
	return n
}

// broken is a connection whose first pipelines fail.
type broken struct{ left atomic.Int32 }

// DialHook changes nothing.
func (*broken) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook changes nothing.
func (*broken) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook fails as often as was said.
func (b *broken) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if b.left.Add(-1) >= 0 {
			return errBroken
		}
		return next(ctx, cmds)
	}
}

var errBroken = errors.New("the connection broke")

// TestAcceptMany_NothingOvertakesWhatFailed: when a script of a shard fails, what comes
// after it in the shard is not tried.
func TestAcceptMany_NothingOvertakesWhatFailed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	f.acceptMany(f.accepted(uuid.New())) // loads the scripts
	user := uuid.New()
	all := make([]operation.Accepted, 0, 100)
	for range 100 {
		all = append(all, f.accepted(user))
	}
	b := &broken{}
	b.left.Store(1)
	f.rdb.AddHook(b)
	for _, one := range f.acceptMany(all...) {
		require.ErrorIs(t, one.Err, errBroken)
	}
	require.Negative(t, f.acceptMany(all[:1]...)[0].Receipt.Seq-f.acceptMany(all[99:]...)[0].Receipt.Seq, "sent again, in order")

	require.NoError(t, f.rdb.Del(t.Context(), f.key("gen")).Err())
	for _, one := range f.acceptMany(all...) {
		require.ErrorIs(t, one.Err, redisstore.ErrStale)
	}
}
