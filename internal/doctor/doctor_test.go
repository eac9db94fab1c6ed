package doctor_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/config"
	"writeback/internal/devissuer"
	"writeback/internal/directory"
	"writeback/internal/doctor"
	"writeback/internal/natsq"
	"writeback/internal/seal"
	"writeback/internal/testenv"
	"writeback/internal/webhook"
	"writeback/internal/webhook/registry"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func TestMain(m *testing.M) {
	// The client looks once a second whether its pool was closed while a server was away.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

const (
	plantedToken = "planted-token"
	closedPort   = "127.0.0.1:1"
)

// clinic is an installation in good health, and the doctor before it.
type clinic struct {
	t       *testing.T
	environ map[string]string
	redis   *testenv.RedisProcess
	rdb     *redis.Client
	js      jetstream.JetStream
	store   *redisstore.Store
	pulling jetstream.MessagesContext
	now     func() time.Time
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{t: t, redis: testenv.RedisAOF(t, ""), environ: map[string]string{}, now: time.Now}
	natsURL := testenv.NATS(t)
	c.environ["WRITEBACK_NATS_URL"], c.environ["WRITEBACK_REDIS_URL"] = natsURL, c.redis.URL()
	c.environ["WRITEBACK_OIDC_ISSUER"] = issuer(t)
	c.environ["WRITEBACK_KEYSET_FILE"] = keyset(t)

	opt, err := redis.ParseURL(c.redis.URL())
	require.NoError(t, err)
	c.rdb = redis.NewClient(opt)
	nc, err := nats.Connect(natsURL, testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close(); _ = c.rdb.Close() })
	c.js, err = jetstream.New(nc)
	require.NoError(t, err)
	require.NoError(t, natsq.Ensure(t.Context(), c.js, natsq.Config{OperationsMaxBytes: 1 << 30, EventsMaxBytes: 4 << 30}))
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{}))
	c.store = redisstore.New(c.rdb, redisstore.Config{})
	require.NoError(t, c.store.Begin(t.Context(), everyShard()))
	_, err = c.store.Poll(t.Context(), 0)
	require.NoError(t, err)
	deliveries := redisstore.New(c.rdb, redisstore.Config{Prefix: "wh"})
	require.NoError(t, deliveries.Begin(t.Context(), everyShard()))
	_, err = deliveries.Poll(t.Context(), 0)
	require.NoError(t, err)
	c.register(c.environ["WRITEBACK_KEYSET_FILE"])
	c.pull()
	return c
}

// pull asks for wake-ups, as a worker does.
func (c *clinic) pull() {
	c.t.Helper()
	consumer, err := c.js.Consumer(c.t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet)
	require.NoError(c.t, err)
	c.pulling, err = consumer.Messages()
	require.NoError(c.t, err)
	c.t.Cleanup(c.pulling.Stop)
	go func() { _, _ = c.pulling.Next() }()
}

// register puts one connection into the directory, sealed under a keyset.
func (c *clinic) register(keysetFile string) {
	c.t.Helper()
	sealer, err := seal.Load(keysetFile)
	require.NoError(c.t, err)
	d, err := directory.Open(c.t.Context(), c.js, directory.Config{Sealer: sealer})
	require.NoError(c.t, err)
	file := filepath.Join(c.t.TempDir(), "registry.yaml")
	text := fmt.Sprintf("partners: [{id: %s, name: P, connections: [{id: %s, provider: samsara, credentials: {access_token: %s}}]}]",
		uuid.New(), uuid.New(), plantedToken)
	require.NoError(c.t, os.WriteFile(file, []byte(text), 0o600))
	_, err = d.LoadFile(c.t.Context(), file)
	require.NoError(c.t, err)
	c.environ["WRITEBACK_REGISTRY_FILE"] = file
}

func issuer(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	url := "http://" + s.Listener.Addr().String() + devissuer.Realm
	i, err := devissuer.New(devissuer.Config{IssuerURL: url})
	require.NoError(t, err)
	s.Config.Handler = i
	s.Start()
	t.Cleanup(s.Close)
	return url
}

