package operation

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/google/uuid"
)

// IDs makes the ids of operations: UUIDv7 whose last bits name a page and the place
// in it, so that what was accepted together by one process for one shard can be
// stored together. Any other UUIDv7 is a good id too; it only costs more memory.
// The zero value is ready. Safe for concurrent use.
type IDs struct {
	mu    sync.Mutex
	pages [Shards]page
}

// page is a page that still takes operations.
type page struct {
	name  [5]byte
	next  int
	since time.Time
}

const (
	// PageSize is how many operations share a page.
	PageSize = 32
	// pageFor is how long a page takes new operations, since it lives as long as
	// the youngest of them.
	pageFor = time.Hour
)

// New makes an id for an operation of the connection. The error is that of the
// system's random numbers.
func (g *IDs) New(connection uuid.UUID) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &g.pages[ShardOf(connection)]
	if p.next == 0 || p.next == PageSize || time.Since(p.since) > pageFor {
		if _, err := rand.Read(p.name[:]); err != nil {
			return uuid.Nil, err
		}
		p.next, p.since = 0, time.Now()
	}
	copy(id[10:15], p.name[:])
	id[15] = byte(p.next)
	p.next++
	return id, nil
}
