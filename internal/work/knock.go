package work

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// knocks remembers for which lanes this process lately sent a message that wakes a
// worker. A burst of a lane needs one: what comes in the moments after it is found by
// those who look at the lane then, or by the next poll, and its messages would only stand
// before those of quiet lanes. Safe for concurrent use.
type knocks struct {
	mu   sync.Mutex
	last map[uuid.UUID]time.Time
}

// mostKnocks bounds what is remembered; forgetting costs a message.
const mostKnocks = 4096

// due reports whether the lane needs a message now, and notes that it gets one. A lane
// that was empty always does.
func (k *knocks) due(lane uuid.UUID, outstanding int, now time.Time, apart time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if outstanding > 1 && now.Sub(k.last[lane]) < apart {
		return false
	}
	if k.last == nil || len(k.last) >= mostKnocks {
		k.last = make(map[uuid.UUID]time.Time, mostKnocks)
	}
	k.last[lane] = now
	return true
}
