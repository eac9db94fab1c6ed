package work

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"writeback/internal/metrics"
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

// serving looks at a lane with n slots, for a message if there is one, and does not wait.
type serving = func(msg *wake, lane uuid.UUID, n int)

// wake is a message that waits for a slot.
type wake struct {
	operation.Message
	ack, nak func()
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
	lanes *lanes
	poll  chan struct{} // asks for a poll before its time
	lost  chan lost
	// whole is when the last whole poll was; only the poll loop uses it.
	whole time.Time
	// saturated: the last poll found as many lanes as it asked for.
	saturated atomic.Bool
	// glances bounds the looks at lanes whose messages say nothing new; the next
	// message, maybe of a quiet lane, does not wait for them.
	glances  chan struct{}
	glancing sync.WaitGroup
	// knocking counts the quiet wakes that wait for a slot.
	knocking atomic.Int32
	// waiting is 1 while the dispatcher holds a slot for which there is no work.
	waiting atomic.Int32
}

const mostGlances = 16

// NewWorker makes a worker.
func NewWorker(parts Parts, cfg Config, acks *Acker, restore restorer) *Worker {
	attempt := NewAttempter(parts, cfg)
	w := newWorker(parts, cfg, acks, restore, attempt, attempt.metrics)
	w.limits = w.connectionLimits
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
		lanes:    newLanes(),
		poll:     make(chan struct{}, 1),
		lost:     make(chan lost),
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

// terms say how long the steps of a trip go on: each ends later than the one before.
type terms struct{ fetching, calls, recording context.Context }

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
	serve := func(msg *wake, lane uuid.UUID, n int) {
		serving.Go(func() { w.serve(terms{fetching, calls, recording}, msg, lane, n, serving) }) //nolint:contextcheck // terms are its contexts
	}
	g.Go(func() error { return w.dispatch(fetching, serve) })
	g.Go(func() error {
		return source.Run(fetching, func(ctx context.Context, m operation.Message, ack, nak func()) {
			w.woken(ctx, &wake{m, ack, nak}, serve)
		})
	})
	err := g.Wait()
	w.glancing.Wait()

	grace := time.AfterFunc(w.cfg.Grace, func() { breakOff(errStopping) })
	last := time.AfterFunc(w.cfg.Grace+RecordTime, giveUp)
	serving.Wait()
	grace.Stop()
	last.Stop()
	return err
}

// woken serves a message if a slot is free, and holds it until one is. A full worker that
// has looked at the lane since the operation was accepted knows what the message says: the
// lane gets its turn, but not before those that nobody has looked at.
func (w *Worker) woken(ctx context.Context, m *wake, serve serving) {
	select {
	case <-w.slots:
		serve(m, m.ConnectionID, 1)
		return
	default:
	}
	if w.Free() == 0 && w.lanes.lookedSince(m.ConnectionID, m.CreatedAt()) {
		select {
		case w.glances <- struct{}{}:
		case <-ctx.Done():
			m.nak()
			return
		}
		w.glancing.Go(func() {
			defer func() { <-w.glances }()
			w.glance(ctx, m)
		})
		return
	}
	w.knocking.Add(1)
	defer w.knocking.Add(-1)
	select {
	case w.quiet <- *m:
	case <-ctx.Done():
		m.nak()
	}
}

// glance takes note of a message that says nothing new: its operation is in the store, or
// is put back by a look.
func (w *Worker) glance(ctx context.Context, msg *wake) {
	ask, cancel := context.WithTimeout(ctx, 3*time.Second)
	have, due, err := w.parts.Store.Have(ask, msg.ConnectionID, msg.ID)
	cancel()
	if err == nil && have {
		msg.ack()
	} else {
		var out redisstore.Handout
		out, err = w.look(ctx, ctx, msg, msg.ConnectionID, 0)
		due = out.More
	}
	if err == nil && due {
		w.lanes.more(msg.ConnectionID)
	}
}

// dispatch gives each free slot its work: a waiting quiet wake first, then the
// lane longest due, then one of our own with work left.
func (w *Worker) dispatch(ctx context.Context, serve serving) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.slots:
		}
		msg, lane, ok := w.nextWake(ctx)
		if !ok {
			w.slots <- struct{}{}
			return nil
		}
		n := 1
		if msg == nil {
			n += w.takeFree(w.cfg.Concurrency / 4)
		}
		serve(msg, lane, n)
	}
}

