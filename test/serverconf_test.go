package test

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"writeback/internal/config"
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
	streams := int64(c.OperationsMaxBytes) + int64(c.EventsMaxBytes)
	require.Greater(t, o.JetStreamMaxStore, streams+512<<20)
}

// TestRedisConf_KeepsEverything looks for the lines that keep a 202 safe.
func TestRedisConf_KeepsEverything(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../deploy/redis/redis.conf")
	require.NoError(t, err)
	for _, line := range []string{"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"} {
		require.Regexp(t, regexp.MustCompile(`(?m)^`+line+`$`), string(raw))
	}
}
