package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// MaxBatch is how many elements a batch of updates may have.
const MaxBatch = 1000

// Media types of a batch: an array, or one object a line. The answer has the type of
// the request.
const (
	MediaJSON  = "application/json"
	MediaLines = "application/x-ndjson"
)

// BatchUpdate is one decoded and checked element of a batch of updates.
type BatchUpdate struct {
	UserID uuid.UUID
	// Key is the element's own idempotency key. Empty: it has none.
	Key string
	UserWrite
}

// SplitBatch cuts the body of a batch into its elements, which are slices of it; what
// they are is not looked at. Blank lines are no elements. The error is an
// *operation.Error: CodeBadRequest for a body without elements or that is no JSON
// array, CodeInvalid for one with more than MaxBatch. Safe for concurrent use.
func SplitBatch(body []byte, media string) (elements [][]byte, err error) {
	if media == MediaLines {
		elements, err = splitLines(body)
	} else {
		elements, err = splitArray(body)
	}
	switch {
	case err != nil:
		return nil, err
	case len(elements) == 0:
		return nil, badRequest("the batch has no element")
	}
	return elements, nil
}

func splitLines(body []byte) (elements [][]byte, err error) {
	for line := range bytes.Lines(body) {
		if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
			continue
		}
		if elements = append(elements, line); len(elements) > MaxBatch {
			return nil, tooMany()
		}
	}
	return elements, nil
}

func splitArray(body []byte) (elements [][]byte, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, badRequest("the body is empty")
	}
	// What is wrong inside of an element is that element's fault alone.
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != jsontext.KindBeginArray {
		if _, err := dec.ReadValue(); err != nil {
			return nil, syntaxError(err)
		}
		return nil, badRequest("the body is not a JSON array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	for dec.PeekKind() != jsontext.KindEndArray {
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(err)
		}
		end := int(dec.InputOffset())
		if elements = append(elements, body[end-len(value):end]); len(elements) > MaxBatch {
			return nil, tooMany()
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, badRequest("there is something after the JSON array")
	}
	return elements, nil
}

func tooMany() error {
	return invalid([]operation.Fault{{
		Path: "body", Message: fmt.Sprintf("has more than %d elements", MaxBatch), Type: "too_long",
	}})
}

// DecodeBatchUpdate reads one element of a batch: the body of an update, with user_id
// and possibly idempotency_key beside it. The error is that of DecodeUserUpdate. Safe
// for concurrent use; the element is not kept and not changed.
func DecodeBatchUpdate(element []byte, opt DecodeOptions) (BatchUpdate, error) {
	var out BatchUpdate
	in, err := decodeUpdate(element, opt, &out)
	if err != nil {
		return BatchUpdate{}, err
	}
	out.UserWrite = in
	return out, nil
}

// ofElement reads the keys that only the elements of a batch have, and says whether
// this is one.
func (d *userDecoder) ofElement(name string, value jsontext.Value) bool {
	if d.element == nil {
		return false
	}
	switch name {
	case "user_id":
		d.named = true
		d.element.UserID = d.uuid("body.user_id", value)
	case "idempotency_key":
		d.elementKey(value)
	case "is_sync", "dry_run":
		if value.Kind() != jsontext.KindFalse {
			d.fault("body."+name, value, "is not possible in a batch", "extra_forbidden")
		}
	default:
		return false
	}
	return true
}

// elementKey reads an idempotency key. Null is none.
func (d *userDecoder) elementKey(value jsontext.Value) {
	if value.Kind() == jsontext.KindNull {
		return
	}
	key, ok := unquote(value)
	if !ok || !ValidKey(key) {
		d.fault("body.idempotency_key", value, fmt.Sprintf("must have 1 to %d visible ASCII characters", MaxIdempotencyKey), "string_pattern_mismatch")
		return
	}
	d.element.Key = key
}

// ValidKey reports whether a text can be an idempotency key.
func ValidKey(key string) bool {
	for _, c := range []byte(key) {
		if c < '!' || c > '~' {
			return false
		}
	}
	return key != "" && len(key) <= MaxIdempotencyKey
}

// BatchResult is the answer about one element of a batch.
type BatchResult struct {
	// Index is the place of the element in the request, from 0.
	Index int `json:"index"`
	// Status is what a request for the element alone would be answered with.
	Status int `json:"status"`
	// Operation is nil for a refused element.
	Operation *ResourceOperationRead `json:"operation,omitempty"`
	// Replayed says that the operation is that of an earlier element or request under
	// the same idempotency key, in its present state.
	Replayed bool `json:"replayed,omitempty"`
	// Error is the body of the refusal. Nil: the element is accepted.
	Error any `json:"error,omitempty"`
	// RetryAfterSeconds is on a refusal for now.
	RetryAfterSeconds int `json:"retry_after_seconds,omitempty"`
}

// BatchAnswer is the answer to a batch that came as an array.
type BatchAnswer struct {
	Items []BatchResult `json:"items"`
}

// BatchAccepted is the answer about an accepted element.
func BatchAccepted(index int, op operation.Operation, replayed bool) BatchResult {
	view := ReadView(op)
	return BatchResult{Index: index, Status: http.StatusAccepted, Operation: &view, Replayed: replayed}
}

// BatchRefused is the answer about a refused element.
func BatchRefused(index, status int, e *operation.Error) BatchResult {
	r := BatchResult{Index: index, Status: status, Error: ErrorBody(status, e)}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		r.RetryAfterSeconds = RetryAfterSeconds(e.RetryAfter)
	}
	return r
}
