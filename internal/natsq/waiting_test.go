package natsq

import "github.com/google/uuid"

// Waiting counts the events of a partner that were read and wait for their turn.
func Waiting(f *Feed, partner uuid.UUID) int {
	f.turns.mu.Lock()
	defer f.turns.mu.Unlock()
	return len(f.turns.waiting[partner])
}
