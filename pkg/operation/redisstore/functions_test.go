package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// trip takes one operation from accept to its end.
func (f *fixture) trip() {
	f.t.Helper()
	a := f.accepted(uuid.New())
	f.accept(a)
	leases := f.next(1).Leases
	require.Len(f.t, leases, 1)
	rec := f.record(leases[0], succeed)
	require.Equal(f.t, operation.Succeeded, rec.Operation.Status)
	require.NoError(f.t, ackAll(f.t.Context(), f.store, rec.Record))
	require.Equal(f.t, rec.Operation, f.get(a.ID))
}

func (f *fixture) libraries() []string {
	f.t.Helper()
	list, err := f.rdb.Do(f.t.Context(), "FUNCTION", "LIST").Slice()
	require.NoError(f.t, err)
	var names []string
	for _, one := range list {
		names = append(names, one.(map[any]any)["library_name"].(string))
	}
	return names
}

// TestFunctions_AreLoadedWhereTheyAreMissing empties the server between two steps, and
// leaves it a library of another version.
func TestFunctions_AreLoadedWhereTheyAreMissing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	f.trip()
	names := f.libraries()
	require.Len(t, names, 1)
	require.True(t, strings.HasPrefix(names[0], "writeback_"), names[0])
	require.NoError(t, f.rdb.FunctionFlush(t.Context()).Err())
	other := "#!lua name=writeback_other\nredis.register_function('writeback_other_accept', function() return redis.error_reply('another version') end)"
	require.NoError(t, f.rdb.FunctionLoad(t.Context(), other).Err())
	f.trip()
	require.ElementsMatch(t, []string{"writeback_other", names[0]}, f.libraries())
}

// TestFunctions_ServerWithoutThem runs the same text as scripts.
func TestFunctions_ServerWithoutThem(t *testing.T) {
	t.Parallel()
	p := testenv.StartRedis(t, "--rename-command", "FUNCTION", "", "--rename-command", "FCALL", "")
	newFixture(t, p.URL(), redisstore.Config{}).trip()
}

// TestFunctions_AccountWithoutThem has an account that may only run scripts.
func TestFunctions_AccountWithoutThem(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	admin := newFixture(t, url, redisstore.Config{})
	require.NoError(t, admin.rdb.Do(t.Context(), "ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "-function", "-fcall").Err())
	newFixture(t, strings.Replace(url, "redis://", "redis://limited:pw@", 1), redisstore.Config{}).trip()
	require.Empty(t, admin.libraries())
}

// TestFunctions_ThatCannotBeLoadedSayWhy: a server that does not take the scripts is the reason, not
// that it has none.
func TestFunctions_ThatCannotBeLoadedSayWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	f.trip()
	require.NoError(t, f.rdb.FunctionFlush(t.Context()).Err())
	require.NoError(t, f.rdb.ConfigSet(t.Context(), "maxmemory", "1").Err())
	for range 2 {
		_, err := f.store.Accept(t.Context(), f.accepted(uuid.New()), f.limits)
		require.ErrorContains(t, err, "load the scripts: OOM ")
		require.NotContains(t, err.Error(), "not found")
		var answered redis.Error
		require.ErrorAs(t, err, &answered, "Redis said it")
	}
	require.NoError(t, f.rdb.ConfigSet(t.Context(), "maxmemory", "0").Err())
	f.trip()
}

// TestFunctions_AccountWithoutScripts may neither load functions nor scripts.
func TestFunctions_AccountWithoutScripts(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	admin := newFixture(t, url, redisstore.Config{})
	require.NoError(t, admin.rdb.Do(t.Context(), "ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "-function", "-script").Err())
	f := newFixture(t, strings.Replace(url, "redis://", "redis://limited:pw@", 1), redisstore.Config{})
	_, err := f.store.Poll(t.Context(), 1)
	require.ErrorContains(t, err, "load the scripts: NOPERM ")
}

// TestFunctions_ClusterThatDoesNotLookLikeOne has one node with all slots, and a client that
// takes it for a server of its own, as behind a proxy.
func TestFunctions_ClusterThatDoesNotLookLikeOne(t *testing.T) {
	t.Parallel()
	p := testenv.StartRedis(t, "--cluster-enabled", "yes")
	rdb := client(t, p.URL())
	require.NoError(t, rdb.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	require.Eventually(t, func() bool { return rdb.Set(t.Context(), "x", "y", 0).Err() == nil }, 10*time.Second, 10*time.Millisecond)
	f := newFixture(t, p.URL(), redisstore.Config{})
	f.trip()
	shards, err := f.store.Shards(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, shards, operation.Shards)
	f.trip()
}
