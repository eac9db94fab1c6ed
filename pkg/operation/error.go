package operation

import (
	"time"

	"github.com/google/uuid"
)

// Code is the class of a caller's error. Only the HTTP edge turns it into a
// status and a body.
type Code string

// The classes.
const (
	CodeInvalid        Code = "invalid"
	CodeBadRequest     Code = "bad_request"
	CodeUnauthorized   Code = "unauthorized"
	CodeForbidden      Code = "forbidden"
	CodeNotFound       Code = "not_found"
	CodeConflict       Code = "conflict"
	CodeNotImplemented Code = "not_implemented"
	CodeRateLimited    Code = "rate_limited"
	CodeUnavailable    Code = "unavailable"
	CodeInternal       Code = "internal"
)

// Error is a refusal of a caller's request.
type Error struct {
	Code Code
	// Message is a sentence for the caller.
	Message string
	// Faults lists what is wrong with the input, for CodeInvalid.
	Faults []Fault
	// RetryAfter is when the caller may come back, for CodeRateLimited and
	// CodeUnavailable.
	RetryAfter time.Duration
	// Operation may have been accepted or called all the same: reading it tells. Nil: there
	// is none.
	Operation uuid.UUID
	// Err is the cause, for our own logs only.
	Err error
}

// Fault is one thing that is wrong with the input.
type Fault struct {
	// Path is dotted and starts with "body.", "query.", "path." or "header.".
	Path string
	// Input is the offending value as a string.
	Input string
	// Message names the rule.
	Message string
	// Type is a stable slug, for example "uuid_parsing".
	Type string
}

// Error gives the class and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
