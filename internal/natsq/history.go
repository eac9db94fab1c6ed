package natsq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"writeback/pkg/operation"
)

// History reads what the streams remember. Safe for concurrent use.
type History struct {
	js                 jetstream.JetStream
	operations, events string
	log                *slog.Logger
}

// NewHistory makes a reader of the streams, which logs nothing.
func NewHistory(js jetstream.JetStream) *History {
	return &History{js: js, operations: StreamOperations, events: StreamEvents, log: slog.New(slog.DiscardHandler)}
}

// Logging gives one that says how much of what it read could not be understood.
func (h History) Logging(log *slog.Logger) *History {
	h.log = log
	return &h
}

// Ends gives where the streams end now. Zero and zero: nothing was ever written,
// a new installation. A stream that is not there is an error: every program makes them at
// its start, so somebody has removed it, and what it said is not known.
func (h *History) Ends(ctx context.Context) (operations, events uint64, err error) {
	if operations, err = h.last(ctx, h.operations); err != nil {
		return 0, 0, err
	}
	events, err = h.last(ctx, h.events)
	return operations, events, err
}

func (h *History) last(ctx context.Context, name string) (uint64, error) {
	s, err := streamNow(ctx, h.js, name)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

// streamNow gives a stream with what it is and holds now.
func streamNow(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	s, err := led(ctx, js, name)
	if err != nil {
		return nil, fmt.Errorf("natsq: stream %s: %w", name, Explain(js.Conn(), err))
	}
	return s, nil
}

// errNoLeader says that what a stream holds is not known now.
var errNoLeader = errors.New("it has no leader")

// led is streamNow with NATS's own error, or errNoLeader: without a leader any copy answers,
// and not the one that has all. One that has lost its files says that the stream is empty.
func led(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	if c := s.CachedInfo().Cluster; c != nil && c.Leader == "" {
		return nil, errNoLeader
	}
	return s, nil
}

const (
	// batch is how many messages are read, and how many things passed on, at a time.
	batch = 256
	// batchBytes bounds what is read at a time: a message may carry many operations.
	batchBytes = 8 << 20
)

// Operations passes on what the accepted messages say, from since (zero: all) up to
// the sequence number, in order and in batches. What cannot be understood is left out, and
// counted in the log: it was never anybody's, or is a newer version's.
func (h *History) Operations(ctx context.Context, since time.Time, upTo uint64, pass func([]operation.Message) error) error {
	return read(ctx, h, h.operations, since, upTo, splitMessages, pass)
}

// Events passes on the events in the same way.
func (h *History) Events(ctx context.Context, since time.Time, upTo uint64, pass func([]operation.Event) error) error {
	return read(ctx, h, h.events, since, upTo, splitEvents, pass)
}

func read[T any](ctx context.Context, h *History, stream string, since time.Time, upTo uint64,
	split func([]byte) ([]part[T], []odd, error), pass func([]T) error,
) error {
	if upTo == 0 {
		return nil
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if !since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	consumer, err := h.js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("natsq: read %s: %w", stream, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("natsq: read %s: %w", stream, err)
	}
	last, unread := uint64(0), 0
	for left := info.NumPending; left > 0 && last < upTo; {
		var items []T
		n, err := fetch(ctx, consumer, left, func(msg jetstream.Msg) {
			if meta, err := msg.Metadata(); err == nil {
				last = meta.Sequence.Stream
			}
			parts, odds, err := split(msg.Data())
			if err != nil {
				odds = make([]odd, 1)
			}
			items, unread = append(items, whats(parts)...), unread+len(odds)
		})
		if err != nil {
			return fmt.Errorf("natsq: read %s: %w", stream, err)
		}
		for some := range slices.Chunk(items, batch) {
			if err := pass(some); err != nil {
				return err
			}
		}
		left -= min(left, n)
	}
	if unread > 0 {
		h.log.WarnContext(ctx, "a stream has what this version cannot read; it is passed over", "stream", stream, "passed_over", unread)
	}
	return nil
}

// fetch reads one batch of what is left, and gives how many messages that were: one at least.
func fetch(ctx context.Context, c jetstream.Consumer, left uint64, take func(jetstream.Msg)) (n uint64, err error) {
	b, err := c.Fetch(int(min(batch, left)), jetstream.FetchMaxWait(5*time.Second), jetstream.FetchMaxBytes(batchBytes))
	if err != nil {
		return 0, err
	}
	for msg := range b.Messages() {
		n++
		take(msg)
	}
	if err = errors.Join(b.Error(), ctx.Err()); err == nil && n == 0 {
		err = errors.New("no answer in time")
	}
	return n, err
}
