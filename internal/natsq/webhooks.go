package natsq

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"writeback/internal/telemetry"
	"writeback/pkg/operation"
)

// Names of what webhook deliveries use.
const (
	StreamDeliveries     = "WEBHOOK_DELIVERIES"
	StreamDeliveryEvents = "WEBHOOK_EVENTS"

	SubjectDelivery          = "webhook.accepted"
	SubjectDeliverySucceeded = "webhook.succeeded"
	SubjectDeliveryFailed    = "webhook.failed"

	// Of messages of many.
	SubjectDeliveryBatch          = SubjectDelivery + manySuffix
	SubjectDeliverySucceededBatch = SubjectDeliverySucceeded + manySuffix
	SubjectDeliveryFailedBatch    = SubjectDeliveryFailed + manySuffix

	ConsumerCreated = "webhooks-created"
	ConsumerEnded   = "webhooks-ended"
	// ConsumerBatches and ConsumerEndedBatches are of messages of many alone: a program
	// of before, which takes from the other two, would throw them away.
	ConsumerBatches      = "webhooks-created-batches"
	ConsumerEndedBatches = "webhooks-ended-batches"
)

// WebhookConfig of the streams. Every zero field takes the default given with it.
type WebhookConfig struct {
	// Replicas of each stream. Default 1.
	Replicas int
	// MaxAge is how long deliveries are remembered; it must exceed the time that one
	// may wait. Default 96 h.
	MaxAge time.Duration
	// MaxBytes bounds each stream; a full stream forgets its oldest. Default 1 GiB.
	MaxBytes int64
	// AckWait is when an event that nobody acked is given out again: the events that a
	// worker had when it was killed come that much later. Default 10 s.
	AckWait time.Duration
	// After gives, for a consumer that has to be made, the message after which it begins.
	// One that is not in it takes what happens from now on.
	After map[string]uint64
	// Log is told of a stream that is narrower than the configuration and cannot be
	// widened. Nil: nobody is.
	Log *slog.Logger
}

