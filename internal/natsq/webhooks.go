package natsq

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
	for _, feeding := range webhookConsumers() {
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

// webhookConsumer feeds webhooks from a stream.
type webhookConsumer struct {
	stream string
	jetstream.ConsumerConfig
}

func webhookConsumers() []webhookConsumer {
	return []webhookConsumer{
		{StreamOperations, jetstream.ConsumerConfig{Durable: ConsumerCreated, FilterSubjects: []string{SubjectQuiet, SubjectBusy}}},
		{StreamOperations, jetstream.ConsumerConfig{Durable: ConsumerBatches, FilterSubjects: []string{SubjectBatch, SubjectQuietBatch}}},
		{StreamEvents, jetstream.ConsumerConfig{Durable: ConsumerEnded, FilterSubjects: []string{SubjectSucceeded, SubjectFailed}}},
		{StreamEvents, jetstream.ConsumerConfig{
			Durable: ConsumerEndedBatches, FilterSubjects: []string{SubjectSucceededBatch, SubjectFailedBatch},
		}},
	}
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

// NewDeliveryHistory makes a reader of the streams of deliveries, which logs what History.Logging does.
func NewDeliveryHistory(js jetstream.JetStream, log *slog.Logger) DeliveryHistory {
	return DeliveryHistory{&History{js: js, operations: StreamDeliveries, events: StreamDeliveryEvents, log: log}}
}

// Events passes on the events since the given time; since the beginning, none.
func (h DeliveryHistory) Events(ctx context.Context, since time.Time, upTo uint64, pass func([]operation.Event) error) error {
	if since.IsZero() {
		return nil
	}
	return h.History.Events(ctx, since, upTo, pass)
}
