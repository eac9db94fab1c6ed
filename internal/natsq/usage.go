package natsq

import (
	"context"
	"errors"
	"fmt"

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
