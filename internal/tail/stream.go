package tail

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

// Event is something that happened to an operation of the partner.
type Event struct {
	// At is where to go on after it, as text for Stream.Since.
	At string
	// Operation as it was then: pending without attempts when it was accepted.
	Operation operation.Operation
}

// Stream is what one reader listens to. It is for one goroutine.
type Stream struct {
	hub     *Hub
	partner uuid.UUID
	text    []byte
	events  chan natsq.Told

	// begun is closed when start is known.
	begun chan struct{}
	start natsq.Moment
	// gone is closed with the reason in why.
	gone chan struct{}
	why  error
}

// begin says from where on the stream is told everything. The hub holds the lock.
func (s *Stream) begin(at natsq.Moment) {
	select {
	case <-s.begun:
	default:
		s.start = at
		close(s.begun)
	}
}

// Close ends the stream. It may be called more than once.
func (s *Stream) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.drop(s, ErrClosed)
}

// Start waits until the streams are read and gives the place from where on everything
// is told. The error is an *operation.Error: unavailable.
func (s *Stream) Start(ctx context.Context) (string, error) {
	select {
	case <-s.begun:
		return s.start.String(), nil
	case <-s.gone:
		return "", s.unavailable(s.why)
	case <-ctx.Done():
		return "", s.unavailable(context.Cause(ctx))
	}
}

func (*Stream) unavailable(err error) *operation.Error {
	return &operation.Error{Code: operation.CodeUnavailable, Message: "events cannot be followed just now", RetryAfter: 2 * time.Second, Err: err}
}

// Since passes on what happened after a place and before the start. ErrGap: not all of
// it can be told any more, and some may have been. ErrClosed: the stream was closed
// meanwhile. Call it after Start.
func (s *Stream) Since(ctx context.Context, place string, pass func(Event) error) error {
	from, ok := natsq.ParseMoment(place)
	to := s.start
	// Another process may be a little ahead of this one; what it has told is told
	// again. Far ahead are the places of streams that are there no more.
	const little = 10_000
	if !ok || from.Operations > to.Operations+little || from.Events > to.Events+little {
		return ErrGap
	}
	from.Operations, from.Events = min(from.Operations, to.Operations), min(from.Events, to.Events)
	if to.Operations-from.Operations+to.Events-from.Events > s.hub.cfg.Back {
		return ErrGap
	}
	ctx, end := s.whileOpen(ctx)
	defer end()
	err := s.hub.source.Past(ctx, from, to, func(data []byte) bool { return bytes.Contains(data, s.text) }, func(told natsq.Told) error {
		if a, ok := accepted(told); !ok || a.PartnerID != s.partner {
			return nil
		}
		if ctx.Err() != nil { // a reader may take long for each
			return context.Cause(ctx)
		}
		return pass(eventOf(told))
	})
	switch {
	case errors.Is(err, natsq.ErrForgotten):
		return ErrGap
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// whileOpen gives a context that ends with ErrClosed when the stream is closed. One that was
// dropped as too slow reads on: it goes on from further ahead when it comes back.
func (s *Stream) whileOpen(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.gone:
			if errors.Is(s.why, ErrClosed) {
				cancel(ErrClosed)
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Next waits for an event. The error is ErrSlow, ErrClosed, or that of ctx.
func (s *Stream) Next(ctx context.Context) (Event, error) {
	select {
	case told := <-s.events:
		return eventOf(told), nil
	default:
	}
	select {
	case told := <-s.events:
		return eventOf(told), nil
	case <-s.gone:
		return Event{}, s.why
	case <-ctx.Done():
		return Event{}, context.Cause(ctx)
	}
}

// Idle gives the present place if nothing waits to be told.
func (s *Stream) Idle() (place string, ok bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if len(s.events) > 0 || s.why != nil {
		return "", false
	}
	return s.hub.at.String(), true
}

// eventOf gives the operation as it was.
func eventOf(told natsq.Told) Event {
	e := Event{At: told.At.String()}
	if m := told.Accepted; m != nil {
		e.Operation = operation.Operation{
			Accepted: m.Accepted, Place: m.Place, UpdatedAt: m.CreatedAt(), Status: operation.Pending,
			Attempts: []operation.Attempt{},
		}
		return e
	}
	e.Operation = told.Ended.Operation
	return e
}
