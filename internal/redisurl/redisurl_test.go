package redisurl_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/redisurl"
)

func TestParse_Forms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		addrs    []string
		db       int
		user     string
		password string
		tls      bool
		server   string
		cluster  bool
		primary  string
		sentinel string
	}{
		"redis://127.0.0.1:6379/2":                      {addrs: []string{"127.0.0.1:6379"}, db: 2},
		"redis://cache":                                 {addrs: []string{"cache:6379"}},
		"rediss://u:p%40ss@cache:7000":                  {addrs: []string{"cache:7000"}, user: "u", password: "p@ss", tls: true, server: "cache"},
		"unix:///run/redis.sock?db=1":                   {addrs: []string{"/run/redis.sock"}, db: 1},
		"redis+cluster://a,b:7001":                      {addrs: []string{"a:6379", "b:7001"}, cluster: true},
		"redis+cluster://one:7001/":                     {addrs: []string{"one:7001"}, cluster: true},
		"rediss+cluster://:s3cret@a:1,[::1]:2":          {addrs: []string{"a:1", "[::1]:2"}, password: "s3cret", tls: true, cluster: true},
		"redis+sentinel://a,b:5/main":                   {addrs: []string{"a:26379", "b:5"}, primary: "main"},
		"redis+sentinel://u:p@a/main/3":                 {addrs: []string{"a:26379"}, db: 3, user: "u", password: "p", primary: "main"},
		"rediss+sentinel://a/main?sentinel_password=se": {addrs: []string{"a:26379"}, tls: true, primary: "main", sentinel: "se"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			o, err := redisurl.Parse(text)
			require.NoError(t, err)
			require.Equal(t, want.addrs, o.Addrs)
			require.Equal(t, want.db, o.DB)
			require.Equal(t, want.user, o.Username)
			require.Equal(t, want.password, o.Password)
			require.Equal(t, want.cluster, o.IsClusterMode)
			require.Equal(t, want.primary, o.MasterName)
			require.Equal(t, want.sentinel, o.SentinelPassword)
			require.Equal(t, want.tls, o.TLSConfig != nil)
			if want.tls {
				require.Equal(t, want.server, o.TLSConfig.ServerName)
			}
		})
	}
}

func TestParse_RefusesAndKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "cache", "cache:6379", "http://cache", "redis://", "redis://u:hidden@", "redis://u:hidden@cache/x", "unix://",
		"redis+cluster://", "redis+cluster://a,,b", "redis+cluster://a:x", "redis+cluster://a:70000", "redis+cluster://u:hidden@a/1",
		"redis+cluster://a?db=2", "redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a/main/x",
		"redis+sentinel://a:1:2/main", "redis://a:99999/0", "redis+cluster://a:99999", "redis+other://a", "unix+cluster://a", "redis+cluster://u:hidden@a?no_such=1",
	} {
		_, err := redisurl.Parse(text)
		require.ErrorIs(t, err, redisurl.ErrURL, text)
		require.NotContains(t, err.Error(), "hidden")
	}
}

func TestOpen_MakesTheClientOfTheForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{
		"redis://127.0.0.1:1":               &redis.Client{},
		"redis+sentinel://127.0.0.1:1/main": &redis.Client{},
		"redis+cluster://127.0.0.1:1":       &redis.ClusterClient{},
	} {
		c, err := redisurl.Open(text, redisurl.Options{Name: "test"})
		require.NoError(t, err)
		require.IsType(t, want, c, text)
		require.NoError(t, c.Close())
	}
	_, err := redisurl.Open("nothing", redisurl.Options{Name: "test"})
	require.ErrorIs(t, err, redisurl.ErrURL)
}

// TestOpen_FollowsACluster: a primary that is gone makes no client of the library look where
// its slots are now, so each has to look by itself, and not once a minute.
func TestOpen_FollowsACluster(t *testing.T) {
	t.Parallel()
	c, err := redisurl.Open("redis+cluster://127.0.0.1:1", redisurl.Options{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	cluster, ok := c.(*redis.ClusterClient)
	require.True(t, ok)
	require.LessOrEqual(t, cluster.Options().ClusterStateReloadInterval, 2*time.Second)
	require.Equal(t, "test", cluster.Options().ClientName)
}
