package wire

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// MaxNesting is how deep arrays and objects of a body may nest.
const MaxNesting = 32

// maxUnknown bounds the faults for unknown keys, so that a small hostile body
// does not buy a large answer.
const maxUnknown = 100

// UserWrite is the decoded and checked body of an update or a create.
type UserWrite struct {
	// ConnectionID is the connection that receives the write.
	ConnectionID uuid.UUID
	// Changes holds at least one field for an update. What a create must hold is its
	// provider's to say.
	Changes operation.Changes
}

// DecodeOptions tune the decoder. The zero value is the lenient default.
type DecodeOptions struct {
	// Strict makes faults of unknown keys and of dialling prefixes that are not
	// written like +1. Otherwise unknown keys are ignored and not stored, and a
	// prefix passes as it is.
	Strict bool
}

// DecodeUserUpdate reads the body of an update request. The error is an
// *operation.Error: CodeBadRequest for what is not one well-formed JSON object
// or has nothing to update, CodeInvalid with every fault of the body otherwise.
// Safe for concurrent use; the body is not kept and not changed.
func DecodeUserUpdate(body []byte, opt DecodeOptions) (UserWrite, error) {
	return decodeUpdate(body, opt, nil)
}

func decodeUpdate(body []byte, opt DecodeOptions, element *BatchUpdate) (UserWrite, error) {
	in, ignored, err := decodeUser(body, opt, element)
	if err == nil && len(in.Changes) == 0 {
		return UserWrite{}, nothingToUpdate(ignored)
	}
	return in, err
}

// DecodeUserCreate reads the body of a create request: the same fields under the
// same rules as DecodeUserUpdate, but for none at all, which is no fault here.
func DecodeUserCreate(body []byte, opt DecodeOptions) (UserWrite, error) {
	in, _, err := decodeUser(body, opt, nil)
	return in, err
}

// decodeUser gives, too, some of the keys that it ignored.
func decodeUser(body []byte, opt DecodeOptions, element *BatchUpdate) (in UserWrite, ignored []string, err error) {
	if err := precheck(body); err != nil {
		return UserWrite{}, nil, err
	}
	dec, free := decoderOf(body)
	defer free()
	d := userDecoder{
		dec:    dec,
		strict: opt.Strict, element: element,
		out: UserWrite{Changes: make(operation.Changes, 8)},
	}
	if d.dec.PeekKind() != jsontext.KindBeginObject {
		// Not an object, or not JSON at all: reading tells which.
		if _, err := d.dec.ReadValue(); err != nil {
			return UserWrite{}, nil, syntaxError(err)
		}
		return UserWrite{}, nil, badRequest("the body is not a JSON object")
	}
	if err := d.object(); err != nil {
		return UserWrite{}, nil, syntaxError(err)
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return UserWrite{}, nil, badRequest("there is something after the JSON object")
	}
	in, err = d.finish()
	return in, d.ignored, err
}

// decoders are parsers at rest: the names of an object that a parser has room for cost
// more than the parsing.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// decoderOf gives a parser of the body, to be freed.
func decoderOf(body []byte) (dec *jsontext.Decoder, free func()) {
	dec, _ = decoders.Get().(*jsontext.Decoder)
	// Given a bytes.Buffer the decoder parses in place, without a copy.
	dec.Reset(bytes.NewBuffer(body))
	return dec, func() {
		dec.Reset(bytes.NewBuffer(nil)) // the body is not kept
		decoders.Put(dec)
	}
}

// userDecoder collects the changes and the faults of one body.
type userDecoder struct {
	dec    *jsontext.Decoder
	strict bool
	// element takes what only the elements of a batch have. Nil: this is none.
	element *BatchUpdate
	named   bool
	out     UserWrite
	faults  []operation.Fault
	// connection says that the key connection_id was there.
	connection bool
	// flat and nested are the two spellings of the HOS settings.
	flat, nested operation.Changes
	unknown      int
	// ignored are the first of the unknown keys, quoted, one more than are told.
	ignored []string
}

