package redismodes

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/redisurl"
	"writeback/internal/testenv"
)

// ofSentinel gives the rights at a Sentinel that docs/operations.md lists.
func ofSentinel(t *testing.T) []any {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	words := regexp.MustCompile("(?s)`sentinel_password`,\nwith `([^`]*)` and the channels `([^`]*)`").FindStringSubmatch(string(page))
	require.NotNil(t, words)
	out := []any{"on", ">SECRET", "resetchannels", words[2], "-@all"}
	for _, word := range strings.Fields(words[1]) {
		out = append(out, word)
	}
	return out
}

// TestRights_Sentinel: a program that follows a failover, and doctor, as the user of the page.
func TestRights_Sentinel(t *testing.T) {
	t.Parallel()
	s := testenv.RedisSentinels(t)
	var sentinels []*redis.Client
	for _, one := range s.Sentinels {
		c := redis.NewClient(&redis.Options{Addr: one.Addr()})
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, c.Do(t.Context(), append([]any{"ACL", "SETUSER", "watcher"}, ofSentinel(t)...)...).Err())
		sentinels = append(sentinels, c)
	}
	limit(t, s.Primary, s.Replica)
	url := strings.Replace(s.URL(), "://", "://writeback:PASSWORD@", 1) + "?sentinel_username=watcher&sentinel_password=SECRET"
	rdb, err := redisurl.Open(url, redisurl.Options{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	require.NoError(t, rdb.Set(t.Context(), "wb:probe", 1, 0).Err())
	for _, one := range s.Sentinels { // as doctor does
		c := redis.NewSentinelClient(&redis.Options{Addr: one.Addr(), Username: "watcher", Password: "SECRET", Protocol: 2, DisableIdentity: true})
		require.NoError(t, c.CkQuorum(t.Context(), testenv.SentinelPrimary).Err())
		require.NoError(t, c.Close())
	}
	s.Primary.Kill()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return rdb.Set(ctx, "wb:probe", 2, 0).Err() == nil
	}, within, every)
	for _, c := range sentinels {
		refused, err := c.ACLLog(t.Context(), 20).Result()
		require.NoError(t, err)
		for _, one := range refused {
			t.Errorf("a right is missing: %s: %s in %s", one.Reason, one.Object, one.Context)
		}
	}
}
