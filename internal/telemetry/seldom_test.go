package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/telemetry"
)

// TestSeldom_LeavesOutWhatIsRepeated: an outage of an hour is no thousand lines, and not
// silent either.
func TestSeldom_LeavesOutWhatIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := telemetry.Seldom(slog.New(slog.NewTextHandler(&out, nil)))
		other := log.With("queue", "webhooks")
		for range 65 {
			log.Warn("polling", "error", "refused")
			other.Warn("polling", "error", "refused")
			time.Sleep(time.Second)
		}
		log.Warn("pulling", "error", "refused")
		var lines []string
		for line := range strings.Lines(out.String()) {
			_, text, _ := strings.Cut(strings.TrimSpace(line), "level=")
			lines = append(lines, text)
		}
		require.Equal(t, []string{
			"WARN msg=polling error=refused",
			"WARN msg=polling error=refused skipped=59",
			"WARN msg=polling error=refused skipped=59",
			"WARN msg=pulling error=refused",
		}, lines)
	})
}

// TestSeldom_AtDebugHasAll: who looks for one operation finds it.
func TestSeldom_AtDebugHasAll(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := telemetry.Seldom(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for i := range 3 {
		log.Warn("polling", "n", i)
	}
	require.Equal(t, []int{1, 2}, []int{strings.Count(out.String(), "level=WARN"), strings.Count(out.String(), "level=DEBUG")})
	require.Contains(t, out.String(), "level=DEBUG msg=polling n=2")
}
