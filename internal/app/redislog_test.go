package app

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/telemetry"
)

// TestRedisLog_TellsOfANewPrimary: of many lines of an outage few are written, and the one
// that says how it ended is among them.
func TestRedisLog_TellsOfANewPrimary(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := redisLog{telemetry.Seldom(slog.New(slog.NewTextHandler(&out, nil)))}
	for range 3 {
		log.Printf(t.Context(), "redis: connection pool: failed to dial after %d attempts: %v", 5, "refused")
	}
	log.Printf(t.Context(), "sentinel: new master=%q addr=%q", "writeback", "127.0.0.1:2")
	require.Contains(t, out.String(), `level=INFO msg="redis primary" detail="sentinel: new master=\"writeback\" addr=\"127.0.0.1:2\""`)
	require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("level=")))
}