// object reads the top-level object. Its errors are syntax errors only.
func (d *userDecoder) object() error {
	return d.members(func(name []byte, value jsontext.Value) error {
		if string(name) == "connection_id" {
			d.connectionID(value)
			return nil
		}
		if string(name) == operation.HOSTracking {
			return d.hosTracking(value)
		}
		r, ok := rules[string(name)]
		if !ok && d.ofElement(string(name), value) {
			return nil
		}
		if !ok {
			d.unknownKey("body.", name, value)
			return nil
		}
		into := d.out.Changes
		if r.spec.Parent != "" {
			into = lazy(&d.flat)
		}
		d.field(r, r.path, value, into)
		return nil
	})
}

// members reads one object and hands over each member. The slices are valid
// during the call only.
func (d *userDecoder) members(each func(name []byte, value jsontext.Value) error) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	var buf [64]byte
	for d.dec.PeekKind() != jsontext.KindEndObject {
		raw, err := d.dec.ReadValue()
		if err != nil {
			return err
		}
		// The name is copied: reading the value may reuse its bytes.
		name, err := jsontext.AppendUnquote(buf[:0], raw)
		if err != nil {
			return err
		}
		value, err := d.dec.ReadValue()
		if err != nil {
			return err
		}
		if err := each(name, value); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *userDecoder) connectionID(value jsontext.Value) {
	d.connection = true
	d.out.ConnectionID = d.uuid("body.connection_id", value)
}

func (d *userDecoder) uuid(path string, value jsontext.Value) uuid.UUID {
	text, ok := unquote(value)
	if !ok {
		d.fault(path, value, "must be a UUID", typeUUID)
		return uuid.Nil
	}
	id, fault := ParseUUID(path, text)
	if fault != nil {
		d.faults = append(d.faults, *fault)
	}
	return id
}

// hosTracking reads the nested spelling. Null clears both settings.
func (d *userDecoder) hosTracking(value jsontext.Value) error {
	into := lazy(&d.nested)
	switch value.Kind() {
	case jsontext.KindNull:
		for _, r := range rules {
			if r.spec.Parent == operation.HOSTracking {
				into[r.spec.Name] = operation.Null()
			}
		}
		return nil
	case jsontext.KindBeginObject:
	default:
		d.fault("body.hos_tracking", value, "must be an object or null", "object_type")
		return nil
	}
	inner := userDecoder{dec: jsontext.NewDecoder(bytes.NewBuffer(value))}
	return inner.members(func(name []byte, value jsontext.Value) error {
		if r, ok := rules[string(name)]; ok && r.spec.Parent == operation.HOSTracking {
			d.field(r, r.inner, value, into)
		} else {
			d.unknownKey("body."+operation.HOSTracking+".", name, value)
		}
		return nil
	})
}

// field checks one value and puts it into the changes, or notes the fault.
func (d *userDecoder) field(r *rule, path string, value jsontext.Value, into operation.Changes) {
	v, message, kind := r.check(value, d.strict)
	if kind != "" {
		d.fault(path, value, message, kind)
		return
	}
	into[r.spec.Name] = v
}

func (d *userDecoder) unknownKey(prefix string, name []byte, value jsontext.Value) {
	if !d.strict {
		if len(d.ignored) <= maxIgnored {
			d.ignored = append(d.ignored, strconv.Quote(strings.TrimPrefix(prefix, "body.")+clip(string(name))))
		}
		return
	}
	if d.unknown++; d.unknown <= maxUnknown {
		d.fault(prefix+clip(string(name)), value, "no such field", "extra_forbidden")
	}
}

func (d *userDecoder) fault(path string, value jsontext.Value, message, kind string) {
	d.faults = append(d.faults, operation.Fault{Path: path, Input: inputOf(value), Message: message, Type: kind})
}

func lazy(c *operation.Changes) operation.Changes {
	if *c == nil {
		*c = make(operation.Changes, 2)
	}
	return *c
}
