package work

import (
	"context"
	"sync"
	"time"

	"writeback/pkg/operation/redisstore"
)

// offerLasts is how long an offer of free slots may be taken. It is below the start
// window, which for an operation that is handed over runs from when the worker made the offer.
const offerLasts = 800 * time.Millisecond

// offers are the free slots of which workers have told this process. Each accept takes one. They
// are hints: one that is gone by now costs a script, and the operation waits for a look, like any
// other. Safe for concurrent use.
type offers struct {
	mu      sync.Mutex
	workers map[string]*offered
}

type offered struct {
	ticket int64
	free   int
	until  time.Time
}

func newOffers() *offers { return &offers{workers: map[string]*offered{}} }

// heard notes what a worker has free.
func (o *offers) heard(said redisstore.Offers) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if said.Free <= 0 {
		delete(o.workers, said.Worker)
		return
	}
	o.workers[said.Worker] = &offered{ticket: said.Ticket, free: said.Free, until: time.Now().Add(offerLasts)}
}

// take takes a slot of the worker that has most. Zero: there is none.
func (o *offers) take() redisstore.Offer {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	var most *offered
	var out redisstore.Offer
	for worker, w := range o.workers {
		switch {
		case now.After(w.until):
			delete(o.workers, worker)
		case most == nil || w.free > most.free:
			most, out = w, redisstore.Offer{Worker: worker, Ticket: w.ticket}
		}
	}
	if most == nil {
		return out
	}
	if most.free--; most.free == 0 {
		delete(o.workers, out.Worker)
	}
	return out
}

// back returns a slot that was not used, if the worker has not told of its slots since.
func (o *offers) back(unused redisstore.Offer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.workers[unused.Worker]; w != nil && w.ticket == unused.Ticket {
		w.free++
	}
}

// FollowOffers learns which workers have free slots, until ctx ends. Without it all operations
// wait for a worker to look at their lane.
func (a *Accepter) FollowOffers(ctx context.Context) {
	a.parts.Store.FollowOffers(ctx, a.offers.heard)
}
