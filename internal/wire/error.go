package wire

import (
	"net/http"
	"time"

	"writeback/pkg/operation"
)

// SimpleError is the body of most refusals.
type SimpleError struct {
	Code    int     `json:"code"`
	Message string  `json:"message"`
	Detail  *string `json:"detail"`
}

// ValidationError is the body of a 422.
type ValidationError struct {
	Code    int           `json:"code"`
	Message string        `json:"message"`
	Detail  []FaultDetail `json:"detail"`
}

// FaultDetail is one thing that is wrong with the input.
type FaultDetail struct {
	Path      string `json:"path"`
	Input     string `json:"input"`
	Message   string `json:"message"`
	ErrorType string `json:"error_type"`
}

// RetryError is the body of a 429.
type RetryError struct {
	Code    int         `json:"code"`
	Message string      `json:"message"`
	Detail  RetryDetail `json:"detail"`
}

// RetryDetail says when the caller may come back.
type RetryDetail struct {
	RetryAfterSeconds int    `json:"retry_after_seconds"`
	Message           string `json:"message"`
}

// InternalError is the body of a 500. It tells nothing.
type InternalError struct {
	Message string `json:"message"`
}

// StatusOf is the HTTP status of a class of error. An unknown class is 500.
func StatusOf(code operation.Code) int {
	switch code {
	case operation.CodeInvalid:
		return http.StatusUnprocessableEntity
	case operation.CodeBadRequest:
		return http.StatusBadRequest
	case operation.CodeUnauthorized:
		return http.StatusUnauthorized
	case operation.CodeForbidden:
		return http.StatusForbidden
	case operation.CodeNotFound:
		return http.StatusNotFound
	case operation.CodeConflict:
		return http.StatusConflict
	case operation.CodeNotImplemented:
		return http.StatusNotImplemented
	case operation.CodeRateLimited:
		return http.StatusTooManyRequests
	case operation.CodeUnavailable:
		return http.StatusServiceUnavailable
	case operation.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// ErrorBody is the body of a refusal with this status, with all the fields of
// its shape. A nil error gives the shape with its defaults. A 500 says nothing
// of its error.
func ErrorBody(status int, e *operation.Error) any {
	if e == nil {
		e = &operation.Error{}
	}
	switch status {
	case http.StatusInternalServerError:
		return InternalError{Message: http.StatusText(status)}
	case http.StatusUnprocessableEntity:
		return ValidationError{Code: status, Message: "Invalid Request Body", Detail: faultDetails(e.Faults)}
	case http.StatusTooManyRequests:
		message := e.Message
		if message == "" {
			message = "Too many requests; come back later."
		}
		return RetryError{Code: status, Message: http.StatusText(status), Detail: RetryDetail{
			RetryAfterSeconds: RetryAfterSeconds(e.RetryAfter),
			Message:           message,
		}}
	}
	return SimpleError{Code: status, Message: http.StatusText(status), Detail: unlessZero(e.Message)}
}

// RetryAfterSeconds is a wait in whole seconds, rounded up, at least one: what
// the 429 body and the Retry-After header say.
func RetryAfterSeconds(d time.Duration) int {
	return max(1, int((d+time.Second-1)/time.Second))
}

// faultDetails is nil for no faults, which is null on the wire.
func faultDetails(faults []operation.Fault) []FaultDetail {
	var out []FaultDetail
	for _, f := range faults {
		out = append(out, FaultDetail{Path: f.Path, Input: clip(f.Input), Message: f.Message, ErrorType: f.Type})
	}
	return out
}

func badRequest(message string) *operation.Error {
	return &operation.Error{Code: operation.CodeBadRequest, Message: message}
}

func invalid(faults []operation.Fault) *operation.Error {
	return &operation.Error{Code: operation.CodeInvalid, Message: "the request has faults", Faults: faults}
}
