package directory

import (
	"encoding/binary"
	"encoding/json"
	"iter"
	"maps"
	"slices"

	"writeback/pkg/operation"
)

// Known are the fields of a user that are known, packed: as a map they take four times the
// memory, and every process holds every user. The zero value: none are.
//
// Each field is its place in operation.UserFields, then its value. A field that is not there,
// which a newer version may have stored, has the place that is none, and its name.
type Known string

// What stands before a value: a text has its length above these.
const (
	packedNull = iota
	packedFalse
	packedTrue
	packedText
)

// unlisted is the place of a field that is not in operation.UserFields.
const unlisted = 0xff

// Pack gives the fields in their packed form.
func Pack(fields operation.Changes) Known {
	var out []byte
	left := len(fields)
	for i := range operation.UserFields {
		if v, ok := fields[operation.UserFields[i].Name]; ok {
			out = packValue(append(out, byte(i)), v)
			left--
		}
	}
	if left > 0 {
		for _, f := range slices.Sorted(maps.Keys(fields)) {
			if _, listed := operation.SpecOf(f); !listed {
				out = packText(append(out, unlisted), 0, string(f))
				out = packValue(out, fields[f])
			}
		}
	}
	return Known(out)
}

func packValue(out []byte, v operation.Value) []byte {
	switch x := v.Any().(type) {
	case string:
		return packText(out, packedText, x)
	case bool:
		if x {
			return append(out, packedTrue)
		}
		return append(out, packedFalse)
	default:
		return append(out, packedNull)
	}
}

func packText(out []byte, above uint64, text string) []byte {
	return append(binary.AppendUvarint(out, above+uint64(len(text))), text...)
}

// All gives each field with its value.
func (k Known) All() iter.Seq2[operation.Field, operation.Value] {
	return func(yield func(operation.Field, operation.Value) bool) {
		for rest := string(k); rest != ""; {
			var f operation.Field
			if place := rest[0]; place == unlisted {
				var name string
				name, rest = cutText(rest[1:], 0)
				f = operation.Field(name)
			} else {
				f, rest = operation.UserFields[place].Name, rest[1:]
			}
			var v operation.Value
			switch rest[0] {
			case packedNull:
				rest = rest[1:]
			case packedFalse, packedTrue:
				v, rest = operation.Flag(rest[0] == packedTrue), rest[1:]
			default:
				var text string
				text, rest = cutText(rest, packedText)
				v = operation.Text(text)
			}
			if !yield(f, v) {
				return
			}
		}
	}
}

// cutText takes a text off, whose length stands before it.
func cutText(from string, above uint64) (text, rest string) {
	n, size := uvarint(from)
	from = from[size:]
	n -= above
	return from[:n], from[n:]
}

// uvarint is binary.Uvarint for a string, which need not be copied for it.
func uvarint(s string) (n uint64, size int) {
	for i := range len(s) {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, i + 1
		}
	}
	return n, len(s)
}

// Get gives a field's value and whether it is known.
func (k Known) Get(f operation.Field) (operation.Value, bool) {
	for known, v := range k.All() {
		if known == f {
			return v, true
		}
	}
	return operation.Value{}, false
}

// Changes gives the fields as a map of the caller's own.
func (k Known) Changes() operation.Changes {
	if k == "" {
		return nil
	}
	out := make(operation.Changes, len(operation.UserFields)/2)
	maps.Insert(out, k.All())
	return out
}

// MarshalJSON writes an object of the fields.
func (k Known) MarshalJSON() ([]byte, error) { return json.Marshal(k.Changes()) }

// UnmarshalJSON reads an object of fields.
func (k *Known) UnmarshalJSON(b []byte) error {
	var fields operation.Changes
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	*k = Pack(fields)
	return nil
}