func (w *Worker) nextWake(ctx context.Context) (*wake, uuid.UUID, bool) {
	w.waiting.Store(1)
	defer w.waiting.Store(0)
	for {
		select {
		case m := <-w.quiet:
			return &m, m.ConnectionID, true
		default:
		}
		if lane, ok := w.lanes.take(); ok {
			return nil, lane, true
		}
		select {
		case m := <-w.quiet:
			return &m, m.ConnectionID, true
		case <-w.lanes.some:
		case <-ctx.Done():
			return nil, uuid.Nil, false
		}
	}
}

// takeFree takes up to n more free slots without waiting.
func (w *Worker) takeFree(n int) int {
	for got := range n {
		select {
		case <-w.slots:
		default:
			return got
		}
	}
	return n
}

func (w *Worker) giveBack(n int) {
	for range n {
		w.slots <- struct{}{}
	}
}

// serve looks at a lane with n slots and runs what it is handed.
func (w *Worker) serve(until terms, msg *wake, lane uuid.UUID, n int, serving *crew) {
	handed := time.Now()
	w.lanes.looking(lane, handed)
	out, err := w.look(until.calls, until.fetching, msg, lane, n)
	if err != nil {
		w.giveBack(n)
		return
	}
	w.giveBack(n - len(out.Leases))
	if len(out.Unreadable) > 0 {
		serving.Go(func() { w.returnUnreadable(until.calls, out.Unreadable) })
	}
	if out.More {
		w.lanes.more(lane)
	}
	if w.saturated.Load() && w.lanes.hungry() {
		w.pollSoon()
	}
	for i, lease := range out.Leases {
		run := func() { w.run(until, lease, handed, serving) }
		if i == len(out.Leases)-1 {
			run()
			return
		}
		serving.Go(run)
	}
}

// look is one next, under one set of attempt ids: a lost reply is asked for again
// and gives the same leases.
func (w *Worker) look(ctx, fetching context.Context, msg *wake, lane uuid.UUID, n int) (redisstore.Handout, error) {
	var accepted *operation.Message
	if msg != nil {
		accepted = &msg.Message
	}
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := w.parts.Store.Next(ctx, lane, w.limits(lane), ids, accepted)
	if err != nil {
		if fetching.Err() == nil {
			w.parts.Log.WarnContext(ctx, "looking at a lane", "connection_id", lane, "error", err)
			pause(fetching, 250*time.Millisecond)
		}
		if msg != nil {
			msg.nak()
		}
		return out, err
	}
	if msg != nil {
		msg.ack()
	}
	w.metrics.repaired(ctx, metrics.RepairHealed, out.Healed)
	w.metrics.repaired(ctx, metrics.RepairExpired, out.Expired)
	return out, nil
}

func (w *Worker) connectionLimits(lane uuid.UUID) redisstore.Limits {
	conn, ok := w.parts.Directory.ConnectionByID(lane)
	if ok {
		if p, ok := w.parts.Providers.Get(conn.Provider); ok {
			return storeLimits(LimitsOf(p, conn))
		}
	}
	return redisstore.Limits{InFlight: 1, Call: 20 * time.Second, Life: operation.DefaultDeadline}
}

// run makes the call of a lease and records it, and goes on with what the lane hands
// over then, until there is nothing or others wait for the slot. It gives the slot back; the
// slot does not wait for the streams to be told.
func (w *Worker) run(until terms, lease redisstore.Lease, handed time.Time, serving *crew) {
	began := time.Now()
	for {
		next, tell := w.runOne(until, lease, handed, began)
		if next == nil {
			w.giveBack(1)
			if tell != nil {
				tell()
			}
			return
		}
		if tell != nil {
			serving.Go(tell)
		}
		lease, handed = next.Lease, next.handed
	}
}

// handover is a lease that came with the record of the one before.
type handover struct {
	redisstore.Lease
	handed time.Time
}

