package operation

import (
	"fmt"
	"time"
)

// ErrorType is the published category of a failed attempt.
type ErrorType string

// The published categories.
const (
	ErrorAuth       ErrorType = "auth"
	ErrorValidation ErrorType = "validation"
	ErrorNetwork    ErrorType = "network"
	ErrorTSP        ErrorType = "tsp"
)

// Valid reports whether t is one of the published categories.
func (t ErrorType) Valid() bool {
	switch t {
	case ErrorAuth, ErrorValidation, ErrorNetwork, ErrorTSP:
		return true
	}
	return false
}

// Failure is why one attempt did not succeed. An adapter classifies and returns
// it; it never sleeps and never retries. One value carries the class and whether
// a retry can help, so that the two cannot disagree.
type Failure struct {
	Type ErrorType
	// Retryable says that the same call may succeed later.
	Retryable bool
	// Refresh says that the credential was refused: with a fresh one the call may
	// be tried again at once, one time.
	Refresh bool
	// RetryAfter is how long the provider asked the connection to wait. Zero: it
	// gave no hint.
	RetryAfter time.Duration
	// StatusCode is the provider's HTTP status. Zero: there was no answer.
	StatusCode int
	// Header holds the allow-listed response headers.
	Header map[string]string
	// Detail is a sentence for the partner; no credential, no raw page.
	Detail string
	// Err is the cause, for our own logs only.
	Err error
}

// Error gives the category and the detail.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Type, f.Detail) }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Refuse is the failure of a request that the provider cannot take as it is.
func Refuse(format string, args ...any) *Failure {
	return &Failure{Type: ErrorValidation, Detail: fmt.Sprintf(format, args...)}
}
