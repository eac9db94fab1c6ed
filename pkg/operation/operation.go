// Package operation is Writeback's domain: what an operation is, what may
// happen to it, and what is decided after each attempt.
//
// It holds values and rules only. It does no I/O, knows no transport and no
// partner-facing JSON; the JSON tags here are the internal form that the
// accepted message and the Redis record share.
package operation

import (
	"time"

	"github.com/google/uuid"
)

// Version is the version of the internal form written today. Readers accept
// Version and Version-1.
const Version = 1

// Status is where an operation stands. A terminal status never changes.
type Status string

// The published statuses. There is no running or cancelled status: an
// operation is pending until it has succeeded or failed.
const (
	Pending   Status = "pending"
	Succeeded Status = "success"
	Failed    Status = "failed"
)

// Terminal reports whether s is final.
func (s Status) Terminal() bool { return s == Succeeded || s == Failed }

// Valid reports whether s is one of the published statuses.
func (s Status) Valid() bool { return s == Pending || s.Terminal() }

// Type says what an operation does to its resource.
type Type string

// The published operation types.
const (
	Create Type = "create"
	Update Type = "update"
)

// Valid reports whether t is one of the published types.
func (t Type) Valid() bool { return t == Create || t == Update }

// ResourceUser is the resource that a user operation writes.
const ResourceUser = "user"

// Accepted is the part of an operation that is fixed when it is accepted. It is
// what the accepted message carries and what a lost record is rebuilt from.
type Accepted struct {
	// Version of this form; see the constant Version.
	Version int `json:"v"`
	// ID is a UUIDv7 chosen by the api. Accepting the same id twice is one accept.
	ID           uuid.UUID `json:"id"`
	PartnerID    uuid.UUID `json:"partner_id"`
	ConnectionID uuid.UUID `json:"connection_id"`
	// FleetRef is the partner's own name of the fleet. Empty: none.
	FleetRef string `json:"fleet_ref,omitempty"`
	// Provider is the contract's source_name, for example "samsara".
	Provider string `json:"provider"`
	Resource string `json:"resource"`
	// ResourceID is the Catena id of the user. Nil for a create not yet done.
	ResourceID uuid.UUID `json:"resource_id"`
	// SourceID is the provider's id of the user. Empty for a create not yet done.
	SourceID string `json:"source_id,omitempty"`
	Type     Type   `json:"type"`
	// Changes are the fields to write, each null or a value; absent means leave.
	Changes Changes `json:"changes"`
	// Sync marks an operation that is attempted once, inside its request.
	Sync bool `json:"sync,omitempty"`
	// MaxAttempts bounds the attempts; zero means DefaultMaxAttempts.
	MaxAttempts int `json:"max_attempts,omitempty"`
	// RetryOf names the failed operation that this one repeats. Nil: none.
	RetryOf *uuid.UUID `json:"retry_of,omitempty"`
	// Origin names the first of the creates that this one retries. Any of them may have
	// made the user, so all carry its id to the provider, and run one after the other.
	// Nil: this is no retry of a create.
	Origin *uuid.UUID `json:"origin,omitempty"`
	// Key is the idempotency key it was accepted under. Nil: none.
	Key *Key `json:"key,omitempty"`
	// TraceParent and TraceState carry the W3C context of the request, so that
	// attempts of hours later still belong to its trace.
	TraceParent string `json:"traceparent,omitempty"`
	TraceState  string `json:"tracestate,omitempty"`
}

// Known reports whether this program knows all of what the operation asks for. A newer one
// may have accepted more, beside which a call of this one would be another write.
func (a Accepted) Known() bool {
	for f := range a.Changes { // each attempt asks: nothing is allocated
		if _, known := specs[f]; !known {
			return false
		}
	}
	return a.Version <= Version && a.Resource == ResourceUser && a.Type.Valid()
}

