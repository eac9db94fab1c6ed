package redisurl_test

import (
	"cmp"
	"reflect"
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
		// sentinel is the user and the password for the Sentinels.
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
		"rediss+sentinel://a/main?sentinel_password=se": {addrs: []string{"a:26379"}, tls: true, primary: "main", sentinel: ":se"},
		"redis+sentinel://a/main/0?sentinel_username=su&sentinel_password=s%26e": {addrs: []string{"a:26379"}, primary: "main", sentinel: "su:s&e"},
		"redis+cluster://u:p@w@a/0": {addrs: []string{"a:6379"}, user: "u", password: "p@w", cluster: true},
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
			require.Equal(t, cmp.Or(want.sentinel, ":"), o.SentinelUsername+":"+o.SentinelPassword)
			require.True(t, o.ContextTimeoutEnabled)
			require.Equal(t, want.tls, o.TLSConfig != nil)
			if want.tls {
				require.Equal(t, want.server, o.TLSConfig.ServerName)
			}
		})
	}
}

// TestParse_TakesEveryParameterOfTheLibrary: one that it reads and we drop would be without
// effect and without an error.
func TestParse_TakesEveryParameterOfTheLibrary(t *testing.T) {
	t.Parallel()
	const query = "protocol=3&client_name=n&max_retries=4&min_retry_backoff=5ms&max_retry_backoff=6ms&dial_timeout=7ms" +
		"&read_timeout=8ms&write_timeout=9ms&pool_fifo=true&pool_size=10&pool_timeout=11ms&min_idle_conns=12&max_idle_conns=13" +
		"&max_active_conns=14&max_concurrent_dials=15&pipeline_pool_size=16&pipeline_read_buffer_size=17" +
		"&pipeline_write_buffer_size=18&conn_max_idle_time=19ms&conn_max_lifetime=21ms&conn_max_lifetime_jitter=20ms"
	one, err := redis.ParseURL("redis://u:p@cache/2?" + query)
	require.NoError(t, err)
	want := reflect.ValueOf(one).Elem()
	for _, address := range []string{"redis://u:p@cache/2?", "redis+sentinel://u:p@cache/main/2?"} {
		o, err := redisurl.Parse(address + query)
		require.NoError(t, err)
		got := reflect.ValueOf(o).Elem()
		for i := range want.NumField() {
			name := want.Type().Field(i).Name
			if !want.Field(i).IsZero() && name != "Addr" && name != "Network" {
				require.True(t, got.FieldByName(name).IsValid(), name)
				require.Equal(t, want.Field(i).Interface(), got.FieldByName(name).Interface(), name)
			}
		}
	}
}

// TestFor_LimitsWhatTheAddressDoesNot: the library's own limits are longer than the work
// here can wait, and a limit in the address is the operator's.
func TestFor_LimitsWhatTheAddressDoesNot(t *testing.T) {
	t.Parallel()
	type limits struct {
		dial, read, write        time.Duration
		pool, protocol, dialings int
	}
	for query, want := range map[string]limits{
		"": {2 * time.Second, 3 * time.Second, 3 * time.Second, 64, 2, 1},
		"?dial_timeout=4s&read_timeout=5s&write_timeout=6s&pool_size=7&protocol=3": {4 * time.Second, 5 * time.Second, 6 * time.Second, 7, 3, 1},
	} {
		o, err := redisurl.For("redis://cache"+query, redisurl.Options{Name: "test", Hasty: true})
		require.NoError(t, err)
		require.Equal(t, want, limits{o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize, o.Protocol, o.DialerRetries}, query)
		require.True(t, o.DisableIdentity)
	}
	o, err := redisurl.For("redis://cache", redisurl.Options{})
	require.NoError(t, err)
	require.Zero(t, o.DialerRetries)
}

// A client certificate is for TLS; whoever names one and asks for none gets none.
func TestFor_CertificateOnlyWithTLS(t *testing.T) {
	t.Parallel()
	program := redisurl.Options{CertFile: "testdata/none.pem", KeyFile: "testdata/none.pem"}
	o, err := redisurl.For("redis://cache", program)
	require.NoError(t, err)
	require.Nil(t, o.TLSConfig)
	o, err = redisurl.For("rediss://cache", program)
	require.NoError(t, err)
	_, err = o.TLSConfig.GetClientCertificate(nil)
	require.ErrorContains(t, err, "client certificate", "it is read when it is asked for")
	o, err = redisurl.For("rediss://cache", redisurl.Options{})
	require.NoError(t, err)
	require.Nil(t, o.TLSConfig.GetClientCertificate)
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
