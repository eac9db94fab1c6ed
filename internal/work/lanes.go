package work

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation/redisstore"
)

// lanes are the lanes that this process may look at next: those found due, oldest
// first, and those it has just served that have more. They are hints: losing one
// costs a poll's time, no more. Safe for concurrent use.
type lanes struct {
	mu     sync.Mutex
	due    []uuid.UUID
	own    []uuid.UUID
	queued map[uuid.UUID]bool
	looked map[uuid.UUID]time.Time
	some   chan struct{} // has a token when there may be something
}

func newLanes() *lanes {
	return &lanes{queued: map[uuid.UUID]bool{}, looked: map[uuid.UUID]time.Time{}, some: make(chan struct{}, 1)}
}

// found replaces the due lanes by what a poll saw, of which it puts those first that have been due longest.
func (l *lanes) found(due []redisstore.Due) {
	slices.SortFunc(due, func(a, b redisstore.Due) int { return a.Since.Compare(b.Since) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = l.due[:0]
	for _, d := range due {
		l.due = append(l.due, d.Connection)
	}
	if len(l.due) > 0 {
		signal(l.some)
	}
}

// more notes a lane that this process just served and that has work left.
func (l *lanes) more(lane uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queued[lane] {
		return
	}
	l.queued[lane] = true
	l.own = append(l.own, lane)
	signal(l.some)
}

// take gives the lane that has been due longest, else one of our own.
func (l *lanes) take() (uuid.UUID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lane uuid.UUID
	switch {
	case len(l.due) > 0:
		lane, l.due = l.due[0], l.due[1:]
	case len(l.own) > 0:
		lane, l.own = l.own[0], l.own[1:]
		delete(l.queued, lane)
	default:
		return uuid.Nil, false
	}
	if len(l.due)+len(l.own) > 0 {
		signal(l.some)
	}
	return lane, true
}

// mostLooked bounds the lanes of which it is remembered when they were looked at.
const mostLooked = 4096

// looking notes when this process looks at a lane.
func (l *lanes) looking(lane uuid.UUID, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.looked) >= mostLooked {
		clear(l.looked)
	}
	l.looked[lane] = at
}

// lookedSince reports whether this process is known to have looked at the lane since
// then.
func (l *lanes) lookedSince(lane uuid.UUID, then time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.looked[lane].After(then)
}

// hungry reports whether the due lanes are used up.
func (l *lanes) hungry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.due) == 0
}