func keyset(t *testing.T) string {
	t.Helper()
	text, err := seal.Generate()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}

func everyShard() []int {
	out := make([]int, operation.Shards)
	for i := range out {
		out[i] = i
	}
	return out
}

func (c *clinic) examine() []doctor.Finding {
	var environ []string
	for name, value := range c.environ {
		environ = append(environ, name+"="+value)
	}
	return doctor.Examine(c.t.Context(), doctor.Config{Sources: config.Sources{Environ: environ}, Now: c.now, Timeout: 10 * time.Second})
}

func (c *clinic) stream(name string) jetstream.StreamConfig {
	s, err := c.js.Stream(c.t.Context(), name)
	require.NoError(c.t, err)
	return s.CachedInfo().Config
}

// found gives the finding of a check with the status, whose text has the words.
func found(findings []doctor.Finding, check string, status doctor.Status, words string) (doctor.Finding, bool) {
	for _, f := range findings {
		if f.Check == check && f.Status == status && strings.Contains(f.What, words) {
			return f, true
		}
	}
	return doctor.Finding{}, false
}

func TestExamine_Healthy(t *testing.T) {
	t.Parallel()
	findings := newClinic(t).examine()
	for _, f := range findings {
		require.Equal(t, doctor.OK, f.Status, "%+v", f)
		require.Empty(t, f.Fix)
	}
	require.Equal(t, doctor.OK, doctor.Worst(findings))
	for _, check := range []string{
		"configuration", "nats", "nats version", "jetstream", "nats clock", "stream OPERATIONS", "stream OPERATION_EVENTS", "dead letters",
		"consumer workers-quiet", "stream WEBHOOK_DELIVERIES", "stream WEBHOOK_EVENTS", "consumer webhooks-created", "consumer webhooks-ended-batches", "directory", "redis", "redis version", "redis clock", "redis memory policy", "redis persistence", "redis writes", "generation",
		"workers", "outbox", "webhook queue", "token issuer", "issuer clock", "registry file", "keyset",
	} {
		_, ok := found(findings, check, doctor.OK, "")
		require.True(t, ok, check)
	}
}

