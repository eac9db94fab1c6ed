package operation

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
)

// Message is an accepted operation as the stream carries it: what has to be done,
// and its place. A lost record is put back from it.
type Message struct {
	Accepted
	Place
}

// Message says that the operation was accepted.
func (o *Operation) Message() Message { return Message{Accepted: o.Accepted, Place: o.Place} }

// EventKind says what happened to an operation.
type EventKind string

// The kinds of event. That an operation was created is said by its Message.
const (
	EventAttempted EventKind = "attempted"
	EventSucceeded EventKind = "succeeded"
	EventFailed    EventKind = "failed"
)

// Event is something that happened to an operation after it was accepted. Events
// are published at least once; ID is the same each time.
type Event struct {
	Version int       `json:"v"`
	ID      uuid.UUID `json:"event_id"`
	Kind    EventKind `json:"kind"`
	// Operation as it was at that moment. Its Attempts are complete for a final
	// event, and hold the new rows only for an attempted one.
	Operation Operation `json:"operation"`
	// FirstRow is the place in the log, from 1, of the first row that an attempted
	// event carries.
	FirstRow int `json:"first_row,omitempty"`
	// NextAt is when the next attempt may start. Zero: not known, or none.
	NextAt time.Time `json:"next_at,omitzero"`
	// Blocked is until when the provider asked the connection to wait. Zero: it
	// did not.
	Blocked time.Time `json:"blocked,omitzero"`
}

// FinalKind gives the kind of event that a terminal status makes.
func FinalKind(s Status) EventKind {
	if s == Succeeded {
		return EventSucceeded
	}
	return EventFailed
}

// FinalEvent says how an operation ended.
func FinalEvent(ended Operation) Event {
	kind := FinalKind(ended.Status)
	return Event{Version: Version, ID: EventID(ended.ID, kind), Kind: kind, Operation: ended}
}

// EventID derives the stable id of an event: a UUIDv7 with the operation's time,
// and bits that depend on nothing but the operation and the kind.
func EventID(op uuid.UUID, kind EventKind) uuid.UUID {
	sum := sha256.Sum256(append(op[:], kind...))
	id := op
	copy(id[6:], sum[:10])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}
