package natsq

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Origin is what is noted of a stream, so that a later look can tell whether it still holds
// what it held.
type Origin struct {
	// Made is when it was made.
	Made time.Time
	// Last is its newest message, zero for none, and LastAt is when that came.
	Last   uint64
	LastAt time.Time
	// Before is a time at which it was noted as well, lostMargin ago at least: what had happened
	// by then has reached it. At becomes that when it is so long ago.
	At, Before time.Time
}

// lostMargin is longer than nats-server takes to bring to the disk what it has confirmed, and
// than the outbox takes after an outage. It is also how far clocks may differ.
const lostMargin = 10 * time.Minute

// String gives the origin as text for parseOrigin.
func (o Origin) String() string {
	return fmt.Sprint(o.Made.UnixNano(), o.Last, o.LastAt.UnixNano(), o.At.UnixNano(), o.Before.UnixNano())
}

// parseOrigin reads what String gave. Anything else is as if nothing had been noted.
func parseOrigin(text string) (o Origin, known bool) {
	var made, lastAt, at, before int64
	if _, err := fmt.Sscan(text, &made, &o.Last, &lastAt, &at, &before); err != nil {
		return Origin{}, false
	}
	o.Made, o.LastAt, o.At, o.Before = time.Unix(0, made), time.Unix(0, lastAt), time.Unix(0, at), time.Unix(0, before)
	return o, true
}

// next is what to note now.
func (o Origin) next(info *jetstream.StreamInfo, now time.Time) Origin {
	n := Origin{Made: info.Created, At: o.At, Before: o.Before}
	if info.State.Msgs > 0 {
		n.Last, n.LastAt = info.State.LastSeq, info.State.LastTime
	}
	if now.Sub(o.At) >= lostMargin {
		n.At, n.Before = now, o.At
	}
	return n
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

// lost is Losses of one stream. It has lost all (the zero time) if it is another than it was. One
// that was empty, or of which nothing is known, has lost nothing.
func (h *History) lost(ctx context.Context, name string, known, have map[string]string) (*time.Time, error) {
	now := time.Now()
	s, err := streamNow(ctx, h.js, name)
	if err != nil {
		return nil, err
	}
	o, ok := parseOrigin(known[name])
	have[name] = o.next(s.CachedInfo(), now).String()
	switch {
	case !ok || o.Last == 0:
		return nil, nil //nolint:nilnil // nothing is lost
	case !o.Made.Equal(s.CachedInfo().Created):
		return &time.Time{}, nil
	}
	since, err := lacks(ctx, s, o)
	if err != nil {
		return nil, fmt.Errorf("natsq: stream %s: %w", name, Explain(h.js.Conn(), err))
	}
	return since, nil
}

// lacks compares what the stream has with what was noted of it. It may be longer than it was
// and have lost its end all the same: then news has taken the place of that.
func lacks(ctx context.Context, s jetstream.Stream, o Origin) (*time.Time, error) {
	info := s.CachedInfo()
	first, top := info.State.FirstSeq, min(info.State.LastSeq, o.Last)
	if info.State.Msgs == 0 || first > top {
		if top == o.Last && info.Config.MaxAge > 0 && time.Since(o.LastAt) > info.Config.MaxAge-time.Minute {
			return nil, nil //nolint:nilnil // all of it has grown too old
		}
		return &time.Time{}, nil // emptied
	}
	came, err := cameAt(ctx, s, top)
	if err != nil || top == o.Last && came.Equal(o.LastAt) {
		return nil, err
	}
	// What came after the noted one is news; what is left ends before that.
	news := sort.Search(int(top-first+1), func(i int) bool {
		at, failed := cameAt(ctx, s, first+uint64(i))
		err = errors.Join(err, failed)
		return at.After(o.LastAt)
	})
	if err != nil || news == 0 {
		return &time.Time{}, err
	}
	if came, err = cameAt(ctx, s, first+uint64(news)-1); err != nil {
		return nil, err
	}
	since := came.Add(-lostMargin)
	if o.Before.Before(since) {
		since = o.Before
	}
	return &since, nil
}

// cameAt says when a message came; the zero time if it is not there.
func cameAt(ctx context.Context, s jetstream.Stream, seq uint64) (time.Time, error) {
	msg, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return msg.Time, nil
}

// Half reports whether one of the streams that Redis is filled from is gone, while the other
// has got something. The error is NATS's.
func Half(ctx context.Context, js jetstream.JetStream) (bool, error) {
	gone, got := 0, uint64(0)
	for _, name := range []string{StreamOperations, StreamEvents} {
		s, err := led(ctx, js, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			gone++
		case errors.Is(err, errNoLeader):
			return false, fmt.Errorf("natsq: stream %s: %w", name, err)
		case err != nil:
			return false, err
		default:
			got += s.CachedInfo().State.LastSeq
		}
	}
	return gone == 1 && got > 0, nil
}

// Consumers are those that Ensure and EnsureWebhooks make, by their stream. A stream without
// any has none.
func Consumers() map[string][]string {
	return map[string][]string{
		StreamOperations: {ConsumerQuiet, ConsumerCreated, ConsumerBatches},
		StreamEvents:     {ConsumerEnded, ConsumerEndedBatches},
		StreamDead:       nil, StreamDeliveries: nil, StreamDeliveryEvents: nil,
	}
}

// There says which of our streams and consumers are there, by name; a consumer's begins
// with that of its stream. Beside a stream stands its last message, beside a consumer that
// up to which everything is acked. The error is NATS's.
func There(ctx context.Context, js jetstream.JetStream) (map[string]uint64, error) {
	there := map[string]uint64{}
	for stream, consumers := range Consumers() {
		s, err := streamNow(ctx, js, stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there[stream] = s.CachedInfo().State.LastSeq
		for _, name := range consumers {
			c, err := s.Consumer(ctx, name)
			switch {
			case err == nil:
				there[stream+" "+name] = c.CachedInfo().AckFloor.Stream
			case !errors.Is(err, jetstream.ErrConsumerNotFound):
				return nil, fmt.Errorf("natsq: consumer %s: %w", name, err)
			}
		}
	}
	return there, nil
}
