package wire

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// ResourceOperation is the answer to a write. The order of its fields is that of
// the contract's reference page. The zero value is of no use; see WriteView.
type ResourceOperation struct {
	PartnerID     uuid.UUID        `json:"partner_id"`
	ConnectionID  uuid.UUID        `json:"connection_id"`
	Resource      string           `json:"resource"`
	OperationType operation.Type   `json:"operation_type"`
	Payload       json.RawMessage  `json:"payload"`
	ID            uuid.UUID        `json:"id"`
	CreatedAt     time.Time        `json:"created_at"`
	UpdatedAt     time.Time        `json:"updated_at"`
	DeletedAt     *time.Time       `json:"deleted_at"`
	ResourceID    *uuid.UUID       `json:"resource_id"`
	SourceID      *string          `json:"source_id"`
	Status        operation.Status `json:"status"`
	Logs          []Log            `json:"logs"`

	// DryRun is ours and not the contract's: it is there after a dry run only.
	DryRun *DryRun `json:"dry_run,omitempty"`
}

// ResourceOperationRead is an operation as it is read, listed and sent in
// events. The zero value is of no use; see ReadView.
type ResourceOperationRead struct {
	ID            uuid.UUID        `json:"id"`
	CreatedAt     time.Time        `json:"created_at"`
	UpdatedAt     time.Time        `json:"updated_at"`
	PartnerID     uuid.UUID        `json:"partner_id"`
	ConnectionID  uuid.UUID        `json:"connection_id"`
	FleetRef      *string          `json:"fleet_ref"`
	SourceName    string           `json:"source_name"`
	Resource      string           `json:"resource"`
	ResourceID    *uuid.UUID       `json:"resource_id"`
	SourceID      *string          `json:"source_id"`
	OperationType operation.Type   `json:"operation_type"`
	Status        operation.Status `json:"status"`
	Payload       json.RawMessage  `json:"payload"`
	Logs          []Log            `json:"logs"`

	// What follows is ours and not the contract's. All but RetryOf are there only
	// while the operation is pending.

	// Waiting says why the operation is not being called just now.
	Waiting *Waiting `json:"waiting,omitempty"`
	// Attempt counts the attempts so far.
	Attempt *int `json:"attempt,omitempty"`
	// MaxAttempts is after how many attempts the operation fails.
	MaxAttempts *int `json:"max_attempts,omitempty"`
	// NextAttemptAt is when the next attempt may start, if that is known.
	NextAttemptAt *time.Time `json:"next_attempt_at,omitempty"`
	// ExpiresAt is when the operation fails if it is still pending.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// CancelRequested is set while a cancel awaits the end of a call.
	CancelRequested bool `json:"cancel_requested,omitempty"`
	// RetryOf names the failed operation that this one repeats.
	RetryOf *uuid.UUID `json:"retry_of,omitempty"`
}

// Waiting is why a pending operation waits.
type Waiting struct {
	Reason operation.WaitReason `json:"reason"`
	// Behind is the earlier operation of the same user that has to end first.
	Behind *uuid.UUID `json:"behind,omitempty"`
	// Until is when the wait ends, if that is known.
	Until *time.Time `json:"until,omitempty"`
}

// Log is one row of the attempt log.
type Log struct {
	ID                  uuid.UUID               `json:"id"`
	CreatedAt           time.Time               `json:"created_at"`
	UpdatedAt           time.Time               `json:"updated_at"`
	ResourceOperationID uuid.UUID               `json:"resource_operation_id"`
	Status              operation.AttemptStatus `json:"status"`
	ErrorType           *operation.ErrorType    `json:"error_type"`
	ErrorDetails        *string                 `json:"error_details"`
	ResponseStatusCode  *int                    `json:"response_status_code"`
	ResponseHeaders     map[string]string       `json:"response_headers"`

	// UnappliedFields is ours and not the contract's: fields that the provider
	// accepted but did not take.
	UnappliedFields []operation.Field `json:"unapplied_fields,omitempty"`
	// TraceID is ours and not the contract's: the trace that the call was part of.
	TraceID string `json:"trace_id,omitempty"`
}

