package natsq

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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

	traffic traffic
}

// NewWakes makes the puller. free says how many messages the worker could use now;
// with none, one is still prefetched, so that a full worker sees a quiet wake as
// soon as a slot is free. dead is called for each message that was put away.
func NewWakes(js jetstream.JetStream, pub *Publisher, free func() int, dead func(), log *slog.Logger) *Wakes {
	return &Wakes{js: js, pub: pub, free: free, dead: dead, log: log, traffic: newReceiving()}
}

// pullFor bounds one pull.
const pullFor = 2 * time.Second

// Run pulls until ctx ends and passes every message on.
func (w *Wakes) Run(ctx context.Context, pass Pass) error {
	for ctx.Err() == nil {
		if err := w.pull(ctx, pass); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "pulling wake-ups", "error", err)
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
	for ctx.Err() == nil {
		if err := w.pullOnce(ctx, consumer, pass); err != nil {
			return err
		}
	}
	return nil
}

// pullOnce ends when it has what it asked for, after pullFor, or with ctx.
func (w *Wakes) pullOnce(ctx context.Context, consumer jetstream.Consumer, pass Pass) error {
	once, cancel := context.WithTimeout(ctx, pullFor)
	defer cancel()
	batch, err := consumer.Fetch(max(1, w.free()), jetstream.FetchContext(once))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		w.pass(ctx, msg, pass)
	}
	err = batch.Error()
	if errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func (w *Wakes) pass(ctx context.Context, msg jetstream.Msg, pass Pass) {
	m, err := DecodeMessage(msg.Data())
	if err != nil {
		w.bury(ctx, msg, err)
		return
	}
	// Its span lasts until the lane was looked at: it shows the wait for a slot.
	_, span := w.traffic.received(ctx, msg, ConsumerQuiet)
	pass(ctx, m, func() { span.End(); _ = msg.Ack() }, func() { span.End(); _ = msg.Nak() })
}

// bury moves a message that cannot be understood to the dead-letter stream; it is
// acked only once it is there.
func (w *Wakes) bury(ctx context.Context, msg jetstream.Msg, reason error) {
	w.log.ErrorContext(ctx, "wake-up not understood; moved to the dead-letter stream", "error", reason)
	if err := w.pub.Dead(ctx, msg, reason.Error()); err != nil {
		_ = msg.NakWithDelay(5 * time.Second)
		return
	}
	_ = msg.Term()
	w.dead()
}
