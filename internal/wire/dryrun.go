package wire

import (
	"bytes"
	"encoding/json"

	"writeback/pkg/operation"
)

// DryRun is what a write would send to the provider.
type DryRun struct {
	// Requests is never nil.
	Requests []DryRunRequest `json:"requests"`
}

// DryRunRequest is one call that would change something at the provider.
type DryRunRequest struct {
	Method string `json:"method"`
	// Path is the URL without scheme and host.
	Path string `json:"path"`
	// Body is the call's own JSON, or a JSON string of any other text, or null.
	Body json.RawMessage `json:"body"`
}

// NewDryRunRequest makes a request of a call's parts. The body is any text.
func NewDryRunRequest(method, path, body string) DryRunRequest {
	r := DryRunRequest{Method: method, Path: path, Body: json.RawMessage("null")}
	var compact bytes.Buffer
	switch {
	case body == "":
	case json.Compact(&compact, []byte(body)) == nil:
		r.Body = compact.Bytes()
	default:
		r.Body = appendText(nil, body)
	}
	return r
}

// DryRunView is the answer to a dry run: an operation that is ended and not stored,
// with what it would send.
func DryRunView(op operation.Operation, requests []DryRunRequest) ResourceOperation {
	v := WriteView(op)
	v.DryRun = &DryRun{Requests: append([]DryRunRequest{}, requests...)}
	return v
}
