package wire

import (
	"bytes"
	"encoding/json"
	"slices"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order. HTML characters stay as they are.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := appendJSON(&b, o); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// appendJSON writes objects into one buffer: encoding/json would read again, at each
// level, all that is below.
func appendJSON(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case object:
		return appendMembers(b, v)
	case []object:
		b.WriteByte('[')
		for i, o := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := appendMembers(b, o); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	text, err := plainJSON(v)
	b.Write(text)
	return err
}

func appendMembers(b *bytes.Buffer, o object) error {
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := plainJSON(m.name)
		if err != nil {
			return err
		}
		b.Write(name)
		b.WriteByte(':')
		if err := appendJSON(b, m.value); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

// raw is the object as JSON. What is put into objects here always marshals.
func (o object) raw() json.RawMessage {
	b, err := o.MarshalJSON()
	if err != nil {
		return json.RawMessage("{}")
	}
	return b
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

// plainJSON is json.Marshal without the escapes meant for HTML pages.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