// runOne makes the call of a lease, if it can still start in time, and records it. tell is
// what is left to do of it. Nil: nothing.
func (w *Worker) runOne(until terms, lease redisstore.Lease, handed, began time.Time) (next *handover, tell func()) {
	// Between here and the socket nothing waits: a late start would break order.
	if until.fetching.Err() != nil || time.Since(handed) > w.parts.Store.Config().StartWindow {
		w.release(until.calls, lease, 0)
		return nil, nil
	}
	lease.Handed = handed
	calls, span := startAttempt(until.calls, w.metrics.spanName(), lease)
	if lease.Number == 1 {
		w.metrics.first(calls, lease.Provider, time.Since(lease.CreatedAt()))
	}
	outcome := w.attempt.Attempt(calls, lease)
	if outcome.Attempt.ID == uuid.Nil {
		span.End()
		w.release(calls, lease, notMadePause)
		return nil, nil
	}
	// After a broken-off call there is still time to say what is known.
	record := trace.ContextWithSpan(until.recording, span)
	handed = time.Now()
	rec, err := w.recorder.store(record, w.keeping(until.fetching, outcome, began))
	if errors.Is(err, redisstore.ErrMissing) {
		rec, err = w.storeAnew(record, lease, outcome)
	}
	if err != nil {
		w.parts.Log.ErrorContext(calls, "outcome not recorded; its lease will end as unknown",
			"operation_id", lease.ID, "connection_id", lease.ConnectionID, "attempt_id", lease.AttemptID,
			"outcome", outcome.Attempt.Status, "status_code", outcome.Attempt.StatusCode, "error", err)
		span.End()
		return nil, nil
	}
	tell = func() {
		defer span.End()
		w.recorder.tell(record, rec.Record)
		if r, ok := w.attempt.(renewer); ok && rec.Operation.Status.Terminal() && lease.Refused == "" {
			r.renew(record, lease.Accepted, outcome.Refused)
		}
	}
	if !rec.Operation.Status.Terminal() { // in the order of the attempts
		tell()
		tell = nil
	}
	if rec.More {
		w.lanes.more(lease.ConnectionID)
	}
	w.returnUnreadable(record, rec.Unreadable)
	if len(rec.Leases) > 0 {
		next = &handover{rec.Leases[0], handed}
	}
	return next, tell
}

// keeping asks for more work of the lane, if this worker goes on and nobody else waits
// for the slot: no quiet wake, and no lane that was found due for longer than Keep.
func (w *Worker) keeping(fetching context.Context, o redisstore.Outcome, began time.Time) redisstore.Outcome {
	if fetching.Err() == nil && w.knocking.Load() == 0 && (time.Since(began) < w.cfg.Keep || w.lanes.hungry()) {
		o.More, o.Lease = []uuid.UUID{uuid.Must(uuid.NewV7())}, w.parts.Store.LeaseFor(w.limits(o.Connection))
	}
	return o
}

// storeAnew puts back a record that Redis lost together with its unpublished
// message: the lease still knows the operation.
func (w *Worker) storeAnew(ctx context.Context, lease redisstore.Lease, o redisstore.Outcome) (redisstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, recordFor)
	defer cancel()
	m := &operation.Message{Accepted: lease.Accepted, Place: lease.Place}
	if err := w.parts.Publisher.Accepted(ctx, *m, false); err != nil {
		w.parts.Log.WarnContext(ctx, "a lost operation is put back, but its message is not in the stream",
			"operation_id", lease.ID, "connection_id", lease.ConnectionID, "error", err)
	}
	out, err := w.parts.Store.Next(ctx, lease.ConnectionID, w.limits(lease.ConnectionID), nil, m)
	if err != nil {
		return redisstore.Recorded{}, err
	}
	w.metrics.repaired(ctx, metrics.RepairHealed, out.Healed)
	return w.recorder.store(ctx, o)
}

// notMadePause keeps an operation whose call cannot be made from coming straight
// back.
const notMadePause = time.Second

func (w *Worker) release(ctx context.Context, lease redisstore.Lease, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := w.parts.Store.Release(ctx, lease, after); err != nil {
		w.parts.Log.WarnContext(ctx, "giving a lease back", "operation_id", lease.ID, "error", err)
	}
}

// unreadablePause is before an operation whose record cannot be read is handed out again:
// to a worker of another version, maybe. Its deadline ends it.
const unreadablePause = time.Minute

// returnUnreadable gives back what no call can be made of, and says so.
func (w *Worker) returnUnreadable(ctx context.Context, all []redisstore.Unreadable) {
	for _, u := range all {
		w.parts.Log.ErrorContext(ctx, "the record of an operation cannot be read; it is not written, and its user's later ones wait until it is cancelled",
			"operation_id", u.Lease.ID, "connection_id", u.Lease.ConnectionID, "error", u.Err)
		w.release(ctx, u.Lease, unreadablePause)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
