package natsq

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// ErrNotUnderstood says that a message is not one of ours, or is of a version
// that this program does not know.
var ErrNotUnderstood = errors.New("natsq: message not understood")

// DecodeMessage reads an accepted operation. It accepts the present version and
// the one before; everything else is ErrNotUnderstood.
func DecodeMessage(data []byte) (operation.Message, error) {
	var m operation.Message
	if err := json.Unmarshal(data, &m); err != nil {
		return operation.Message{}, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	switch {
	case m.Version < operation.Version-1 || m.Version > operation.Version:
		return operation.Message{}, fmt.Errorf("%w: version %d", ErrNotUnderstood, m.Version)
	case m.ID == uuid.Nil, m.ConnectionID == uuid.Nil, m.PartnerID == uuid.Nil, m.Seq <= 0, m.Deadline.IsZero(), !m.Type.Valid():
		return operation.Message{}, fmt.Errorf("%w: incomplete", ErrNotUnderstood)
	}
	return m, nil
}

// DecodeEvent reads an event, by the same rules.
func DecodeEvent(data []byte) (operation.Event, error) {
	var e operation.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return operation.Event{}, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	switch {
	case e.Version < operation.Version-1 || e.Version > operation.Version:
		return operation.Event{}, fmt.Errorf("%w: version %d", ErrNotUnderstood, e.Version)
	case e.Operation.ID == uuid.Nil, e.Operation.ConnectionID == uuid.Nil, e.Operation.Seq <= 0:
		return operation.Event{}, fmt.Errorf("%w: incomplete", ErrNotUnderstood)
	}
	return e, nil
}

// DecodeMessages reads a message of the operation stream, which says of one operation
// or of many that they were accepted. Of many, those that cannot be understood are
// left out; if that is all of them the error is ErrNotUnderstood.
func DecodeMessages(data []byte) ([]operation.Message, error) {
	parts, _, err := splitMessages(data)
	return whats(parts), err
}

// DecodeEvents reads a message of the event stream, by the same rules.
func DecodeEvents(data []byte) ([]operation.Event, error) {
	parts, _, err := splitEvents(data)
	return whats(parts), err
}

func splitMessages(data []byte) ([]part[operation.Message], []odd, error) {
	return split(operationsForm, data, DecodeMessage)
}

func splitEvents(data []byte) ([]part[operation.Event], []odd, error) {
	return split(eventsForm, data, DecodeEvent)
}
