package work

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/internal/telemetry"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// errStopping is the cause of calls broken off at the end of the grace.
var errStopping = errors.New("the worker is stopping")

// restorer fills shards that have no data: at first start, and after a loss.
type restorer interface {
	Restore(ctx context.Context, shards []int) error
	Finish(ctx context.Context, shards []int) error
}

// wakes is where messages come from; see natsq.Wakes.
type wakes interface {
	Run(ctx context.Context, pass func(ctx context.Context, m operation.Message, ack, nak func())) error
}

// attempter makes the one call that a lease stands for and says what came of it. A
// zero outcome means that the call was not made: the lease is given back.
type attempter interface {
	Attempt(ctx context.Context, lease redisstore.Lease) redisstore.Outcome
}

// renewer is an attempter whose calls need a credential.
type renewer interface {
	renew(ctx context.Context, op operation.Accepted, refused string)
}

// Worker runs the trip from wake to event. It owns its goroutines: Run returns
// when all of them have.
type Worker struct {
	parts    Parts
	cfg      Config
	acks     *Acker
	attempt  attempter
	limits   func(lane uuid.UUID) redisstore.Limits
	recorder *recorder
	restore  restorer
	metrics  meters

	slots chan struct{} // one token per free slot
	quiet chan wake
	// direct passes what an accept handed over to the dispatcher's slot.
	direct chan redisstore.Lease
	lanes  *lanes
	poll   chan struct{} // asks for a poll before its time
	lost   chan lost
	// whole is when the last whole poll was; only the poll loop uses it.
	whole time.Time
	// away is for what fails as long as Redis is away.
	away *slog.Logger
	// saturated: the last poll found as many lanes as it asked for.
	saturated atomic.Bool
	// glances bounds the looks at lanes whose messages say nothing new; the next
	// message, maybe of a quiet lane, does not wait for them.
	glances  chan struct{}
	glancing sync.WaitGroup
	// knocking counts the quiet wakes that wait for a slot.
	knocking atomic.Int32
	// offers: it tells those that accept of its free slots. Nobody hands webhook deliveries over.
	offers bool
	// name is the worker's in its offers, and began the start of the clock that it writes on them.
	name  string
	began time.Time
	// changed asks for an offer out of turn. told is how many free slots it has told of last, and
	// again counts down from a part of them.
	changed     chan struct{}
	told, again atomic.Int32
	// heard is when something last came over its channel, in ns since it began. 0: never.
	heard atomic.Int64
	// waiting is 1 while the dispatcher holds a slot for which there is no work.
	waiting atomic.Int32
}

// NewWorker makes a worker.
func NewWorker(parts Parts, cfg Config, acks *Acker, restore restorer) *Worker {
	attempt := NewAttempter(parts, cfg)
	w := newWorker(parts, cfg, acks, restore, attempt, attempt.metrics)
	w.limits, w.offers = w.connectionLimits, true
	return w
}

// Lanes is what a worker needs to know when its lanes are not connections.
type Lanes struct {
	// Queue is what its metrics call the lanes.
	Queue   string
	Attempt attempter
	Limits  func(lane uuid.UUID) redisstore.Limits
}

// NewLaneWorker makes a worker for other lanes than connections. Of the parts it
// uses the store, the publisher and the log.
func NewLaneWorker(parts Parts, cfg Config, acks *Acker, restore restorer, lanes Lanes) *Worker {
	w := newWorker(parts, cfg, acks, restore, lanes.Attempt, newMetrics(lanes.Queue))
	w.limits = lanes.Limits
	return w
}

func newWorker(parts Parts, cfg Config, acks *Acker, restore restorer, attempt attempter, m meters) *Worker {
	cfg, m = cfg.withDefaults(), m.forWorker()
	w := &Worker{
		parts: parts, cfg: cfg, acks: acks, attempt: attempt, restore: restore, metrics: m,
		recorder: &recorder{parts: parts, acks: acks, metrics: m},
		slots:    make(chan struct{}, cfg.Concurrency),
		quiet:    make(chan wake),
		direct:   make(chan redisstore.Lease),
		name:     uuid.NewString(),
		began:    time.Now(),
		changed:  make(chan struct{}, 1),
		lanes:    newLanes(),
		poll:     make(chan struct{}, 1),
		lost:     make(chan lost),
		away:     telemetry.Seldom(parts.Log.With("redis", parts.Store.Address())),
		glances:  make(chan struct{}, mostGlances),
	}
	for range cfg.Concurrency {
		w.slots <- struct{}{}
	}
	return w
}

// Free gives the number of free slots.
func (w *Worker) Free() int { return len(w.slots) + int(w.waiting.Load()) }

// Look asks for a look at a lane that may have work, before a poll finds it. It
// never blocks. Safe for concurrent use.
func (w *Worker) Look(lane uuid.UUID) { w.lanes.more(lane) }

// DeadLetter counts a message that was put away.
func (w *Worker) DeadLetter() { w.metrics.dead.Add(context.Background(), 1, w.metrics.queue) }

// RecordTime is how long after the grace outcomes may still be recorded: there is time to
// say of calls that were broken off what is known, and none to wait for a store that is away.
const RecordTime = 3 * time.Second

// Run works until ctx ends. Then it stops fetching, lets calls under way finish
// within the grace, records them within RecordTime and returns. source feeds it with
// messages.
func (w *Worker) Run(ctx context.Context, source wakes) error {
	recording, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	calls, breakOff := context.WithCancelCause(recording)
	defer breakOff(nil)
	g, fetching := errgroup.WithContext(ctx)
	g.Go(func() error { return w.pollLoop(fetching) })
	g.Go(func() error { return w.outboxLoop(fetching) })
	g.Go(func() error { return w.restoreLoop(fetching) })
	g.Go(func() error { return w.gaugeLoop(fetching) })
	serving := newCrew(2 * w.cfg.Concurrency) // a slot calls while what it did before is told
	until := terms{fetching, calls, recording}
	serve := func(msg *wake, lane uuid.UUID, n int) { //nolint:contextcheck // until are its contexts
		serving.Go(func() { w.serve(until, msg, lane, n, serving) })
	}
	run := func(lease redisstore.Lease) { //nolint:contextcheck // as above
		serving.Go(func() { w.run(until, lease, serving) })
	}
	g.Go(func() error { return w.dispatch(fetching, serve, run) })
	if w.offers {
		g.Go(func() error { return w.offer(fetching) })
		g.Go(func() error {
			w.parts.Store.Listen(fetching, w.name, w.hears, func(h redisstore.HandedOver, err error) { //nolint:contextcheck // as above
				w.handed(until, h, err, serving, run)
			})
			return nil
		})
	}
	g.Go(func() error {
		return source.Run(fetching, func(ctx context.Context, m operation.Message, ack, nak func()) {
			w.woken(ctx, &wake{m, ack, nak}, serve)
		})
	})
	var grace, last *time.Timer
	stopping := make(chan struct{})
	context.AfterFunc(fetching, func() {
		grace = time.AfterFunc(w.cfg.Grace, func() { breakOff(errStopping) })
		last = time.AfterFunc(w.cfg.Grace+RecordTime, giveUp)
		close(stopping)
	})
	err := g.Wait() // a server that hangs may keep one for some seconds
	w.glancing.Wait()
	<-stopping
	serving.Wait()
	grace.Stop()
	last.Stop()
	return err
}
