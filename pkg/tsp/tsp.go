// Package tsp is the port to the telematics providers: what an adapter gets,
// what it gives back, and the table that says which fields it can write.
//
// An adapter translates and calls. It makes one logical write, classifies the
// outcome as an *operation.Failure and returns: it never sleeps, never retries,
// never logs and keeps no state between calls. Deadlines, retries, rate limits,
// metrics and redaction are the caller's.
package tsp

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Provider writes to one telematics provider. Implementations are safe for
// concurrent use.
type Provider interface {
	// Describe gives the provider's name, limits and field table. It is constant.
	Describe() Description
	// UpdateUser writes the changes to the user. A returned error is always an
	// *operation.Failure; the Result of a failed call is ignored.
	UpdateUser(ctx context.Context, conn Connection, user UserUpdate) (Result, error)
}

// Refresher is implemented by providers whose credential is short-lived: a
// session or an access token. The caller stores what it returns for all workers.
type Refresher interface {
	// Fresh reports whether the credentials can be used for a call at the time.
	Fresh(c Credentials, now time.Time) bool
	// Refresh obtains a new credential. The returned set replaces the old one as a
	// whole. A returned error is always an *operation.Failure: Retryable for a
	// fault of the way there, not for a refusal.
	Refresh(ctx context.Context, conn Connection) (Credentials, error)
}

// DraftCall is a write that a dry run would have sent.
type DraftCall struct {
	Method string
	// Path is the URL without scheme and host.
	Path string
	Body string
}

// Description is what a provider says about itself.
type Description struct {
	// Name is the contract's source_name, for example "samsara".
	Name string
	// Title is the provider's name as people write it, for example "Samsara".
	Title string
	// Access says in a few words what credential a connection has and how it is
	// renewed.
	Access string
	Limits Limits
	// Users is the field table of a user.
	Users Table
	// Create says what creating a user needs. Nil: the provider is no Creator.
	Create *CreateRules
}

// Limits are a provider's published limits for one connection. A zero field
// takes the default given with it.
type Limits struct {
	// InFlight bounds the concurrent calls. Default 8.
	InFlight int
	// PerSecond bounds the rate. Zero: not limited.
	PerSecond float64
	// Burst is how many calls may come at once within the rate. Default 1.
	Burst int
	// Call is the deadline of one attempt. Default 20 s; at most MaxCall.
	Call time.Duration
	// MaxAttempts bounds the attempts. Default operation.DefaultMaxAttempts.
	MaxAttempts int
	// Deadline bounds the life of an operation. Default operation.DefaultDeadline;
	// at most operation.MaxDeadline.
	Deadline time.Duration
}

// MaxCall bounds Limits.Call: the caller of a sync write waits for the attempt, and the
// API's server cuts off what has no answer after two minutes.
const MaxCall = 90 * time.Second

// WithDefaults fills the zero fields, and keeps the others to what is possible.
func (l Limits) WithDefaults() Limits {
	if l.InFlight <= 0 {
		l.InFlight = 8
	}
	if l.Burst <= 0 {
		l.Burst = 1
	}
	if l.Call <= 0 {
		l.Call = 20 * time.Second
	}
	l.Call = min(l.Call, MaxCall)
	if l.MaxAttempts <= 0 {
		l.MaxAttempts = operation.DefaultMaxAttempts
	}
	if l.Deadline <= 0 {
		l.Deadline = operation.DefaultDeadline
	}
	l.Deadline = min(l.Deadline, operation.MaxDeadline)
	return l
}

// Credentials are the secrets of one connection by the contract's names, for
// example "access_token" or "session_id". They print as a count, so that a log
// line cannot show them.
type Credentials map[string]string

// String hides the values.
func (c Credentials) String() string { return "[credentials redacted]" }

// GoString hides the values.
func (c Credentials) GoString() string { return c.String() }

// LogValue hides the values; slog prints its result.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Mark tells one set of a connection's credentials from another, for one that was refused.
// It is the same in every process, and its 32 bits say nothing of the secrets.
func (c Credentials) Mark() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(c)) {
		_, _ = fmt.Fprintf(h, "%q=%q\n", name, c[name])
	}
	return fmt.Sprintf("c%x", h.Sum(nil)[:4])
}

// Connection is one fleet at one provider.
type Connection struct {
	ID          uuid.UUID
	Credentials Credentials
	// Settings are per-connection switches that the adapter documents, for
	// example the key of an external id. Nil: all defaults.
	Settings map[string]string
}

// UserUpdate is one write to an existing user.
type UserUpdate struct {
	// OperationID may be sent along where the provider can store a reference.
	OperationID uuid.UUID
	// SourceID is the provider's id of the user.
	SourceID string
	Changes  operation.Changes
	// Repeat says that an earlier attempt of this operation may have reached the
	// provider, so that a step that must not run twice has to be looked up first.
	Repeat bool
}

// Result is a successful write.
type Result struct {
	StatusCode int
	// Header holds the allow-listed response headers.
	Header map[string]string
	// RetryAfter is how long the connection should wait although the call went
	// well, because the provider's rate headers say that the budget is used up.
	RetryAfter time.Duration
}