// WriteView is the answer to a write.
func WriteView(op operation.Operation) ResourceOperation {
	return ResourceOperation{
		PartnerID:     op.PartnerID,
		ConnectionID:  op.ConnectionID,
		Resource:      op.Resource,
		OperationType: op.Type,
		Payload:       Payload(op.Changes),
		ID:            op.ID,
		CreatedAt:     Stamp(op.CreatedAt()),
		UpdatedAt:     updatedAt(op),
		ResourceID:    unlessZero(op.ResourceID),
		SourceID:      unlessZero(op.SourceID),
		Status:        op.Status,
		Logs:          logs(op),
	}
}

// ReadView is an operation as it is read, listed and sent in events.
func ReadView(op operation.Operation) ResourceOperationRead {
	v := ResourceOperationRead{
		ID:            op.ID,
		CreatedAt:     Stamp(op.CreatedAt()),
		UpdatedAt:     updatedAt(op),
		PartnerID:     op.PartnerID,
		ConnectionID:  op.ConnectionID,
		FleetRef:      unlessZero(op.FleetRef),
		SourceName:    op.Provider,
		Resource:      op.Resource,
		ResourceID:    unlessZero(op.ResourceID),
		SourceID:      unlessZero(op.SourceID),
		OperationType: op.Type,
		Status:        op.Status,
		Payload:       Payload(op.Changes),
		Logs:          logs(op),
		RetryOf:       op.RetryOf,
	}
	if op.Status == operation.Pending {
		v.addProgress(op)
	}
	return v
}

// CancelView is the answer to a cancel: a read view. An operation that is still
// pending ends after the call under way, as failed unless that call succeeds.
func CancelView(op operation.Operation) ResourceOperationRead {
	v := ReadView(op)
	v.CancelRequested = op.Status == operation.Pending
	return v
}

func (v *ResourceOperationRead) addProgress(op operation.Operation) {
	most := op.MaxAttempts
	switch {
	case op.Sync:
		most = 1
	case most <= 0:
		most = operation.DefaultMaxAttempts
	}
	v.Attempt, v.MaxAttempts = &op.Attempted, &most
	v.CancelRequested = op.CancelRequested
	v.ExpiresAt = stampUnlessZero(op.Deadline)
	v.NextAttemptAt = stampUnlessZero(op.Wait.Until)
	if op.Wait.Reason != "" {
		v.Waiting = &Waiting{
			Reason: op.Wait.Reason,
			Behind: unlessZero(op.Wait.Behind),
			Until:  stampUnlessZero(op.Wait.Until),
		}
	}
}

// LogEntry is one attempt of the operation as a row of its log.
func LogEntry(operationID uuid.UUID, a operation.Attempt) Log {
	ended := a.EndedAt
	if ended.IsZero() {
		ended = a.StartedAt
	}
	l := Log{
		ID:                  a.ID,
		CreatedAt:           Stamp(a.StartedAt),
		UpdatedAt:           Stamp(ended),
		ResourceOperationID: operationID,
		Status:              a.Status,
		ErrorType:           unlessZero(a.ErrorType),
		ErrorDetails:        unlessZero(a.Detail),
		ResponseStatusCode:  unlessZero(a.StatusCode),
		UnappliedFields:     a.Unapplied,
		TraceID:             a.TraceID,
	}
	if len(a.Header) > 0 {
		l.ResponseHeaders = a.Header
	}
	return l
}

// logs is never nil: an operation without attempts has an empty log.
func logs(op operation.Operation) []Log {
	out := make([]Log, 0, len(op.Attempts))
	for _, a := range op.Attempts {
		out = append(out, LogEntry(op.ID, a))
	}
	return out
}

// Stamp is how a time goes over the wire: UTC, microseconds at most.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func stampUnlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = Stamp(t)
	return &t
}

func updatedAt(op operation.Operation) time.Time {
	if op.UpdatedAt.IsZero() {
		return Stamp(op.CreatedAt())
	}
	return Stamp(op.UpdatedAt)
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
