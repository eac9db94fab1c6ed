package sandbox

import (
	"sync"
	"time"
)

// announcedLimit is what the headers count down from when nothing is enforced.
const announcedLimit = 650

// maxWindows bounds the limiter's memory: logins may name anybody.
const maxWindows = 10_000

// Limiter counts calls in windows of a minute. Safe for concurrent use.
type Limiter struct {
	now func() time.Time

	mu      sync.Mutex
	windows map[string]window
}

type window struct {
	start time.Time
	used  int
}

// NewLimiter makes one by a clock.
func NewLimiter(now func() time.Time) *Limiter {
	return &Limiter{now: now, windows: make(map[string]window)}
}

// Take counts one call and gives how many are left, or, over the limit, how long
// to wait. A limit that is not positive is not enforced.
func (l *Limiter) Take(key string, limit int) (left int, wait time.Duration) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.windows[key]
	if !ok || now.Sub(w.start) >= time.Minute {
		if len(l.windows) >= maxWindows {
			clear(l.windows)
		}
		w = window{start: now}
	}
	if limit > 0 && w.used >= limit {
		return 0, w.start.Add(time.Minute).Sub(now)
	}
	w.used++
	l.windows[key] = w
	if limit <= 0 {
		return max(announcedLimit-w.used, 1), 0 // never used up, or a client would wait
	}
	return max(limit-w.used, 0), 0
}
