package test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/internal/redisurl"
	"writeback/internal/testenv"
)

// TestNATSConf_IsWhatDurabilityPromises reads the file as nats-server does.
func TestNATSConf_IsWhatDurabilityPromises(t *testing.T) {
	t.Parallel()
	o, err := server.ProcessConfigFile("../deploy/nats/nats.conf")
	require.NoError(t, err)
	require.True(t, o.JetStream)
	require.Equal(t, "/data", o.StoreDir, "the compose file mounts its volume there")
	require.Equal(t, 10*time.Second, o.SyncInterval, "docs/durability.md says so")

	// Our streams reserve their room; the rest is for the directory and dead letters.
	c, _, err := config.Load[config.Worker](nil)
	require.NoError(t, err)
	streams := int64(c.OperationsMaxBytes) + int64(c.EventsMaxBytes) + 2<<30 // of webhooks
	require.Greater(t, o.JetStreamMaxStore, streams+int64(c.EventsMaxBytes)+512<<20,
		"docs/runbook.md doubles the events when they fill up")
}

// TestNATSConf_HighlyAvailable: every acknowledgement is on the disk, and the streams
// of the profile fit.
func TestNATSConf_HighlyAvailable(t *testing.T) {
	t.Setenv("NATS_SERVER_NAME", "nats-0")
	t.Setenv("NATS_CLUSTER_ADVERTISE", "nats-0.nats:6222")
	o, err := server.ProcessConfigFile("../deploy/nats/ha.conf")
	require.NoError(t, err)
	require.True(t, o.JetStream)
	require.True(t, o.SyncAlways, "docs/durability.md says so")
	require.Equal(t, "nats-0", o.ServerName)
	require.Len(t, o.Routes, 3)

	settings := configMap(t, "ha")
	c, _, err := config.Load[config.Worker]([]string{
		"WRITEBACK_OPERATIONS_MAX_BYTES=" + settings["WRITEBACK_OPERATIONS_MAX_BYTES"],
		"WRITEBACK_EVENTS_MAX_BYTES=" + settings["WRITEBACK_EVENTS_MAX_BYTES"],
		"WRITEBACK_STREAM_REPLICAS=" + settings["WRITEBACK_STREAM_REPLICAS"],
	})
	require.NoError(t, err)
	require.Equal(t, len(o.Routes), c.Replicas, "one copy on each node")
	require.Greater(t, o.JetStreamMaxStore, int64(c.OperationsMaxBytes)+int64(c.EventsMaxBytes)+2<<30+512<<20)
}

// TestRedisConf_KeepsEverything looks for the lines that keep a 202 safe.
func TestRedisConf_KeepsEverything(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]string{
		"redis":   nil,
		"ha":      {"min-replicas-to-write 1"},
		"cluster": {"min-replicas-to-write 1", "cluster-enabled yes"},
	} {
		raw, err := os.ReadFile("../deploy/redis/" + name + ".conf")
		require.NoError(t, err)
		for _, line := range append(more, "appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction") {
			require.Regexp(t, regexp.MustCompile(`(?m)^`+line+`$`), string(raw), name)
		}
	}
}

// TestRedisConf_IsRead starts a redis-server with each file's directives: one that does
// not exist ends it.
func TestRedisConf_IsRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redis", "ha", "cluster"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile("../deploy/redis/" + name + ".conf")
			require.NoError(t, err)
			var args []string
			for line := range strings.Lines(string(raw)) {
				directive, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				switch directive {
				case "", "#", "bind", "port", "dir": // where it runs is the test's business
				default:
					args = append(args, "--"+directive)
					for field := range strings.FieldsSeq(value) {
						args = append(args, strings.Trim(field, `"`))
					}
				}
			}
			testenv.StartRedis(t, args...)
		})
	}
}

// TestSentinelConf_NamesThePrimary as the address in the documentation does.
func TestSentinelConf_NamesThePrimary(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../deploy/redis/sentinel.conf")
	require.NoError(t, err)
	require.Regexp(t, `(?m)^sentinel monitor `+testenv.SentinelPrimary+` \S+ 6379 2$`, string(raw))
	ha, err := os.ReadFile("../deploy/redis/ha.conf")
	require.NoError(t, err)
	address := regexp.MustCompile(`redis\+sentinel://\S+`).FindString(string(ha))
	o, err := redisurl.Parse(address)
	require.NoError(t, err)
	require.Equal(t, testenv.SentinelPrimary, o.MasterName)
	require.Len(t, o.Addrs, 3)
}
