package natsq

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/telemetry"
	"writeback/pkg/operation"
)

// Pass takes a message that says which lane to look at. It calls exactly one of
// ack (the lane was looked at) and nak (give it to another worker, at once), now
// or later, and may block as long as ctx lives.
type Pass = func(ctx context.Context, m operation.Message, ack, nak func())

// Wakes pulls quiet messages and passes them on.
type Wakes struct {
	js   jetstream.JetStream
	pub  *Publisher
	free func() int
	dead func()
	log  *slog.Logger
	// away is for what fails as long as NATS is away.
	away *slog.Logger

	traffic traffic
	acks    acks
}

// NewWakes makes the puller. free says how many messages the worker could use now;
// with none, one is still prefetched, so that a full worker sees a quiet wake as
// soon as a slot is free. dead is called for each message that was put away.
func NewWakes(js jetstream.JetStream, pub *Publisher, free func() int, dead func(), log *slog.Logger) *Wakes {
	return &Wakes{js: js, pub: pub, free: free, dead: dead, log: log, away: telemetry.Seldom(log), traffic: newReceiving()}
}

// pullFor bounds one pull.
const pullFor = 2 * time.Second

// Run pulls until ctx ends and passes every message on.
func (w *Wakes) Run(ctx context.Context, pass Pass) error {
	defer w.acks.end()
	for ctx.Err() == nil {
		if err := w.pull(ctx, pass); err != nil && ctx.Err() == nil {
			w.away.WarnContext(ctx, "pulling wake-ups", "error", Explain(w.js.Conn(), err))
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func (w *Wakes) pull(ctx context.Context, pass Pass) error {
	setup, cancel := context.WithTimeout(ctx, 5*time.Second)
	consumer, err := w.js.Consumer(setup, StreamOperations, ConsumerQuiet)
	cancel()
	if err != nil {
		return err
	}
	for each := 1; ctx.Err() == nil; {
		if each, err = w.pullOnce(ctx, consumer, each, pass); err != nil {
			return err
		}
	}
	return nil
}

// pullOnce ends when it has what it asked for, after pullFor, or with ctx. A worker asks
// for as many messages as its slots can use, going by how many operations each of the
// last ones held: it gives that number.
func (w *Wakes) pullOnce(ctx context.Context, consumer jetstream.Consumer, each int, pass Pass) (int, error) {
	once, cancel := context.WithTimeout(ctx, pullFor)
	defer cancel()
	batch, err := consumer.Fetch(max(1, w.free()/each), jetstream.FetchContext(once))
	if err != nil {
		return each, err
	}
	messages, operations := 0, 0
	for msg := range batch.Messages() {
		messages++
		operations += w.pass(ctx, msg, pass)
	}
	err = batch.Error()
	if errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return max(1, operations/max(1, messages)), err
}

// pass passes on the operations of a message, and gives how many.
func (w *Wakes) pass(ctx context.Context, msg jetstream.Msg, pass Pass) int {
	all, odds, err := splitMessages(msg.Data())
	if err != nil {
		w.bury(ctx, msg, err)
		return 1
	}
	w.traffic.received(ctx, msg, ConsumerQuiet, len(all))
	looks := &looks{msg: msg, acks: &w.acks}
	looks.left.Store(int32(len(all)))
	if !w.buryAll(ctx, msg, odds) {
		looks.pause = buryPause
		looks.nak.Store(true)
	}
	for _, one := range all {
		// Its span lasts until the lane was looked at: it shows the wait for a slot.
		_, span := processing(ctx, msg, one.at, ConsumerQuiet)
		pass(ctx, one.what, func() { span.End(); looks.done(true) }, func() { span.End(); looks.done(false) })
	}
	return len(all)
}

// looks are those that a message asks for, one for each of its operations.
type looks struct {
	msg  jetstream.Msg
	acks *acks
	left atomic.Int32
	nak  atomic.Bool
	// pause is how long the message is not given out again, if it is given back.
	pause time.Duration
}

// done ends one of them. With the last the message is acked, or given back if one was:
// the others are then looked at once more, which does no harm.
func (l *looks) done(looked bool) {
	if !looked {
		l.nak.Store(true)
	}
	if l.left.Add(-1) > 0 {
		return
	}
	if l.nak.Load() {
		_ = l.msg.NakWithDelay(l.pause)
		return
	}
	l.acks.add(l.msg)
}

// bury moves a message that cannot be understood to the dead-letter stream; it is
// acked only once it is there.
func (w *Wakes) bury(ctx context.Context, msg jetstream.Msg, reason error) {
	w.log.ErrorContext(ctx, "wake-up not understood; moved to the dead-letter stream", "error", reason)
	if err := w.pub.Dead(ctx, msg, reason.Error()); err != nil {
		_ = msg.NakWithDelay(buryPause)
		return
	}
	_ = msg.Term()
	w.dead()
}

// buryPause is before the next try to bury a message.
const buryPause = 5 * time.Second

// buryAll moves those of many that cannot be understood to the dead-letter stream, and
// says whether all are there.
func (w *Wakes) buryAll(ctx context.Context, msg jetstream.Msg, odds []odd) bool {
	for _, o := range odds {
		w.log.ErrorContext(ctx, "wake-up not understood; moved to the dead-letter stream", "error", o.err)
		if err := w.pub.deadOne(ctx, msg, o); err != nil {
			return false
		}
		w.dead()
	}
	return true
}