// TestExamine_Faults breaks one thing at a time and wants it named, with what to do,
// and everything else found well.
func TestExamine_Faults(t *testing.T) {
	t.Parallel()
	update := func(c *clinic, name string, change func(*jetstream.StreamConfig)) {
		cfg := c.stream(name)
		change(&cfg)
		_, err := c.js.UpdateStream(c.t.Context(), cfg)
		require.NoError(c.t, err)
	}
	redisWith := func(args ...string) func(*clinic) {
		return func(c *clinic) {
			other := testenv.StartRedis(c.t, args...)
			opt, err := redis.ParseURL(other.URL())
			require.NoError(c.t, err)
			rdb := redis.NewClient(opt)
			c.t.Cleanup(func() { _ = rdb.Close() })
			store := redisstore.New(rdb, redisstore.Config{})
			require.NoError(c.t, store.Begin(c.t.Context(), everyShard()))
			_, err = store.Poll(c.t.Context(), 0)
			require.NoError(c.t, err)
			c.environ["WRITEBACK_REDIS_URL"] = other.URL()
		}
	}
	set := func(name, value string) func(*clinic) { return func(c *clinic) { c.environ[name] = value } }
	seeFaults(t, []fault{
		{"NATS down", set("WRITEBACK_NATS_URL", "nats://"+closedPort), "nats", doctor.Fail, "not reached", "start nats-server"},
		{"NATS hangs", func(c *clinic) { c.environ["WRITEBACK_NATS_URL"] = "nats://" + silent(c.t) }, "nats", doctor.Fail, "not reached", "answers nothing"},
		{"JetStream off", plainNATS, "jetstream", doctor.Fail, "cannot be used", "JetStream"},
		{"stream missing", func(c *clinic) { require.NoError(c.t, c.js.DeleteStream(c.t.Context(), natsq.StreamEvents)) },
			"stream OPERATION_EVENTS", doctor.Fail, "missing", "start an api or worker"},
		{"stream forgets early", func(c *clinic) {
			update(c, natsq.StreamOperations, func(s *jetstream.StreamConfig) { s.MaxAge = time.Hour })
		}, "stream OPERATIONS", doctor.Fail, "keeps messages for 1h0m0s", "restart an api or worker"},
		{"stream takes less", func(c *clinic) {
			update(c, natsq.StreamEvents, func(s *jetstream.StreamConfig) { s.Subjects = []string{natsq.SubjectSucceeded} })
		}, "stream OPERATION_EVENTS", doctor.Fail, "does not take the subject " + natsq.SubjectAttempted, "restart"},
		{"stream discards old", func(c *clinic) {
			update(c, natsq.StreamOperations, func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardOld })
		}, "stream OPERATIONS", doctor.Fail, "a full stream discards", "restart"},
		{"stream is small", func(c *clinic) {
			update(c, natsq.StreamEvents, func(s *jetstream.StreamConfig) { s.MaxBytes, s.MaxMsgs = 1<<20, 10 })
		}, "stream OPERATION_EVENTS", doctor.Fail, "holds 1048576 bytes", "restart"},
		{"consumer missing", func(c *clinic) {
			require.NoError(c.t, c.js.DeleteConsumer(c.t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet))
		}, "consumer workers-quiet", doctor.Fail, "missing", "restart"},
		{"stream of webhooks missing", func(c *clinic) { require.NoError(c.t, c.js.DeleteStream(c.t.Context(), natsq.StreamDeliveries)) },
			"stream WEBHOOK_DELIVERIES", doctor.Fail, "missing", "/readyz says what hinders it"},
		{"consumer of webhooks missing", func(c *clinic) {
			require.NoError(c.t, c.js.DeleteConsumer(c.t.Context(), natsq.StreamEvents, natsq.ConsumerEnded))
		}, "consumer webhooks-ended", doctor.Fail, "missing", "no webhook is told"},
		{"consumer of webhooks paused", func(c *clinic) {
			_, err := c.js.PauseConsumer(c.t.Context(), natsq.StreamOperations, natsq.ConsumerCreated, time.Now().Add(time.Hour))
			require.NoError(c.t, err)
		}, "consumer webhooks-created", doctor.Fail, "paused", "nats consumer resume OPERATIONS webhooks-created"},
		{"no worker", func(c *clinic) { c.pulling.Stop() }, "consumer workers-quiet", doctor.Warn, "no worker asks", "start a worker"},
		{"webhooks due", func(c *clinic) {
			due := redis.Z{Score: float64(time.Now().Add(-time.Minute).UnixMilli()), Member: uuid.NewString()}
			require.NoError(c.t, c.rdb.ZAdd(c.t.Context(), "wh:{07}:due", due).Err())
		}, "webhook queue", doctor.Fail, "1 webhooks are due", "role webhooks"},
		{"webhook shards missing", func(c *clinic) {
			require.NoError(c.t, redisstore.New(c.rdb, redisstore.Config{Prefix: "wh"}).Withdraw(c.t.Context(), []int{3, 4}))
		}, "webhook queue", doctor.Fail, "2 of 64 shards", "role webhooks"},
		{"no worker for webhooks", func(c *clinic) {
			for shard := range operation.Shards {
				key := fmt.Sprintf("wh:{%02d}:beat", shard)
				beats, err := c.rdb.HGetAll(c.t.Context(), key).Result()
				require.NoError(c.t, err)
				for process := range beats {
					require.NoError(c.t, c.rdb.HSet(c.t.Context(), key, process, time.Now().Add(-time.Minute).UnixMilli()).Err())
				}
			}
		}, "webhook queue", doctor.Warn, "no worker with the role webhooks", "role webhooks"},
		{"only an api", func(c *clinic) {
			due := redis.Z{Score: float64(time.Now().Add(-time.Minute).UnixMilli()), Member: uuid.NewString()}
			require.NoError(c.t, c.rdb.ZAdd(c.t.Context(), "wb:{07}:due", due).Err())
		}, "workers", doctor.Fail, "1 lanes are due", "start a worker"},
		{"dead letters", func(c *clinic) {
			_, err := c.js.Publish(c.t.Context(), natsq.SubjectDead, []byte(plantedToken))
			require.NoError(c.t, err)
		}, "dead letters", doctor.Warn, "1 messages", "deadletter replay"},
		{"Redis in memory", func(c *clinic) { c.environ["WRITEBACK_REDIS_URL"] = "redis://" + miniredis.RunT(c.t).Addr() }, "redis version", doctor.Fail, "in memory", "install"},
		{"Redis down", func(c *clinic) { c.redis.Kill() }, "redis", doctor.Fail, "not reached", "start redis-server"},
		{"Redis hangs", func(c *clinic) { require.NoError(c.t, c.redis.Pause()) }, "redis", doctor.Fail, "not reached", "answers nothing"},
		{"Redis wants a password", func(c *clinic) {
			require.NoError(c.t, c.rdb.ConfigSet(c.t.Context(), "requirepass", plantedToken).Err())
		}, "redis", doctor.Fail, "NOAUTH", "the password that Redis takes"},
		{"Redis wants another password", func(c *clinic) {
			require.NoError(c.t, c.rdb.ConfigSet(c.t.Context(), "requirepass", plantedToken).Err())
			c.environ["WRITEBACK_REDIS_URL"] = strings.Replace(c.environ["WRITEBACK_REDIS_URL"], "://", "://:old-"+plantedToken+"@", 1)
		}, "redis", doctor.Fail, "WRONGPASS", "the password that Redis takes"},
		{"a database that Redis has not", func(c *clinic) {
			c.environ["WRITEBACK_REDIS_URL"] = strings.TrimSuffix(c.environ["WRITEBACK_REDIS_URL"], "/0") + "/99"
		}, "redis", doctor.Fail, "DB index", "correct WRITEBACK_REDIS_URL"},
		{"no scripts for us", func(c *clinic) {
			require.NoError(c.t, c.rdb.Do(c.t.Context(), "ACL", "SETUSER", "default", "-fcall").Err())
		}, "shards", doctor.Fail, "'fcall'", "ACL SETUSER"},
		{"Redis evicts", redisWith("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"),
			"redis memory policy", doctor.Fail, `"allkeys-lru"`, "config set maxmemory-policy noeviction"},
		{"pages in pieces", redisWith("--appendonly", "yes", "--hash-max-listpack-value", "64"),
			"redis pages", doctor.Warn, "is 64", "hash-max-listpack-value 4096"},
		{"functions of another version", func(c *clinic) {
			code := "#!lua name=writeback_0123456789ab\nredis.register_function('f', function() return 1 end)"
			require.NoError(c.t, c.rdb.FunctionLoad(c.t.Context(), code).Err())
		}, "redis functions", doctor.Warn, "writeback_0123456789ab", "redis-cli function delete writeback_0123456789ab"},
		{"no channels for us", func(c *clinic) {
			require.NoError(c.t, c.rdb.Do(c.t.Context(), "ACL", "SETUSER", "default", "resetchannels").Err())
		}, "redis channels", doctor.Warn, "not handed to free slots", "&wb:*"},
		{"no webhooks for us", func(c *clinic) {
			require.NoError(c.t, c.rdb.Do(c.t.Context(), "ACL", "SETUSER", "default", "resetkeys", "~wb:*", "~wbhook:*").Err())
		}, "webhook queue", doctor.Fail, "NOPERM", "wh:*"},
		{"no log of webhooks for us", func(c *clinic) {
			require.NoError(c.t, c.rdb.Do(c.t.Context(), "ACL", "SETUSER", "default", "resetkeys", "~wb:*", "~wh:*").Err())
		}, "webhook queue", doctor.Fail, "NOPERM", "wbhook:*"},
		{"Redis full", redisRefuses("maxmemory", "1"), "redis writes", doctor.Fail, "OOM", "raise maxmemory; `noeviction` must stay; meanwhile new writes are answered 503, and what was accepted goes on"},
		{"Redis without its replica", redisRefuses("min-replicas-to-write", "1"), "redis writes", doctor.Fail, "NOREPLICAS", "bring a replica back"},
		{"a replica", func(c *clinic) { require.NoError(c.t, c.rdb.ReplicaOf(c.t.Context(), "127.0.0.1", "1").Err()) },
			"redis writes", doctor.Fail, "READONLY", "name the primary"},
		{"AOF off", redisWith(), "redis persistence", doctor.Warn, "is off", "appendonly yes"},
		{"generation missing", func(c *clinic) { require.NoError(c.t, c.store.Withdraw(c.t.Context(), []int{3, 4})) },
			"generation", doctor.Fail, "2 of 64 shards have none", "start a worker or api"},
		{"rebuild under way", func(c *clinic) {
			require.NoError(c.t, c.store.Withdraw(c.t.Context(), []int{3}))
			_, err := c.store.TakeRebuild(c.t.Context(), []int{3})
			require.NoError(c.t, err)
		}, "rebuild", doctor.Warn, "1 of 64 shards", "wait"},
		{"outbox old", oldOutbox(20 * time.Second), "outbox", doctor.Warn, "1 operations wait", "see why nothing is published"},
		{"outbox very old", oldOutbox(time.Hour), "outbox", doctor.Fail, "1 operations wait", "see why nothing is published"},
		{"nobody works", func(c *clinic) { // a beat of its own is in each shard
			for shard := range operation.Shards {
				require.NoError(c.t, c.rdb.Del(c.t.Context(), fmt.Sprintf("wb:{%02d}:beat", shard)).Err())
			}
		}, "workers", doctor.Warn, "no worker", "start a worker"},
		{"issuer down", set("WRITEBACK_OIDC_ISSUER", "http://"+closedPort+devissuer.Realm), "token issuer", doctor.Fail, "not reached", "start the issuer"},
		{"issuer by another name", func(c *clinic) {
			c.environ["WRITEBACK_OIDC_ISSUER"] = strings.Replace(c.environ["WRITEBACK_OIDC_ISSUER"], "127.0.0.1", "localhost", 1)
		}, "token issuer", doctor.Fail, "it calls itself", "exactly"},
		{"no issuer there", func(c *clinic) {
			c.environ["WRITEBACK_OIDC_ISSUER"] = strings.TrimSuffix(c.environ["WRITEBACK_OIDC_ISSUER"], devissuer.Realm)
		}, "token issuer", doctor.Fail, "no discovery document", "correct WRITEBACK_OIDC_ISSUER"},
		{"no keyset", set("WRITEBACK_KEYSET_FILE", ""), "keyset", doctor.Warn, "no keyset", "keyset create"},
		{"registry is none", registryFile("hello"), "registry file", doctor.Fail, "must be a mapping", "do not start with it"},
		{"registry wants a variable", registryFile("partners: [{id: " + uuid.NewString() + ", name: P, connections: [{id: " + uuid.NewString() +
			", provider: samsara, credentials: {access_token: \"${NOT_GIVEN}\"}}]}]"), "registry file", doctor.Fail, "NOT_GIVEN", "environment"},
		{"another keyset", func(c *clinic) { c.environ["WRITEBACK_KEYSET_FILE"] = keyset(c.t) },
			"credentials", doctor.Fail, "1 of 1 connections", "the keyset that sealed them"},
		{"webhooks under another keyset", func(c *clinic) {
			text, err := seal.Generate()
			require.NoError(c.t, err)
			other, err := seal.New(text)
			require.NoError(c.t, err)
			r, err := registry.Open(c.t.Context(), c.js, other, func(*url.URL) error { return nil }, registry.Config{})
			require.NoError(c.t, err)
			_, err = r.Create(c.t.Context(), uuid.New(), webhook.New{URL: "https://example.com", EventName: webhook.EventCreated})
			require.NoError(c.t, err)
		}, "webhook secrets", doctor.Fail, "1 of 1 webhooks", "new secrets"},
		{"keyset is none", func(c *clinic) {
			require.NoError(c.t, os.WriteFile(c.environ["WRITEBACK_KEYSET_FILE"], []byte("{}"), 0o600))
		}, "keyset", doctor.Fail, "", "backup"},
		{"keyset for everybody", func(c *clinic) {
			require.NoError(c.t, os.Chmod(c.environ["WRITEBACK_KEYSET_FILE"], 0o644))
		}, "keyset", doctor.Warn, "everybody on this machine may read the keyset (-rw-r--r--)", "chmod"},
		{"provider unreachable", set("WRITEBACK_SAMSARA_URL", "http://"+closedPort), "provider samsara", doctor.Warn, "not reached", "WRITEBACK_SAMSARA_URL"},
		{"variable wrong", set("WRITEBACK_WORKER_CONCURRENCY", "many"), "configuration", doctor.Fail, `WRITEBACK_WORKER_CONCURRENCY="many"`, "correct WRITEBACK_WORKER_CONCURRENCY"},
		{"variable unknown", set("WRITEBACK_NAST_URL", "x"), "configuration", doctor.Warn, "did you mean WRITEBACK_NATS_URL?", "unset"},
		{"development issuer in production", set("WRITEBACK_ENV", "production"), "configuration", doctor.Fail, "WRITEBACK_OIDC_ISSUER=", "correct"},
		{"sandbox in production", func(c *clinic) {
			c.environ["WRITEBACK_ENV"], c.environ["WRITEBACK_PROVIDER_LOCAL"] = "production", "true"
		}, "configuration", doctor.Fail, "WRITEBACK_PROVIDER_LOCAL=", "correct"},
		{"development key in production", func(c *clinic) {
			c.environ["WRITEBACK_ENV"] = "production"
			_, err := c.js.CreateKeyValue(c.t.Context(), jetstream.KeyValueConfig{Bucket: "writeback-development-keys"})
			require.NoError(c.t, err)
		}, "development key", doctor.Warn, "lies in NATS", "nats kv del"},
	})
}