func (c WebhookConfig) withDefaults() WebhookConfig {
	if c.Replicas <= 0 {
		c.Replicas = 1
	}
	if c.MaxAge <= 0 {
		c.MaxAge = 96 * time.Hour
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 30
	}
	if c.AckWait <= 0 {
		c.AckWait = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// WebhookStreams are the streams that EnsureWebhooks makes, as the configuration wants them.
func WebhookStreams(cfg WebhookConfig) []jetstream.StreamConfig {
	cfg = cfg.withDefaults()
	streams := []jetstream.StreamConfig{
		{Name: StreamDeliveries, Subjects: []string{SubjectDelivery, SubjectDeliveryBatch}, Description: "webhook deliveries to make"},
		{
			Name: StreamDeliveryEvents, Subjects: []string{
				SubjectDeliverySucceeded, SubjectDeliveryFailed, SubjectDeliverySucceededBatch, SubjectDeliveryFailedBatch,
			},
			Description: "how webhook deliveries ended",
		},
	}
	for i := range streams {
		s := &streams[i]
		s.MaxAge, s.MaxBytes, s.Replicas = cfg.MaxAge, cfg.MaxBytes, cfg.Replicas
		s.Storage, s.Compression = jetstream.FileStorage, jetstream.S2Compression
		// A delivery whose message is forgotten early is still made; only a loss of
		// Redis would lose it.
		s.Discard = jetstream.DiscardOld
		s.Duplicates = time.Second
	}
	return streams
}

// EnsureWebhooks creates the streams of deliveries and the consumers that feed
// them; Ensure comes first.
func EnsureWebhooks(ctx context.Context, js jetstream.JetStream, cfg WebhookConfig) error {
	cfg = cfg.withDefaults()
	p := provision{js, cfg.Log}
	for _, s := range WebhookStreams(cfg) {
		if err := p.stream(ctx, s); err != nil {
			return err
		}
	}
	for _, feeding := range []struct {
		stream string
		jetstream.ConsumerConfig
	}{
		{StreamOperations, jetstream.ConsumerConfig{Durable: ConsumerCreated, FilterSubjects: []string{SubjectQuiet, SubjectBusy}}},
		{StreamOperations, jetstream.ConsumerConfig{Durable: ConsumerBatches, FilterSubjects: []string{SubjectBatch, SubjectQuietBatch}}},
		{StreamEvents, jetstream.ConsumerConfig{Durable: ConsumerEnded, FilterSubjects: []string{SubjectSucceeded, SubjectFailed}}},
		{StreamEvents, jetstream.ConsumerConfig{
			Durable: ConsumerEndedBatches, FilterSubjects: []string{SubjectSucceededBatch, SubjectFailedBatch},
		}},
	} {
		c := feeding.ConsumerConfig
		c.Description = "feeds webhooks"
		c.AckPolicy, c.AckWait = jetstream.AckExplicitPolicy, cfg.AckWait
		c.MaxDeliver, c.MaxAckPending = -1, 4096
		c.DeliverPolicy = jetstream.DeliverNewPolicy
		if err := p.consumer(ctx, feeding.stream, after(cfg.After, c)); err != nil {
			return err
		}
	}
	return nil
}

// Deliveries publishes what happens to webhook deliveries, which have the form of
// operations. Safe for concurrent use.
type Deliveries struct{ pub *Publisher }

// NewDeliveries makes a publisher of deliveries.
func NewDeliveries(pub *Publisher) *Deliveries { return &Deliveries{pub: pub} }

// Connected reports whether a publish can go out now.
func (d *Deliveries) Connected() bool { return d.pub.Connected() }

// Accepted publishes a delivery that is to be made. Nobody is woken by it.
func (d *Deliveries) Accepted(ctx context.Context, m operation.Message, _ bool) error {
	return d.pub.delivery.publish(ctx, &m, &m.Accepted)
}

// Event publishes how a delivery ended. That an attempt was made is not published:
// after a loss the delivery starts its attempts again.
func (d *Deliveries) Event(ctx context.Context, e operation.Event) error {
	switch e.Kind {
	case operation.EventSucceeded:
		return d.pub.deliverySucceeded.publish(ctx, &e, &e.Operation.Accepted)
	case operation.EventFailed:
		return d.pub.deliveryFailed.publish(ctx, &e, &e.Operation.Accepted)
	}
	return nil
}

// DeliveryHistory reads what the streams remember of deliveries. Those that ended
// long ago are of no use to anybody and are not read.
type DeliveryHistory struct{ *History }

// NewDeliveryHistory makes a reader of the streams of deliveries.
func NewDeliveryHistory(js jetstream.JetStream) DeliveryHistory {
	return DeliveryHistory{&History{js: js, operations: StreamDeliveries, events: StreamDeliveryEvents}}
}

// Events passes on the events since the given time; since the beginning, none.
func (h DeliveryHistory) Events(ctx context.Context, since time.Time, upTo uint64, pass func([]operation.Event) error) error {
	if since.IsZero() {
		return nil
	}
	return h.History.Events(ctx, since, upTo, pass)
}

// Feed gives webhooks the events of operations. Safe for one Run.
type Feed struct {
	js      jetstream.JetStream
	log     *slog.Logger
	traffic traffic
	// away is for what fails as long as NATS is away.
	away *slog.Logger
}

// NewFeed makes a feed.
func NewFeed(js jetstream.JetStream, log *slog.Logger) *Feed {
	return &Feed{js: js, log: log, away: telemetry.Seldom(log), traffic: newReceiving()}
}

const (
	feedBatch = 64
	feedPause = 2 * time.Second
	// feedHold is how often it is said that a message is still being taken. It must be
	// shorter than AckWait.
	feedHold = 3 * time.Second
	// feedTogether is how many operations of one message are taken at once.
	feedTogether = 32
)

// Run passes on accepted operations and final events until ctx ends, several at a
// time and in no order. What a function has taken without an error is acked;
// everything else comes again.
func (f *Feed) Run(ctx context.Context, created func(context.Context, operation.Message) error,
	ended func(context.Context, operation.Event) error,
) error {
	var g errgroup.Group
	for _, name := range []string{ConsumerCreated, ConsumerBatches} {
		g.Go(func() error { return feed(ctx, f, StreamOperations, name, splitMessages, created) })
	}
	for _, name := range []string{ConsumerEnded, ConsumerEndedBatches} {
		g.Go(func() error { return feed(ctx, f, StreamEvents, name, splitEvents, ended) })
	}
	return g.Wait()
}

// hold keeps a message from being given out again until it is let go: what one of many
// operations asks for can take longer than AckWait.
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

func feed[T any](ctx context.Context, f *Feed, stream, name string, decode func([]byte) ([]part[T], []odd, error), take func(context.Context, T) error) error {
	for ctx.Err() == nil {
		if err := feedOnce(ctx, f, stream, name, decode, take); err != nil && ctx.Err() == nil {
			f.away.WarnContext(ctx, "feeding webhooks", "consumer", name, "error", Explain(f.js.Conn(), err))
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// feedOnce pulls until something fails.
func feedOnce[T any](ctx context.Context, f *Feed, stream, name string, decode func([]byte) ([]part[T], []odd, error), take func(context.Context, T) error) error {
	setup, cancel := context.WithTimeout(ctx, 5*time.Second)
	consumer, err := f.js.Consumer(setup, stream, name)
	cancel()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, pullFor)
		batch, err := consumer.Fetch(feedBatch, jetstream.FetchContext(once))
		if err != nil {
			cancel()
			return err
		}
		var g errgroup.Group
		var taken atomic.Bool
		g.SetLimit(feedBatch / 2)
		for msg := range batch.Messages() {
			g.Go(func() error {
				err := feedOne(ctx, f, msg, name, decode, take)
				if err == nil {
					taken.Store(true)
				}
				return err
			})
		}
		cancel()
		failed := g.Wait()
		err = batch.Error()
		if err != nil && !errors.Is(err, jetstream.ErrNoMessages) && !errors.Is(err, nats.ErrTimeout) &&
			!errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return err
		}
		// What fails alone comes again by itself and slows nothing else.
		if failed != nil && !taken.Load() {
			return failed
		}
	}
	return nil
}

func feedOne[T any](ctx context.Context, f *Feed, msg jetstream.Msg, name string, decode func([]byte) ([]part[T], []odd, error), take func(context.Context, T) error) error {
	all, odds, err := decode(msg.Data())
	if err != nil {
		odds = []odd{{err: err}}
	}
	for _, o := range odds {
		f.log.ErrorContext(ctx, "event not understood; no webhook is told of it", "subject", msg.Subject(), "error", o.err)
	}
	if err != nil {
		return msg.Term()
	}
	f.traffic.received(ctx, msg, name, len(all))
	letGo := hold(msg)
	err = feedAll(ctx, f, msg, name, all, take)
	letGo()
	if err != nil {
		_ = msg.NakWithDelay(feedPause)
		return err
	}
	return msg.Ack()
}

// feedAll takes what a message says, several at a time. If one fails, all come again.
func feedAll[T any](ctx context.Context, f *Feed, msg jetstream.Msg, name string, all []part[T], take func(context.Context, T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(feedTogether)
	for _, one := range all {
		g.Go(func() error {
			began := time.Now()
			ctx, span := processing(ctx, msg, one.at, name)
			err := take(ctx, one.what)
			f.traffic.processed(ctx, span, msg, name, began, err)
			return err
		})
	}
	return g.Wait()
}
