package natsq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Origin says whether a stream is the one that it was: when it was made, and how far it
// has come since.
type Origin struct {
	Made time.Time
	Last uint64
}

// String gives the origin as text for Lacks.
func (o Origin) String() string {
	return strconv.FormatInt(o.Made.UnixNano(), 10) + " " + strconv.FormatUint(o.Last, 10)
}

// Lacks reports whether the stream has lost what one of this name once held: it is another
// than the one that known says, or ends before where that was. One that was empty, or of
// which nothing is known, has lost nothing.
func (o Origin) Lacks(known string) bool {
	made, last, ok := strings.Cut(known, " ")
	at, err := strconv.ParseUint(last, 10, 64)
	if !ok || err != nil || at == 0 {
		return false
	}
	return made != strconv.FormatInt(o.Made.UnixNano(), 10) || o.Last < at
}

// Losses says which of the streams have lost what they held, by what was known of them; have
// is what is known now. The error is NATS's, also if one of them is not there.
func (h *History) Losses(ctx context.Context, known map[string]string) (have map[string]string, operations, events bool, err error) {
	o, err := h.origin(ctx, h.operations)
	if err != nil {
		return nil, false, false, err
	}
	e, err := h.origin(ctx, h.events)
	if err != nil {
		return nil, false, false, err
	}
	have = map[string]string{h.operations: o.String(), h.events: e.String()}
	return have, o.Lacks(known[h.operations]), e.Lacks(known[h.events]), nil
}

func (h *History) origin(ctx context.Context, name string) (Origin, error) {
	s, err := h.js.Stream(ctx, name)
	if err != nil {
		return Origin{}, fmt.Errorf("natsq: stream %s: %w", name, err)
	}
	info := s.CachedInfo()
	return Origin{Made: info.Created, Last: info.State.LastSeq}, nil
}

// There says which of our streams and consumers are there, by name; a consumer's begins
// with that of its stream. The error is NATS's.
func There(ctx context.Context, js jetstream.JetStream) (map[string]bool, error) {
	there := map[string]bool{}
	for stream, consumers := range map[string][]string{
		StreamOperations: {ConsumerQuiet, ConsumerCreated, ConsumerBatches},
		StreamEvents:     {ConsumerEnded, ConsumerEndedBatches},
		StreamDead:       nil, StreamDeliveries: nil, StreamDeliveryEvents: nil,
	} {
		s, err := js.Stream(ctx, stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("natsq: stream %s: %w", stream, err)
		}
		there[stream] = true
		for _, name := range consumers {
			_, err := s.Consumer(ctx, name)
			switch {
			case err == nil:
				there[stream+" "+name] = true
			case !errors.Is(err, jetstream.ErrConsumerNotFound):
				return nil, fmt.Errorf("natsq: consumer %s: %w", name, err)
			}
		}
	}
	return there, nil
}
