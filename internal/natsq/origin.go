package natsq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Origin says whether a stream is the one that it was: when it was made, and how far it
// had come when.
type Origin struct {
	Made time.Time
	Last uint64
	At   time.Time
}

// String gives the origin as text for Lost.
func (o Origin) String() string { return fmt.Sprint(o.Made.UnixNano(), o.Last, o.At.UnixNano()) }

// lostMargin is how far clocks may differ, and longer than nats-server takes to bring to
// the disk what it has confirmed.
const lostMargin = 10 * time.Minute

// Lost says since when the stream has lost what one of this name held, by what was known of
// it; nil if it has not. It has if it is another, of which nothing is taken for granted
// (the zero time), or ends before where it did. newest is when its newest message came. One
// that was empty, or of which nothing is known, has lost nothing.
func (o Origin) Lost(known string, newest time.Time) *time.Time {
	var made, at int64
	var last uint64
	if _, err := fmt.Sscan(known, &made, &last, &at); err != nil || last == 0 {
		return nil
	}
	switch {
	case made != o.Made.UnixNano():
		return &time.Time{}
	case o.Last >= last:
		return nil
	}
	since := time.Unix(0, at)
	if newest.Before(since) { // from a backup
		since = newest
	}
	since = since.Add(-lostMargin)
	return &since
}

// Losses says since when the streams have lost what they held, by what was known of them;
// nil for one that has not. have is what is known now. The error is NATS's, also if one of them
// is not there.
func (h *History) Losses(ctx context.Context, known map[string]string) (have map[string]string, operations, events *time.Time, err error) {
	have = map[string]string{}
	if operations, err = h.lost(ctx, h.operations, known, have); err == nil {
		events, err = h.lost(ctx, h.events, known, have)
	}
	return have, operations, events, err
}

func (h *History) lost(ctx context.Context, name string, known, have map[string]string) (*time.Time, error) {
	now := time.Now()
	info, err := h.info(ctx, name)
	if err != nil {
		return nil, err
	}
	o := Origin{Made: info.Created, Last: info.State.LastSeq, At: now}
	have[name] = o.String()
	return o.Lost(known[name], info.State.LastTime), nil
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
