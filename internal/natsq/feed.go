package natsq

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"writeback/internal/telemetry"
	"writeback/pkg/operation"
)

// Feed gives webhooks the events of operations. Safe for one Run.
type Feed struct {
	js      jetstream.JetStream
	log     *slog.Logger
	traffic traffic
	// away is for what fails as long as NATS is away.
	away *slog.Logger
	// turns are for the events that are read, and ahead bounds these.
	turns *turns
	ahead *semaphore.Weighted
	// taking are the messages whose events are being taken, or wait for their turn.
	taking sync.WaitGroup
}

// NewFeed makes a feed.
func NewFeed(js jetstream.JetStream, log *slog.Logger) *Feed {
	return &Feed{
		js: js, log: log, away: telemetry.Seldom(log), traffic: newReceiving(),
		turns: newTurns(feedTogether), ahead: semaphore.NewWeighted(feedAhead),
	}
}

const (
	feedBatch = 64
	feedPause = 2 * time.Second
	// feedHold is how often it is said that a message is still being taken. It must be
	// shorter than AckWait.
	feedHold = 3 * time.Second
	// feedTogether is how many events are taken at once.
	feedTogether = 128
	// feedAhead is how many bytes of messages are read, some thousand events: what a
	// partner has of them stands before nobody else's. While they wait they take up to
	// thirteen times as much memory.
	feedAhead = 2 << 20
)

// Run passes on accepted operations and final events until ctx ends, several at a
// time and in no order; partners have turns. What a function has taken without an error is
// acked; everything else comes again.
func (f *Feed) Run(ctx context.Context, created func(context.Context, operation.Message) error,
	ended func(context.Context, operation.Event) error,
) error {
	var g errgroup.Group
	for _, name := range []string{ConsumerCreated, ConsumerBatches} {
		g.Go(feeding[operation.Message]{
			Feed: f, stream: StreamOperations, name: name, decode: splitMessages, take: created,
			partner: func(m operation.Message) uuid.UUID { return m.PartnerID },
		}.run(ctx))
	}
	for _, name := range []string{ConsumerEnded, ConsumerEndedBatches} {
		g.Go(feeding[operation.Event]{
			Feed: f, stream: StreamEvents, name: name, decode: splitEvents, take: ended,
			partner: func(e operation.Event) uuid.UUID { return e.Operation.PartnerID },
		}.run(ctx))
	}
	err := g.Wait()
	f.taking.Wait()
	return err
}

// hold keeps a message from being given out again until it is let go: what it asks for
// can take longer than AckWait, and waits for its turn.
func hold(msg jetstream.Msg) (letGo func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(feedHold, func() {
		for {
			_ = msg.InProgress()
			select {
			case <-done:
				return
			case <-time.After(feedHold):
			}
		}
	})
	return func() {
		timer.Stop()
		close(done)
	}
}

// feeding is what a feed takes from one consumer.
type feeding[T any] struct {
	*Feed
	stream, name string
	decode       func([]byte) ([]part[T], []odd, error)
	partner      func(T) uuid.UUID
	take         func(context.Context, T) error
}

func (f feeding[T]) run(ctx context.Context) func() error {
	return func() error {
		for ctx.Err() == nil {
			if err := f.pull(ctx); err != nil && ctx.Err() == nil {
				f.away.WarnContext(ctx, "feeding webhooks", "consumer", f.name, "error", Explain(f.js.Conn(), err))
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
		return nil
	}
}

// pull pulls until something fails.
func (f feeding[T]) pull(ctx context.Context) error {
	setup, cancel := context.WithTimeout(ctx, 5*time.Second)
	consumer, err := f.js.Consumer(setup, f.stream, f.name)
	cancel()
	if err != nil {
		return err
	}
	var results results
	for ctx.Err() == nil {
		if f.ahead.Acquire(ctx, 1) != nil {
			return nil
		}
		f.ahead.Release(1) // there was room
		if err := f.pullOnce(ctx, consumer, &results); err != nil {
			return err
		}
		if err := results.failing(); err != nil {
			return err
		}
	}
	return nil
}

func (f feeding[T]) pullOnce(ctx context.Context, consumer jetstream.Consumer, results *results) error {
	once, cancel := context.WithTimeout(ctx, pullFor)
	defer cancel()
	batch, err := consumer.Fetch(feedBatch, jetstream.FetchContext(once))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		letGo := hold(msg)
		f.taking.Go(func() {
			defer letGo()
			results.note(f.takeOne(ctx, msg))
		})
	}
	err = batch.Error()
	if nothingCame(err) || ctx.Err() != nil {
		return nil
	}
	return err
}

// nothingCame says of a pull's error that no more messages came in its time.
func nothingCame(err error) bool {
	return errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
}

// results are those of the messages of a consumer.
type results struct {
	mu     sync.Mutex
	taken  bool
	failed error
}

func (r *results) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.taken = true
	} else {
		r.failed = err
	}
}

// failing gives an error if since the last call messages failed and none was taken. What
// fails alone comes again by itself and slows nothing else.
func (r *results) failing() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.taken {
		err = r.failed
	}
	r.taken, r.failed = false, nil
	return err
}

// takeOne takes what a message says, once there is room for it.
func (f feeding[T]) takeOne(ctx context.Context, msg jetstream.Msg) error {
	room := min(int64(len(msg.Data())), feedAhead)
	err := f.ahead.Acquire(ctx, room)
	if err != nil {
		_ = msg.NakWithDelay(feedPause)
		return err // we are stopping
	}
	defer f.ahead.Release(room)
	all, odds, err := f.decode(msg.Data())
	if err != nil {
		odds = []odd{{err: err}}
	}
	for _, o := range odds {
		f.log.ErrorContext(ctx, "event not understood; no webhook is told of it", "subject", msg.Subject(), "error", o.err)
	}
	if err != nil {
		return msg.Term()
	}
	f.traffic.received(ctx, msg, f.name, len(all))
	if err := f.takeAll(ctx, msg, all); err != nil {
		_ = msg.NakWithDelay(feedPause)
		return err
	}
	return msg.Ack()
}

// takeAll takes what a message says, each when it is its partner's turn. If one fails, all
// come again.
func (f feeding[T]) takeAll(ctx context.Context, msg jetstream.Msg, all []part[T]) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, one := range all {
		g.Go(func() error {
			f.turns.wait(f.partner(one.what))
			defer f.turns.leave()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			began := time.Now()
			ctx, span := processing(ctx, msg, one.at, f.name)
			err := f.take(ctx, one.what)
			f.traffic.processed(ctx, span, msg, f.name, began, err)
			return err
		})
	}
	return g.Wait()
}
