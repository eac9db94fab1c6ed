package operation

import (
	"time"

	"github.com/google/uuid"
)

// Query selects operations of one partner for a list, ordered by (Seq, ID)
// ascending.
type Query struct {
	PartnerID uuid.UUID
	// From is inclusive, To exclusive; both on the accept time.
	From, To time.Time
	// Filters; the zero value of each selects everything.
	Resource     string
	ConnectionID uuid.UUID
	Provider     string
	FleetRefs    []string
	Type         Type
	SourceID     string
	// From which position, exclusive, and in which direction. A zero position is
	// the window's start (or its end, backwards).
	Position  Position
	Backwards bool
	// Limit is the most operations to give.
	Limit int
}

// Matches reports whether the operation passes the query's filters; the window
// and the position are not looked at.
func (q Query) Matches(a Accepted) bool {
	switch {
	case q.Resource != "" && q.Resource != a.Resource,
		q.ConnectionID != uuid.Nil && q.ConnectionID != a.ConnectionID,
		q.Provider != "" && q.Provider != a.Provider,
		q.Type != "" && q.Type != a.Type,
		q.SourceID != "" && q.SourceID != a.SourceID:
		return false
	}
	if len(q.FleetRefs) == 0 {
		return true
	}
	for _, ref := range q.FleetRefs {
		if ref == a.FleetRef {
			return true
		}
	}
	return false
}

// Position is a place in the list's order.
type Position struct {
	Seq int64
	ID  uuid.UUID
}

// IsZero reports whether the position is unset.
func (p Position) IsZero() bool { return p == Position{} }

// Compare orders positions: -1, 0 or 1.
func (p Position) Compare(q Position) int {
	switch {
	case p.Seq < q.Seq:
		return -1
	case p.Seq > q.Seq:
		return 1
	}
	for i := range p.ID {
		switch {
		case p.ID[i] < q.ID[i]:
			return -1
		case p.ID[i] > q.ID[i]:
			return 1
		}
	}
	return 0
}
