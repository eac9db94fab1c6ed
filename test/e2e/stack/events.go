package stack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/history"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// events reads the whole event stream.
func (s *Stack) events(ctx context.Context) ([]history.Event, error) {
	var out []history.Event
	err := s.Messages(ctx, natsq.StreamEvents, func(m jetstream.Msg, at time.Time) error {
		events, err := natsq.DecodeEvents(m.Data())
		for _, e := range events {
			out = append(out, s.event(e, at))
		}
		return err
	})
	return out, err
}

func (s *Stack) event(e operation.Event, at time.Time) history.Event {
	event := history.Event{
		ID: e.ID.String(), Operation: e.Operation.ID.String(), Kind: string(e.Kind), At: s.Since(at),
	}
	if !e.Blocked.IsZero() {
		event.Blocked = s.Since(e.Blocked)
	}
	for _, a := range e.Operation.Attempts {
		event.Rows = append(event.Rows, history.EventRow{ID: a.ID.String(), Status: string(a.Status), Unknown: a.Unknown})
	}
	return event
}

// streamed gives the operations whose accepted message is in the stream.
func (s *Stack) streamed(ctx context.Context) ([]string, error) {
	var out []string
	err := s.Messages(ctx, natsq.StreamOperations, func(m jetstream.Msg, _ time.Time) error {
		messages, err := natsq.DecodeMessages(m.Data())
		for _, message := range messages {
			out = append(out, message.ID.String())
		}
		return err
	})
	return out, err
}

// fetchMost is how many messages are asked for at a time.
const fetchMost = 500

// Messages passes every message that the stream holds now, in order, with the time
// at which it was stored.
func (s *Stack) Messages(ctx context.Context, stream string, pass func(m jetstream.Msg, at time.Time) error) error {
	nc, err := nats.Connect(s.NATS.URL(), testenv.Patient)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	for left := info.NumPending; left > 0; {
		batch, err := c.Fetch(int(min(left, fetchMost)), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return fmt.Errorf("stack: %w", err)
		}
		got := uint64(0)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err == nil {
				err = pass(m, meta.Timestamp)
			}
			if err != nil {
				return fmt.Errorf("stack: %w", err)
			}
			got++
		}
		if got == 0 {
			return errors.Join(errors.New("stack: the stream ended too early"), batch.Error())
		}
		left -= got
	}
	return nil
}
