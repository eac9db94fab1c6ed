package wire

import (
	"encoding/json"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"writeback/pkg/operation"
)

// Payload is the canonical JSON object of the changes: in the contract's order,
// the hours-of-service settings nested, nulls kept, no connection_id. It is the
// same for every spelling of the same changes.
func Payload(c operation.Changes) json.RawMessage {
	out := append(make([]byte, 0, 256), '{')
	parent, left := "", len(c)
	// The children of a parent stand together in the table; see the test.
	for i := range operation.UserFields {
		if left == 0 {
			break
		}
		spec := &operation.UserFields[i]
		v, ok := c[spec.Name]
		if !ok {
			continue
		}
		left--
		if parent != spec.Parent {
			if parent != "" {
				out = append(out, '}')
			}
			if spec.Parent != "" {
				out = append(appendName(out, spec.Parent), '{')
			}
			parent = spec.Parent
		}
		out = appendValue(appendName(out, string(spec.Name)), v)
	}
	if parent != "" {
		out = append(out, '}')
	}
	return append(out, '}')
}

func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendText(b, name), ':')
}

func appendValue(b []byte, v operation.Value) []byte {
	if text := v.Text(); text != "" {
		return appendText(b, text)
	}
	switch x := v.Any().(type) {
	case string:
		return appendText(b, x)
	case bool:
		return strconv.AppendBool(b, x)
	default:
		return append(b, "null"...)
	}
}

// appendText quotes a text. Invalid UTF-8, which no decoder here lets in, turns
// into replacement characters.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