// Reference is the id by which a provider is told of a create: the same for the first
// and for all retries of it.
func (a Accepted) Reference() uuid.UUID {
	if a.Origin != nil {
		return *a.Origin
	}
	return a.ID
}

// Key is a hashed idempotency key with what it was used for. The clear key is
// never stored.
type Key struct {
	// Scope is a hash over partner, method, path and key.
	Scope string `json:"scope"`
	// Fingerprint is a hash over the query and body that the key stands for.
	Fingerprint string `json:"fingerprint"`
}

// Place is what accepting gave the operation: its place and its limits.
type Place struct {
	// Seq orders the operations of one user. It is the accept time in
	// microseconds of Redis's clock, raised where it would not be above the newest of the shard.
	Seq int64 `json:"seq"`
	// Deadline is when a pending operation ends as failed.
	Deadline time.Time `json:"deadline"`
}

// CreatedAt is the accept time; see Seq.
func (p Place) CreatedAt() time.Time { return time.UnixMicro(p.Seq).UTC() }

// Operation is an accepted write and its life so far.
type Operation struct {
	Accepted
	Place
	UpdatedAt time.Time `json:"updated_at"`
	Status    Status    `json:"status"`
	// Attempts are the log rows, oldest first.
	Attempts []Attempt `json:"attempts"`
	// Attempted counts the calls made or lost; rows that explain an end without
	// a call (deadline, cancel) are not counted.
	Attempted int `json:"attempted"`
	// Wait says why a pending operation is not being called. Zero: it is in
	// flight, or about to be, or ended.
	Wait Wait `json:"-"`
	// CancelRequested says that a pending operation was cancelled while a call of it
	// was under way; the call's end decides.
	CancelRequested bool `json:"-"`
}

// WaitReason is why a pending operation waits.
type WaitReason string

// The reasons, in the order in which they are reported.
const (
	WaitRetry           WaitReason = "retry"
	WaitBehind          WaitReason = "behind"
	WaitRateLimited     WaitReason = "rate_limited"
	WaitProviderBackoff WaitReason = "provider_backoff"
	WaitBreakerOpen     WaitReason = "breaker_open"
	WaitPaused          WaitReason = "paused"
)

// Wait is the reason with what is known about its end.
type Wait struct {
	Reason WaitReason
	// Behind is the earlier operation of the same user, for WaitBehind.
	Behind uuid.UUID
	// Until is when the next attempt may start. Zero: not known.
	Until time.Time
}

// AttemptStatus is how one call to the provider ended.
type AttemptStatus string

// The published outcomes of one attempt.
const (
	AttemptSucceeded AttemptStatus = "success"
	AttemptFailed    AttemptStatus = "failed"
)

// Attempt is one row of the attempt log. Its id is the fence of the call: it is
// chosen before the call and recording under it twice is recording once.
type Attempt struct {
	ID          uuid.UUID     `json:"id"`
	OperationID uuid.UUID     `json:"operation_id"`
	StartedAt   time.Time     `json:"started_at"`
	EndedAt     time.Time     `json:"ended_at"`
	Status      AttemptStatus `json:"status"`
	// ErrorType is empty for a success.
	ErrorType ErrorType `json:"error_type,omitempty"`
	// Detail is a sentence for the partner. It never holds a credential.
	Detail string `json:"detail,omitempty"`
	// StatusCode is the provider's HTTP status. Zero: no answer.
	StatusCode int `json:"status_code,omitempty"`
	// Header holds the allow-listed response headers.
	Header map[string]string `json:"header,omitempty"`
	// Unknown marks the row of a call whose outcome nobody recorded in time. A
	// late result completes it.
	Unknown bool `json:"unknown,omitempty"`
	// Unapplied are fields that the provider accepted but did not take, found by
	// reading back. Nil: none, or it was not read back.
	Unapplied []Field `json:"unapplied,omitempty"`
	// TraceID is the W3C trace that the call was part of. Empty: none is known.
	TraceID string `json:"trace_id,omitempty"`
}
