package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestErrorLog_OneAMinute(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Now()
	e := newErrorLog(slog.New(slog.NewJSONHandler(&out, nil)), func() time.Time { return now })
	for range 5 {
		e.Handle(errors.New("collector away"))
	}
	require.Equal(t, 1, strings.Count(out.String(), "collector away"))
	now = now.Add(errorLogGap)
	e.Handle(errors.New("collector away"))
	require.Equal(t, 2, strings.Count(out.String(), "collector away"))
	require.Contains(t, out.String(), `"skipped":4`)
}
