package natsq

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// form is the key of the list in a message of many: {"v":1,"operations":[…]}. Each
// element has the form of a single message.
type form string

const (
	operationsForm form = "operations"
	eventsForm     form = "events"
)

// join makes a message of many of what is encoded already.
func (f form) join(all [][]byte) []byte {
	head := `{"v":` + strconv.Itoa(operation.Version) + `,"` + string(f) + `":[`
	size := len(head) + len(all) + 2
	for _, one := range all {
		size += len(one)
	}
	data := append(make([]byte, 0, size), head...)
	for i, one := range all {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, one...)
	}
	return append(data, "]}"...)
}

// part is one of the things that a message says, and its place among them: traces go by
// the place.
type part[T any] struct {
	at   int
	what T
}

// odd is one of many things that cannot be understood, its place among them, and why.
type odd struct {
	at   int
	data []byte
	err  error
}

// split reads a message of one thing or of many. Of many, those that cannot be understood
// are given apart; if that is all of them the error is ErrNotUnderstood.
func split[T any](f form, data []byte, decode func([]byte) (T, error)) ([]part[T], []odd, error) {
	// The key is in every message of many. Where it is in a single one, that is by chance.
	if bytes.Contains(data, []byte(`"`+f+`":`)) {
		if version, all, ok := f.elements(data); ok {
			return splitMany(f, version, all, decode)
		}
	}
	one, err := decode(data)
	if err != nil {
		return nil, nil, err
	}
	return []part[T]{{0, one}}, nil, nil
}

func splitMany[T any](f form, version int, all []jsontext.Value, decode func([]byte) (T, error)) ([]part[T], []odd, error) {
	if version < operation.Version-1 || version > operation.Version {
		return nil, nil, fmt.Errorf("%w: version %d", ErrNotUnderstood, version)
	}
	parts := make([]part[T], 0, len(all))
	var odds []odd
	for i, data := range all {
		if one, err := decode(data); err == nil {
			parts = append(parts, part[T]{i, one})
		} else {
			odds = append(odds, odd{i, data, err})
		}
	}
	if len(parts) == 0 {
		return nil, nil, fmt.Errorf("%w: no %s in it", ErrNotUnderstood, f)
	}
	return parts, odds, nil
}

// elements gives the version and what a message of many holds; ok says that it is one.
// A single one has an id.
func (f form) elements(data []byte) (version int, all []jsontext.Value, ok bool) {
	var many struct {
		Version    int              `json:"v"`
		ID         uuid.UUID        `json:"id"`
		EventID    uuid.UUID        `json:"event_id"`
		Operations []jsontext.Value `json:"operations"`
		Events     []jsontext.Value `json:"events"`
	}
	if err := json.Unmarshal(data, &many); err != nil || many.ID != uuid.Nil || many.EventID != uuid.Nil {
		return 0, nil, false
	}
	if all = many.Operations; f == eventsForm {
		all = many.Events
	}
	return many.Version, all, all != nil
}

// whats gives what was understood, without the places.
func whats[T any](parts []part[T]) []T {
	all := make([]T, len(parts))
	for i, p := range parts {
		all[i] = p.what
	}
	return all
}
