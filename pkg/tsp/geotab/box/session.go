package box

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"writeback/internal/sandbox"
)

// maxSessions of one account: an older one dies when as many newer were made.
const maxSessions = 100

type session struct {
	account *sandbox.Account
	login   login
	expires time.Time
}

// sessionList holds the sessions that live. Safe for concurrent use.
type sessionList struct {
	life time.Duration
	now  func() time.Time

	mu    sync.RWMutex
	byID  map[string]session
	order map[*sandbox.Account][]string
}

func newSessionList(life time.Duration, now func() time.Time) *sessionList {
	return &sessionList{life: life, now: now, byID: make(map[string]session), order: make(map[*sandbox.Account][]string)}
}

// start makes a session and gives its id.
func (l *sessionList) start(a *sandbox.Account, who login) string {
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
func (l *sessionList) account(who login) *sandbox.Account {
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
		if connection != "" && a.Connection != connection {
			continue
		}
		for _, id := range ids {
			delete(l.byID, id)
		}
		delete(l.order, a)
	}
}