// fault is one thing that is broken, and what the doctor says of it.
type fault struct {
	name  string
	harm  func(c *clinic)
	check string
	want  doctor.Status
	what  string
	fix   string
}

func seeFaults(t *testing.T, faults []fault) {
	t.Helper()
	for _, tt := range faults {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			tt.harm(c)
			findings := c.examine()
			f, ok := found(findings, tt.check, tt.want, tt.what)
			require.True(t, ok, "%+v", findings)
			require.Contains(t, f.Fix, tt.fix)
			require.NotEqual(t, doctor.OK, doctor.Worst(findings))
			if f.Check == "redis writes" {
				_, told := found(findings, "workers", doctor.Warn, "")
				require.False(t, told, "who polls leaves no trace then")
			}
			require.NotContains(t, fmt.Sprintf("%+v", findings), plantedToken)
		})
	}
}

// registryFile has a registry file with this text.
func registryFile(text string) func(*clinic) {
	return func(c *clinic) {
		file := filepath.Join(c.t.TempDir(), "registry.yaml")
		require.NoError(c.t, os.WriteFile(file, []byte(text), 0o600))
		c.environ["WRITEBACK_REGISTRY_FILE"] = file
	}
}

// silent is the address of a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// plainNATS is a nats-server without JetStream.
func plainNATS(c *clinic) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	require.NoError(c.t, err)
	s.Start()
	c.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(c.t, s.ReadyForConnections(10*time.Second))
	c.environ["WRITEBACK_NATS_URL"] = s.ClientURL()
}

