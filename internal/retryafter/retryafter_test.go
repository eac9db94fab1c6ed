package retryafter_test

import (
	"testing"
	"time"

	"writeback/internal/retryafter"
)

func TestParse(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, " ": 0, "x": 0, "-1": 0, "0": 0, "NaN": 0, "-Inf": 0, "0x": 0, "58 seconds": 0, "2026-05-03T10:00:30Z": 0,
		"0.5": 500 * time.Millisecond, "7": 7 * time.Second, " 7 ": 7 * time.Second, "3599": 3599 * time.Second,
		"3600": time.Hour, "Inf": time.Hour, "99999999999999999999": time.Hour, "1e400": time.Hour, "-1e400": 0,
		"Sun, 03 May 2026 10:00:30 GMT": 30 * time.Second, "Sun, 03 May 2026 09:00:00 GMT": 0, " Sun, 03 May 2026 10:00:30 GMT ": 30 * time.Second,
		"Sunday, 03-May-26 10:00:30 GMT": 30 * time.Second, "Mon, 04 May 2026 10:00:00 GMT": time.Hour,
	} {
		if got := retryafter.Parse(text, now, time.Hour); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
