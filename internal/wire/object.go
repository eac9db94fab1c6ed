package wire

import (
	"slices"

	"writeback/internal/appendjson"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order. HTML characters stay as they are.
func (o object) MarshalJSON() ([]byte, error) { return o.append(nil), nil }

// append writes the members in order. What is put into objects here always marshals.
func (o object) append(b []byte) []byte {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendjson.PlainText(b, m.name), ':')
		b, _ = AppendJSON(b, m.value)
	}
	return append(b, '}')
}

// index gives a member's place, or -1.
func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

// get gives a member's value, or nil.
func (o object) get(name string) any {
	if i := o.index(name); i >= 0 {
		return o[i].value
	}
	return nil
}
