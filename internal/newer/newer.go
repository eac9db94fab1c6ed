// Package newer keeps what a newer version has stored in a JSON entry and this one does not
// know: two versions run side by side, and the older one changes such entries, too.
package newer

import (
	"bytes"
	"encoding/json"
)

// Entry is an entry of which this version does not know all, as it is stored and as it is
// read. Nil: all of it is known. It may be used concurrently.
type Entry struct{ stored, read json.RawMessage }

// Read reads an entry, and gives it if this version does not know all of it. The error is
// that of json.Unmarshal.
func Read(value []byte, into any) (*Entry, error) {
	strict := json.NewDecoder(bytes.NewReader(value))
	strict.DisallowUnknownFields()
	if strict.Decode(into) == nil {
		return nil, nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return nil, err
	}
	read, err := json.Marshal(into)
	return &Entry{bytes.Clone(value), read}, err
}

// Keep gives what is written now in the place of the entry, with what is not known in it.
func (e *Entry) Keep(value []byte) []byte {
	if e == nil {
		return value
	}
	return keep(value, e.stored, e.read)
}

// keep goes through both objects: what is in an object that somebody has taken away goes with it.
func keep(value, stored, read json.RawMessage) json.RawMessage {
	var now, all, known map[string]json.RawMessage
	if json.Unmarshal(value, &now) != nil || json.Unmarshal(stored, &all) != nil || json.Unmarshal(read, &known) != nil || now == nil {
		return value // it is no object
	}
	for name, member := range all {
		was, isKnown := known[name]
		is, stays := now[name]
		switch {
		case isKnown && stays:
			now[name] = keep(is, member, was)
		case !isKnown && !stays:
			now[name] = member
		}
	}
	out, err := json.Marshal(now)
	if err != nil {
		return value
	}
	return out
}
