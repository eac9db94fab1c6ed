package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"writeback/internal/tail"
	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// tailer follows what happens; see tail.Hub. An error is an *operation.Error.
type tailer interface {
	Open(partner uuid.UUID) (*tail.Stream, error)
}

const (
	// heartbeat is how often a stream says that it lives.
	heartbeat = 15 * time.Second
	// tailWrite bounds one write to a reader.
	tailWrite = 10 * time.Second
)

var (
	errTokenOver = errors.New("httpapi: the token has ended")
	errHeartbeat = errors.New("httpapi: nothing happened for a while")
)

// tailOperations streams the partner's events until the caller hangs up or the token
// ends. Once the stream has begun every end is told in it.
func (s *server) tailOperations(w http.ResponseWriter, r *http.Request) error {
	after, err := s.lastEvent(r)
	if err != nil {
		return err
	}
	principal := principalOf(r.Context())
	stream, err := s.deps.Tail.Open(principal.PartnerID)
	if err != nil {
		return err
	}
	defer stream.Close()
	opening, cancel := s.deadline(r.Context(), s.cfg.Timeout)
	start, err := stream.Start(opening)
	cancel()
	if err != nil {
		return err
	}
	ctx := r.Context()
	if !principal.ExpiresAt.IsZero() {
		var over context.CancelFunc
		ctx, over = context.WithDeadlineCause(ctx, principal.ExpiresAt, errTokenOver)
		defer over()
	}
	out := newEventStream(w, s.deps.Cursors)
	if r.Method == http.MethodHead {
		return nil
	}
	if after == "" {
		after = start
	}
	// What goes wrong from here on cannot be an answer: the stream has begun.
	ended := s.tell(ctx, out, stream, after, start)
	out.end(endOf(ended))
	trailOf(r.Context()).cause = ended
	return nil
}

// lastEvent gives the place to go on from, which the header says before the query.
func (s *server) lastEvent(r *http.Request) (string, error) {
	values, err := query(r)
	if err != nil {
		return "", err
	}
	place, err := wire.ParseTail(values)
	if err != nil {
		return "", err
	}
	if header := r.Header.Get("Last-Event-ID"); header != "" {
		place = header
	}
	if place == "" {
		return "", nil
	}
	return s.deps.Cursors.DecodeTail(place)
}

// tell writes what happened after a place and before the start, then what happens, until
// something ends it; it gives what that was, never nil.
func (s *server) tell(ctx context.Context, out *eventStream, stream *tail.Stream, after, start string) error {
	if err := out.open(after); err != nil {
		return err
	}
	switch err := stream.Since(ctx, after, out.event); {
	case errors.Is(err, tail.ErrGap):
		if err := out.gap(start); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	for {
		waiting, stop := context.WithTimeoutCause(ctx, s.cfg.Heartbeat, errHeartbeat)
		event, err := stream.Next(waiting)
		stop()
		switch {
		case errors.Is(err, errHeartbeat):
			place, _ := stream.Idle()
			err = out.beat(place)
		case err == nil:
			err = out.event(event)
		}
		if err != nil {
			return err
		}
	}
}

// endOf says to the reader why the stream ends.
func endOf(err error) (code int, message string) {
	switch {
	case errors.Is(err, errTokenOver):
		return http.StatusUnauthorized, "the token has expired"
	case errors.Is(err, tail.ErrSlow):
		return http.StatusTooManyRequests, "you read too slowly; connect again and go on from the last id"
	}
	return http.StatusServiceUnavailable, "the stream has ended; connect again and go on from the last id"
}

// eventStream writes server-sent events.
type eventStream struct {
	w       http.ResponseWriter
	conn    *http.ResponseController
	cursors *wire.Cursors
}

// newEventStream begins the answer.
func newEventStream(w http.ResponseWriter, cursors *wire.Cursors) *eventStream {
	out := &eventStream{w: w, conn: http.NewResponseController(w), cursors: cursors}
	// The server's own deadline is for a whole request, which this has no end of.
	_ = out.conn.SetReadDeadline(time.Time{})
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // some proxies would hold events back
	w.WriteHeader(http.StatusOK)
	return out
}

func (o *eventStream) write(text []byte) error {
	_ = o.conn.SetWriteDeadline(time.Now().Add(tailWrite))
	if _, err := o.w.Write(text); err != nil {
		return fmt.Errorf("httpapi: write event: %w", err)
	}
	if err := o.conn.Flush(); err != nil {
		return fmt.Errorf("httpapi: write event: %w", err)
	}
	return nil
}

// open says where the reader stands and how soon it may come back.
func (o *eventStream) open(place string) error {
	return o.write(fmt.Appendf(nil, "retry: 2000\nid: %s\n\n", o.cursors.EncodeTail(place)))
}

// beat keeps the connection open. A place that is known moves the reader on, so that
// it has less to catch up with when it comes back.
func (o *eventStream) beat(place string) error {
	text := []byte(": still here\n")
	if place != "" {
		text = fmt.Appendf(text, "id: %s\n", o.cursors.EncodeTail(place))
	}
	return o.write(append(text, '\n'))
}

// event writes one event.
func (o *eventStream) event(e tail.Event) error {
	return o.data(e.At, eventName(e.Operation), operationEvent(e.Operation))
}

// gap says that not everything can be told, once: it moves the reader on to the start.
func (o *eventStream) gap(start string) error {
	return o.data(start, "gap", map[string]string{"message": "more has happened than can be told again; list the operations of that time"})
}

// end says why nothing more comes. It is not called error: a browser's EventSource gives
// that name to its own.
func (o *eventStream) end(code int, message string) {
	// A reader that is gone does not hear it.
	_ = o.data("", "end", map[string]any{"code": code, "message": message})
}

func (o *eventStream) data(place, name string, body any) error {
	var text bytes.Buffer
	if place != "" {
		fmt.Fprintf(&text, "id: %s\n", o.cursors.EncodeTail(place))
	}
	fmt.Fprintf(&text, "event: %s\ndata: ", name)
	enc := json.NewEncoder(&text) // writes one line
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return fmt.Errorf("httpapi: event: %w", err)
	}
	text.WriteByte('\n')
	return o.write(text.Bytes())
}

func eventName(op operation.Operation) string {
	switch op.Status {
	case operation.Succeeded:
		return webhook.EventSucceeded
	case operation.Failed:
		return webhook.EventFailed
	case operation.Pending:
	}
	return webhook.EventCreated
}

func operationEvent(op operation.Operation) wire.OperationEvent {
	id := operation.EventID(op.ID, webhook.KindCreated)
	if op.Status.Terminal() {
		id = operation.EventID(op.ID, operation.FinalKind(op.Status))
	}
	return wire.OperationEvent{
		Version: wire.EnvelopeVersion, ID: id, EventName: eventName(op), Timestamp: wire.Stamp(op.UpdatedAt),
		Data: []wire.ResourceOperationRead{wire.ReadView(op)},
	}
}