// redisRefuses has a setting with which Redis takes no writes, some time after the last
// beat.
func redisRefuses(name, value string) func(*clinic) {
	return func(c *clinic) {
		for shard := range operation.Shards {
			require.NoError(c.t, c.rdb.Del(c.t.Context(), fmt.Sprintf("wb:{%02d}:beat", shard)).Err())
		}
		require.NoError(c.t, c.rdb.ConfigSet(c.t.Context(), name, value).Err())
	}
}

// oldOutbox has an operation that should have been published some time ago.
func oldOutbox(age time.Duration) func(*clinic) {
	return func(c *clinic) {
		a := operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: uuid.New(), ConnectionID: uuid.New(), Provider: "samsara",
			Resource: operation.ResourceUser, ResourceID: uuid.New(), Type: operation.Update,
			Changes: operation.Changes{operation.FieldFirstName: operation.Text(plantedToken)},
		}
		_, err := c.store.Accept(c.t.Context(), a, redisstore.Limits{InFlight: 4, Call: time.Second, Life: time.Hour})
		require.NoError(c.t, err)
		outbox := fmt.Sprintf("wb:{%02d}:outbox", operation.ShardOf(a.ConnectionID))
		members, err := c.rdb.ZRange(c.t.Context(), outbox, 0, -1).Result()
		require.NoError(c.t, err)
		require.Len(c.t, members, 1)
		at := float64(time.Now().Add(-age).UnixMilli())
		require.NoError(c.t, c.rdb.ZAdd(c.t.Context(), outbox, redis.Z{Score: at, Member: members[0]}).Err())
	}
}

