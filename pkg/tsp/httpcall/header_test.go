package httpcall_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"writeback/pkg/tsp/httpcall"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	tests := map[string]time.Duration{
		"":                                0,
		"  ":                              0,
		"0":                               0,
		"58":                              58 * time.Second,
		" 58 ":                            58 * time.Second,
		"0.40235":                         402350 * time.Microsecond,
		"-3":                              0,
		"-0.0":                            0,
		"NaN":                             0,
		"-Inf":                            0,
		"Inf":                             httpcall.MaxRetryAfter,
		"1e300":                           httpcall.MaxRetryAfter,
		"1e400":                           httpcall.MaxRetryAfter,
		"-1e400":                          0,
		"3600":                            httpcall.MaxRetryAfter,
		"86400":                           httpcall.MaxRetryAfter,
		"Tue, 24 Nov 2026 12:00:30 GMT":   30 * time.Second,
		"Tue, 24 Nov 2026 11:59:59 GMT":   0,
		"Wed, 24 Nov 2027 12:00:00 GMT":   httpcall.MaxRetryAfter,
		"Tuesday, 24-Nov-26 12:00:30 GMT": 30 * time.Second,
		"soon":                            0,
		"58 seconds":                      0,
		"2026-11-24T12:00:30Z":            0,
	}
	for value, want := range tests {
		if got := httpcall.RetryAfter(value, now); got != want {
			t.Errorf("RetryAfter(%q): got %s, want %s", value, got, want)
		}
	}
}

// Whatever a provider sends, the wait is neither negative nor over the cap.
func TestRetryAfter_IsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(
			rapid.String(),
			rapid.Map(rapid.Float64(), func(f float64) string { return fmt.Sprint(f) }),
			rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
			rapid.Map(rapid.Int64Range(-1<<32, 1<<32), func(n int64) string {
				return now.Add(time.Duration(n) * time.Second).Format(http.TimeFormat)
			}),
		).Draw(t, "value")
		if d := httpcall.RetryAfter(value, now); d < 0 || d > httpcall.MaxRetryAfter {
			t.Fatalf("RetryAfter(%q) = %s", value, d)
		}
	})
}

// A wait within the cap is kept: as seconds to the nanosecond's rounding, as a
// date to the second.
func TestRetryAfter_KeepsShortWaits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(1, 3600).Draw(t, "seconds")
		want := time.Duration(seconds) * time.Second
		if got := httpcall.RetryAfter(strconv.FormatInt(seconds, 10), now); got != want {
			t.Fatalf("seconds: got %s, want %s", got, want)
		}
		if got := httpcall.RetryAfter(now.Add(want).Format(http.TimeFormat), now); got != want {
			t.Fatalf("date: got %s, want %s", got, want)
		}
	})
}
