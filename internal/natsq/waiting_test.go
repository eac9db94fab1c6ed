package natsq

import (
	"time"

	"github.com/google/uuid"
)

// Waiting counts the events of a partner that were read and wait for their turn.
func Waiting(f *Feed, partner uuid.UUID) int {
	f.turns.mu.Lock()
	defer f.turns.mu.Unlock()
	return len(f.turns.waiting[partner])
}

// AllFree reports whether a feed has all the room that it began with.
func AllFree(f *Feed) bool { return f.ahead.TryAcquire(feedAhead) && f.turns.free == feedTogether }

// Check lets a follower look that often whether anything was missed.
func Check(f *Follower, every time.Duration) { f.every = every }
