package doctor_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/internal/directory"
	"writeback/internal/doctor"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// aMinuteAgo sets the beats of all shards back.
func aMinuteAgo(prefix string) func(*clinic) {
	return func(c *clinic) {
		for shard := range operation.Shards {
			key := fmt.Sprintf("%s:{%02d}:beat", prefix, shard)
			beats, err := c.rdb.HKeys(c.t.Context(), key).Result()
			require.NoError(c.t, err)
			require.NotEmpty(c.t, beats)
			for _, process := range beats {
				require.NoError(c.t, c.rdb.HSet(c.t.Context(), key, process, time.Now().Add(-time.Minute).UnixMilli()).Err())
			}
		}
	}
}

// TestExamine_FaultsOfTheStore: what Redis is, and what lies in it.
func TestExamine_FaultsOfTheStore(t *testing.T) {
	t.Parallel()
	seeFaults(t, []fault{
		{"Redis nearly full", func(c *clinic) {
			used, err := c.rdb.InfoMap(c.t.Context(), "memory").Result()
			require.NoError(c.t, err)
			var bytes int
			_, err = fmt.Sscan(used["Memory"]["used_memory"], &bytes)
			require.NoError(c.t, err)
			require.NoError(c.t, c.rdb.ConfigSet(c.t.Context(), "maxmemory", fmt.Sprint(bytes*11/10)).Err())
		}, "redis memory", doctor.Warn, "% of maxmemory is used", "raise maxmemory"},
		{"a replica that takes writes", func(c *clinic) { // and forgets them
			require.NoError(c.t, c.rdb.ConfigSet(c.t.Context(), "replica-read-only", "no").Err())
			require.NoError(c.t, c.rdb.ReplicaOf(c.t.Context(), "127.0.0.1", "1").Err())
		}, "redis role", doctor.Fail, "is a replica", "name the primary"},
		{"nobody works any more", aMinuteAgo("wb"), "workers", doctor.Warn, "no worker or api", "start a worker"},
		{"older history on its way", func(c *clinic) {
			require.NoError(c.t, c.rdb.Set(c.t.Context(), "wb:{03}:history", "1", 0).Err())
		}, "rebuild", doctor.Warn, "1 of 64 shards", "wait"},
		{"webhooks being rebuilt", func(c *clinic) {
			deliveries := redisstore.New(c.rdb, redisstore.Config{Prefix: "wh"})
			require.NoError(c.t, deliveries.Withdraw(c.t.Context(), []int{3}))
			_, err := deliveries.TakeRebuild(c.t.Context(), []int{3})
			require.NoError(c.t, err)
		}, "webhook queue", doctor.Warn, "1 of 64 shards are being rebuilt", "wait"},
		{"deliveries not published", func(c *clinic) {
			due := redis.Z{Score: float64(time.Now().Add(-time.Minute).UnixMilli()), Member: uuid.NewString()}
			require.NoError(c.t, c.rdb.ZAdd(c.t.Context(), "wh:{07}:outbox", due).Err())
		}, "webhook queue", doctor.Warn, "1 deliveries wait to be published", "see why nothing is published"},
		{"webhooks that nobody polls", func(c *clinic) {
			for shard := range operation.Shards {
				require.NoError(c.t, c.rdb.Del(c.t.Context(), fmt.Sprintf("wh:{%02d}:beat", shard)).Err())
			}
		}, "webhook queue", doctor.Warn, "no worker with the role webhooks", "role webhooks"},
	})
}

// TestExamine_FaultsOfTheStreams: what NATS is, and what lies in it.
func TestExamine_FaultsOfTheStreams(t *testing.T) {
	t.Parallel()
	seeFaults(t, []fault{
		{"NATS refuses us", guardedNATS, "nats", doctor.Fail, "refuses us", "WRITEBACK_NATS_CREDS_FILE"},
		{"NATS without TLS", func(c *clinic) {
			c.environ["WRITEBACK_NATS_URL"] = strings.Replace(c.environ["WRITEBACK_NATS_URL"], "nats://", "tls://", 1)
		}, "nats", doctor.Fail, "not reached", "it has no TLS"},
		{"another's port", func(c *clinic) { c.environ["WRITEBACK_NATS_URL"] = "nats://" + hangsUp(c.t) },
			"nats", doctor.Fail, "not reached", "it closes the connection"},
		{"a stream nearly full", func(c *clinic) {
			c.environ["WRITEBACK_OPERATIONS_MAX_BYTES"] = "1MiB"
			cfg := c.stream(natsq.StreamOperations)
			cfg.MaxBytes = 1 << 20
			_, err := c.js.UpdateStream(c.t.Context(), cfg)
			require.NoError(c.t, err)
			_, err = c.js.Publish(c.t.Context(), natsq.SubjectBusy, make([]byte, 800<<10))
			require.NoError(c.t, err)
		}, "stream OPERATIONS", doctor.Warn, "% of its bytes are used", "WRITEBACK_OPERATIONS_MAX_BYTES"},
		{"too few copies", func(c *clinic) { c.environ["WRITEBACK_STREAM_REPLICAS"] = "3" },
			"stream OPERATIONS", doctor.Fail, "has 1 replicas, not 3", "restart"},
		{"a provider refused the credentials", func(c *clinic) {
			registryFile(fmt.Sprintf("partners: [{id: %s, name: P, connections: [{id: %s, provider: samsara, status: failed, credentials: {}}]}]",
				uuid.New(), uuid.New()))(c)
			d, err := directory.Open(c.t.Context(), c.js, directory.Config{AsItIs: true})
			require.NoError(c.t, err)
			_, err = d.LoadFile(c.t.Context(), c.environ["WRITEBACK_REGISTRY_FILE"])
			require.NoError(c.t, err)
		}, "connections", doctor.Warn, "1 are failed", "connection activate"},
		{"nobody to write for", func(c *clinic) {
			kv, err := c.js.KeyValue(c.t.Context(), directory.Bucket)
			require.NoError(c.t, err)
			keys, err := kv.Keys(c.t.Context())
			require.NoError(c.t, err)
			for _, key := range keys {
				if strings.HasPrefix(key, "connection.") {
					require.NoError(c.t, kv.Delete(c.t.Context(), key))
				}
			}
		}, "directory", doctor.Warn, "it has no connection", "connection import"},
		{"an issuer without keys", func(c *clinic) {
			mux := http.NewServeMux()
			s := httptest.NewServer(mux)
			c.t.Cleanup(s.Close)
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
			})
			mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) })
			c.environ["WRITEBACK_OIDC_ISSUER"] = s.URL
		}, "token issuer", doctor.Fail, "there are none", "the issuer's log"},
	})
}

