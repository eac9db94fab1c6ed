package sandbox

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

// maxSessions of one account: an older one dies when as many newer were made.
const maxSessions = 100

type session struct {
	account *account
	login   login
	expires time.Time
}

// sessionList holds the sessions that live. Safe for concurrent use.
type sessionList struct {
	life time.Duration
	now  func() time.Time

	mu    sync.RWMutex
	byID  map[string]session
	order map[*account][]string
}

func newSessionList(life time.Duration, now func() time.Time) *sessionList {
	return &sessionList{life: life, now: now, byID: make(map[string]session), order: make(map[*account][]string)}
}

// start makes a session and gives its id.
func (l *sessionList) start(a *account, who login) string {
	id := rand.Text()[:22]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byID[id] = session{account: a, login: who, expires: l.now().Add(l.life)}
	ids := append(l.order[a], id)
	if len(ids) > maxSessions {
		delete(l.byID, ids[0])
		ids = ids[1:]
	}
	l.order[a] = ids
	return id
}

// account gives whose session it is; nil if it is not one, has ended, or belongs
// to another database or user name.
func (l *sessionList) account(who login) *account {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s, ok := l.byID[who.sessionID]
	if !ok || !l.now().Before(s.expires) || s.login.database != who.database || !strings.EqualFold(s.login.userName, who.userName) {
		return nil
	}
	return s.account
}

func (l *sessionList) extend(who login) bool {
	if l.account(who) == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.byID[who.sessionID]
	if ok {
		s.expires = l.now().Add(l.life)
		l.byID[who.sessionID] = s
	}
	return ok
}

// end ends the sessions of a connection, or all if it is empty.
func (l *sessionList) end(connection string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a, ids := range l.order {
		if connection != "" && a.connection != connection {
			continue
		}
		for _, id := range ids {
			delete(l.byID, id)
		}
		delete(l.order, a)
	}
}

// announcedLimit is what the headers count down from when nothing is enforced.
const announcedLimit = 650

// maxWindows bounds the limiter's memory: logins may name anybody.
const maxWindows = 10_000

// limiter counts calls in windows of a minute. Safe for concurrent use.
type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	windows map[string]window
}

type window struct {
	start time.Time
	used  int
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, windows: make(map[string]window)}
}

// take counts one call and gives how many are left, or, over the limit, how long
// to wait. A limit that is not positive is not enforced.
func (l *limiter) take(key string, limit int) (left int, wait time.Duration) {
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
		limit = announcedLimit
	}
	return max(limit-w.used, 0), 0
}
