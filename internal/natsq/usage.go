package natsq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Usage is how full a stream is.
type Usage struct {
	Stream string
	// Bytes is what it holds, Limit what it may hold; zero is no bound.
	Bytes, Limit int64
}

// Usages asks how full each of our streams is. One that was not made, since nobody
// needs it, is left out. The error is NATS's.
func Usages(ctx context.Context, js jetstream.JetStream) ([]Usage, error) {
	var all []Usage
	for _, name := range []string{StreamOperations, StreamEvents, StreamDead, StreamDeliveries, StreamDeliveryEvents} {
		s, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("natsq: stream %s: %w", name, err)
		}
		info := s.CachedInfo()
		all = append(all, Usage{Stream: name, Bytes: int64(info.State.Bytes), Limit: max(info.Config.MaxBytes, 0)})
	}
	return all, nil
}

// WebhookWait gives for how long the event that waits longest has waited until webhooks
// are told of it, and whether there are such webhooks. The error is NATS's.
func WebhookWait(ctx context.Context, js jetstream.JetStream) (longest time.Duration, some bool, err error) {
	for _, c := range webhookConsumers() {
		wait, err := oldestWait(ctx, js, c.stream, c.Durable)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			continue
		case err != nil:
			return 0, false, fmt.Errorf("natsq: consumer %s: %w", c.Durable, err)
		}
		longest, some = max(longest, wait), true
	}
	return longest, some, nil
}

// oldestWait is the age of the first message that a consumer has not acked.
func oldestWait(ctx context.Context, js jetstream.JetStream, stream, name string) (longest time.Duration, err error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	c, err := s.Consumer(ctx, name)
	if err != nil {
		return 0, err
	}
	info := c.CachedInfo()
	if info.NumPending == 0 && info.NumAckPending == 0 {
		return 0, nil
	}
	for _, subject := range info.Config.FilterSubjects {
		msg, err := s.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(subject))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return 0, err
		default:
			longest = max(longest, info.TimeStamp.Sub(msg.Time))
		}
	}
	return longest, nil
}