// guardedNATS is one that wants another password.
func guardedNATS(c *clinic) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: c.t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "u", Password: "p"}},
	})
	require.NoError(c.t, err)
	s.Start()
	c.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(c.t, s.ReadyForConnections(10*time.Second))
	c.environ["WRITEBACK_NATS_URL"] = strings.Replace(s.ClientURL(), "://", "://u:"+plantedToken+"@", 1)
}

// hangsUp is the address of a server that closes each connection.
func hangsUp(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return ln.Addr().String()
}

// TestExamine_TellsOfAVariableOnce: api and worker both read it. What it names is not asked.
func TestExamine_TellsOfAVariableOnce(t *testing.T) {
	t.Parallel()
	findings := doctor.Examine(t.Context(), doctor.Config{Sources: config.Sources{Environ: []string{
		"WRITEBACK_NATS_URL=localhost", "WRITEBACK_REDIS_URL=localhost", "WRITEBACK_OIDC_ISSUER=localhost",
	}}})
	told := map[string]int{}
	for _, f := range findings {
		told[f.Check]++
	}
	require.Equal(t, map[string]int{"configuration": 3, "keyset": 1}, told)
}

// TestExamine_AsksProvidersThroughTheProxy: that is the only way out that api and worker have.
func TestExamine_AsksProvidersThroughTheProxy(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != closedPort {
			t.Error(r.URL)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(proxy.Close)
	findings := doctor.Examine(t.Context(), doctor.Config{Sources: config.Sources{Environ: []string{
		"WRITEBACK_NATS_URL=none", "WRITEBACK_REDIS_URL=none",
		"WRITEBACK_SAMSARA_URL=http://" + closedPort, "WRITEBACK_EGRESS_PROXY=" + proxy.URL,
	}}})
	_, ok := found(findings, "provider samsara", doctor.OK, "answers")
	require.True(t, ok, findings)
}

// TestExamine_LooksAtEachServerOfACluster: one that evicts is named.
func TestExamine_LooksAtEachServerOfACluster(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	evicts := redis.NewClient(&redis.Options{Addr: nodes[1].Addr()})
	t.Cleanup(func() { _ = evicts.Close() })
	require.NoError(t, evicts.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	look := func(url string) []doctor.Finding {
		return doctor.Examine(t.Context(), doctor.Config{Sources: config.Sources{Environ: []string{
			"WRITEBACK_NATS_URL=none", "WRITEBACK_REDIS_URL=" + url,
		}}})
	}
	findings := look("redis+cluster://" + nodes[0].Addr())
	for i, n := range nodes {
		want, words := doctor.OK, "noeviction of "+n.Addr()
		if i == 1 {
			want, words = doctor.Fail, "maxmemory-policy of "+n.Addr()+` is "allkeys-lru"`
		}
		_, ok := found(findings, "redis memory policy", want, words)
		require.True(t, ok, findings)
	}
	f, ok := found(look("redis://"+nodes[0].Addr()), "shards", doctor.Fail, "MOVED")
	require.True(t, ok, "a node is no whole store")
	require.Contains(t, f.Fix, "redis+cluster://")
}

// TestExamine_ASentinelAlone answers, and could lead no failover.
func TestExamine_ASentinelAlone(t *testing.T) {
	t.Parallel()
	servers := testenv.RedisSentinels(t)
	url := servers.URL()
	servers.Sentinels[0].Kill()
	servers.Sentinels[1].Kill()
	last := redis.NewSentinelClient(&redis.Options{Addr: servers.Sentinels[2].Addr(), Protocol: 2})
	t.Cleanup(func() { _ = last.Close() })
	require.Eventually(t, func() bool { return last.CkQuorum(t.Context(), testenv.SentinelPrimary).Err() != nil }, 30*time.Second, 50*time.Millisecond)
	findings := doctor.Examine(t.Context(), doctor.Config{Sources: config.Sources{Environ: []string{
		"WRITEBACK_NATS_URL=none", "WRITEBACK_REDIS_URL=" + url,
	}}})
	f, ok := found(findings, "redis sentinels", doctor.Warn, servers.Sentinels[2].Addr()+" could lead no failover")
	require.True(t, ok, findings)
	require.Contains(t, f.Fix, "start the others again")
}
