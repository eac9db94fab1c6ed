package operation

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Value is one field's new value: a string, a boolean, or an explicit null
// ("clear it"). The zero Value is null.
type Value struct {
	kind valueKind
	text string
	flag bool
}

type valueKind uint8

const (
	kindNull valueKind = iota
	kindText
	kindFlag
)

// Null is an explicit null.
func Null() Value { return Value{} }

// Text is a string value. Dates and enum members are texts too.
func Text(s string) Value { return Value{kind: kindText, text: s} }

// Flag is a boolean value.
func Flag(b bool) Value { return Value{kind: kindFlag, flag: b} }

// IsNull reports whether v is an explicit null.
func (v Value) IsNull() bool { return v.kind == kindNull }

// Text gives the string of v, or "" if v is not a text.
func (v Value) Text() string { return v.text }

// Flag gives the boolean of v, or false if v is not a flag.
func (v Value) Flag() bool { return v.flag }

// Any gives v as nil, string or bool.
func (v Value) Any() any {
	switch v.kind {
	case kindText:
		return v.text
	case kindFlag:
		return v.flag
	default:
		return nil
	}
}

// MarshalJSON writes null, a string or a boolean.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.Any()) }

// UnmarshalJSON reads null, a string or a boolean and refuses the rest.
func (v *Value) UnmarshalJSON(b []byte) error {
	var x any
	if err := json.Unmarshal(b, &x); err != nil {
		return err
	}
	switch x := x.(type) {
	case nil:
		*v = Null()
	case string:
		*v = Text(x)
	case bool:
		*v = Flag(x)
	default:
		return fmt.Errorf("operation: a field value is null, a string or a boolean, not %T", x)
	}
	return nil
}

// Changes are the fields of one write. A field that is not in the map stays as
// it is; a null value clears it. The map is flat, also where the wire nests.
type Changes map[Field]Value

// Get gives a field's value and whether the field is to be written at all.
func (c Changes) Get(f Field) (Value, bool) {
	v, ok := c[f]
	return v, ok
}

// Has reports whether the field is to be written.
func (c Changes) Has(f Field) bool { _, ok := c[f]; return ok }

// Fields lists the fields to be written, in the contract's order.
func (c Changes) Fields() []Field {
	out := make([]Field, 0, len(c))
	for _, spec := range UserFields {
		if c.Has(spec.Name) {
			out = append(out, spec.Name)
		}
	}
	return slices.Clip(out)
}
