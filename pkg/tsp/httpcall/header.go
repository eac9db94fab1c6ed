package httpcall

import (
	"net/http"
	"strings"
	"time"

	"writeback/internal/retryafter"
)

// MaxRetryAfter caps a provider's Retry-After: a longer wait is treated as this.
const MaxRetryAfter = time.Hour

const maxHeaderValue = 256

// allowedHeaders are the response headers that may reach an attempt log: request
// ids and rate-limit state. Everything else is dropped, cookies first of all.
var allowedHeaders = map[string]bool{
	"Request-Id": true, "X-Request-Id": true, "X-Correlation-Id": true, "Retry-After": true,
	"Ratelimit": true, "Ratelimit-Policy": true, "Ratelimit-Limit": true, "Ratelimit-Remaining": true, "Ratelimit-Reset": true,
	"X-Ratelimit-Limit": true, "X-Ratelimit-Remaining": true, "X-Ratelimit-Reset": true,
	"X-Rate-Limit-Limit": true, "X-Rate-Limit-Remaining": true, "X-Rate-Limit-Reset": true,
	"Date": true,
}

func allowed(h http.Header) map[string]string {
	var out map[string]string
	for name, values := range h {
		if !allowedHeaders[name] || len(values) == 0 {
			continue
		}
		v := plain(values[0])
		if len(v) > maxHeaderValue {
			v = strings.ToValidUTF8(v[:maxHeaderValue], "")
		}
		if out == nil {
			out = make(map[string]string, 4)
		}
		out[name] = v
	}
	return out
}

// wanted gives the named headers that are there.
func wanted(h http.Header, names []string) map[string]string {
	var out map[string]string
	for _, name := range names {
		if v := h.Get(name); v != "" {
			if out == nil {
				out = make(map[string]string, len(names))
			}
			out[name] = v
		}
	}
	return out
}

// RetryAfter parses the header: whole or fractional seconds, or an HTTP date.
// Past, negative and unreadable values give zero; long ones MaxRetryAfter.
func RetryAfter(v string, now time.Time) time.Duration {
	return retryafter.Parse(v, now, MaxRetryAfter)
}

// budget are two rate headers: what remains of it, and when it is refilled.
type budget struct{ remaining, reset string }

// budgets are the common ones.
var budgets = []budget{
	{"Ratelimit-Remaining", "Ratelimit-Reset"},
	{"X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
	{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},
}

// spent reads the common rate headers: a budget that is used up with a time at which it
// is refilled, given in seconds, as a Unix time, or as a date of RFC 3339 or HTTP.
func spent(resp *http.Response, now time.Time) time.Duration {
	for _, b := range budgets {
		if !b.spent(resp) {
			continue
		}
		if wait := resetIn(resp.Header.Get(b.reset), now); wait > 0 {
			return wait
		}
	}
	return 0
}

// spent reports that nothing remains. A 429 need not name how much.
func (b budget) spent(resp *http.Response) bool {
	if len(resp.Header[b.remaining]) == 0 { // an error for each that is absent would cost more than the look
		return resp.StatusCode == http.StatusTooManyRequests
	}
	left, ok := retryafter.Number(resp.Header.Get(b.remaining))
	return ok && left <= 0
}

// resetIn is the time until a budget is refilled.
func resetIn(v string, now time.Time) time.Duration {
	if reset, ok := retryafter.Number(v); ok {
		if reset > unixAfter {
			reset -= float64(now.UnixMilli()) / 1000
		}
		return retryafter.Seconds(reset, MaxRetryAfter)
	}
	v = strings.TrimSpace(v)
	at, err := time.Parse(time.RFC3339, v)
	if err != nil {
		at, err = http.ParseTime(v)
	}
	if err != nil {
		return 0
	}
	return retryafter.Seconds(at.Sub(now).Seconds(), MaxRetryAfter)
}

// unixAfter tells a Unix time from a number of seconds.
const unixAfter = 1e9