func TestExamine_Clock(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		off  time.Duration
		want doctor.Status
		what string
	}{
		{-time.Minute, doctor.Fail, "ahead of this machine's"},
		{time.Minute, doctor.Fail, "behind this machine's"},
		{10 * time.Second, doctor.Warn, "behind this machine's"},
	} {
		t.Run(tt.off.String(), func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			c.now = func() time.Time { return time.Now().Add(tt.off) }
			findings := c.examine()
			for _, whose := range []string{"redis clock", "nats clock", "issuer clock"} {
				f, ok := found(findings, whose, tt.want, tt.what)
				require.True(t, ok, "%s: %+v", whose, findings)
				require.Contains(t, f.Fix, "synchronise")
			}
		})
	}
}

func TestExamine_NothingYet(t *testing.T) {
	t.Parallel()
	c := &clinic{t: t, now: time.Now, environ: map[string]string{
		"WRITEBACK_NATS_URL": testenv.NATS(t), "WRITEBACK_REDIS_URL": testenv.Redis(t), "WRITEBACK_OIDC_ISSUER": issuer(t),
	}}
	findings := c.examine()
	f, ok := found(findings, "directory", doctor.Warn, "none yet")
	require.True(t, ok)
	require.Contains(t, f.Fix, "connection import")
	_, ok = found(findings, "generation", doctor.Fail, "64 of 64")
	require.True(t, ok)
	for _, f := range findings {
		require.NotContains(t, []string{"webhook queue", "webhook secrets"}, f.Check, "there may never be a worker with that role")
	}
	nc, err := nats.Connect(c.environ["WRITEBACK_NATS_URL"])
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	names := 0
	for range js.StreamNames(t.Context()).Name() {
		names++
	}
	require.Zero(t, names, "the doctor makes nothing")
}

func TestExamine_EndsWithItsTime(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	require.NoError(t, c.redis.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	findings := doctor.Examine(ctx, doctor.Config{
		Sources: config.Sources{Environ: []string{"WRITEBACK_REDIS_URL=" + c.redis.URL()}}, Timeout: 200 * time.Millisecond,
	})
	require.NoError(t, ctx.Err())
	_, ok := found(findings, "redis", doctor.Fail, "")
	require.True(t, ok)
}
