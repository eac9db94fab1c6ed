package work

import (
	"context"
	"time"

	"writeback/internal/metrics"
	"writeback/pkg/operation/redisstore"
)

const (
	// offerEvery is how often a worker tells what it has free.
	offerEvery = 400 * time.Millisecond
	// offerSpacing is the least time between two offers.
	offerSpacing = 5 * time.Millisecond
	// offerPart is the part of its slots by which what a worker has free must have changed
	// for it to tell of it out of turn.
	offerPart = 4
	// heardFor is how long after it was reached a worker believes that it still is.
	heardFor = time.Second
)

// offer tells the processes that accept how many slots are free, until ctx ends: at intervals,
// when a good part of what it told of last is taken, and when it has some again. A worker that
// nothing reaches offers none: its connection may have fallen silent without breaking, and Redis
// would take it for a listener for minutes.
func (w *Worker) offer(ctx context.Context) error {
	tick := time.NewTicker(offerEvery)
	defer tick.Stop()
	var echoed time.Time
	for {
		free := 0
		if ctx.Err() == nil && w.knocking.Load() == 0 && w.heardWithin(heardFor) {
			free = w.Free()
		}
		if time.Since(echoed) >= offerEvery/2 && !w.heardWithin(offerEvery/2) {
			echoed = time.Now()
			w.echo(ctx)
		}
		if w.told.Swap(int32(free)) > 0 || free > 0 { // else it is known
			w.announce(ctx, free)
		}
		if ctx.Err() != nil {
			return nil
		}
		w.again.Store(int32(max(free/offerPart, 1)))
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-w.changed:
			pause(ctx, offerSpacing)
		}
	}
}

// freed notes that slots are free, which those that accept may believe to be taken.
func (w *Worker) freed() {
	if w.offers && w.told.Load() == 0 && w.Free() >= max(w.cfg.Concurrency/offerPart, 1) {
		signal(w.changed)
	}
}

// hears notes that something has come over the worker's channel.
func (w *Worker) hears() {
	known := w.heardWithin(heardFor)
	w.heard.Store(int64(time.Since(w.began)))
	if !known {
		signal(w.changed)
	}
}

func (w *Worker) heardWithin(d time.Duration) bool {
	at := w.heard.Load()
	return at > 0 && time.Since(w.began)-time.Duration(at) <= d
}

func (w *Worker) echo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, offerEvery)
	defer cancel()
	_ = w.parts.Store.Echo(ctx, w.name) // what does not come tells enough
}

func (w *Worker) announce(ctx context.Context, free int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), offerEvery)
	defer cancel()
	// An offer that is not heard is no loss, and without Redis nobody accepts.
	_ = w.parts.Store.Announce(ctx, redisstore.Offers{
		Offer: redisstore.Offer{Worker: w.name, Ticket: int64(time.Since(w.began))}, Free: free,
	})
}

// handed runs an operation that an accept handed over, if a slot is free. If not, it gives the
// operation back, and whoever looks at its lane next makes the call. So it does with one whose
// start window is over, and one that was leased for a shorter time than its call may take.
// The start window runs from the offer: the worker knows only that it was taken after that.
func (w *Worker) handed(until terms, h redisstore.HandedOver, err error, serving *crew, run func(redisstore.Lease)) {
	if w.again.Add(-1) == 0 {
		signal(w.changed)
	}
	if err != nil {
		serving.Go(func() { w.returnUnreadable(until, []redisstore.Unreadable{{Lease: h.Lease, Err: err}}) })
		return
	}
	h.Handed = w.began.Add(time.Duration(h.Ticket))
	if until.fetching.Err() == nil && time.Since(h.Handed) <= w.parts.Store.Config().StartWindow &&
		h.For >= w.parts.Store.LeaseFor(w.limits(h.ConnectionID)) && w.placed(h.Lease, run) {
		w.metrics.handed.Add(until.calls, 1, metrics.HandoverTaken)
		return
	}
	w.metrics.handed.Add(until.calls, 1, metrics.HandoverReturned)
	serving.Go(func() {
		w.release(until, h.Lease, 0)
		w.lanes.more(h.ConnectionID)
	})
}

// placed reports whether there was a slot for the lease: a free one, or that for which the
// dispatcher has found nothing.
func (w *Worker) placed(lease redisstore.Lease, run func(redisstore.Lease)) bool {
	select {
	case <-w.slots:
		run(lease)
		return true
	default:
	}
	select {
	case w.direct <- lease:
		return true
	default:
		return false
	}
}
