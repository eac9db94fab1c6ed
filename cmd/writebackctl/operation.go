package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// operationView is an operation as it is printed: no credentials, no idempotency
// key, and the values only if asked.
type operationView struct {
	ID         uuid.UUID         `json:"id"`
	Connection uuid.UUID         `json:"connection_id"`
	Partner    uuid.UUID         `json:"partner_id"`
	Provider   string            `json:"provider"`
	Resource   string            `json:"resource"`
	ResourceID uuid.UUID         `json:"resource_id"`
	SourceID   string            `json:"source_id"`
	Type       operation.Type    `json:"type"`
	Sync       bool              `json:"is_sync"`
	RetryOf    *uuid.UUID        `json:"retry_of"`
	Trace      string            `json:"traceparent"`
	Status     operation.Status  `json:"status"`
	Seq        int64             `json:"seq"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
	Deadline   time.Time         `json:"deadline"`
	Attempted  int               `json:"attempted"`
	Waits      string            `json:"waits"`
	WaitsUntil *time.Time        `json:"waits_until"`
	Behind     *uuid.UUID        `json:"waits_behind"`
	Fields     []operation.Field `json:"fields"`
	Payload    operation.Changes `json:"payload,omitempty"`
	Attempts   []attemptView     `json:"attempts"`
}

type attemptView struct {
	ID        uuid.UUID               `json:"id"`
	StartedAt time.Time               `json:"started_at"`
	EndedAt   time.Time               `json:"ended_at"`
	Status    operation.AttemptStatus `json:"status"`
	ErrorType operation.ErrorType     `json:"error_type"`
	Code      int                     `json:"status_code"`
	Unknown   bool                    `json:"outcome_unknown"`
	Detail    string                  `json:"detail"`
}

func viewOperation(op operation.Operation, payload bool) operationView {
	v := operationView{
		ID: op.ID, Connection: op.ConnectionID, Partner: op.PartnerID, Provider: op.Provider, Resource: op.Resource,
		ResourceID: op.ResourceID, SourceID: op.SourceID, Type: op.Type, Sync: op.Sync, RetryOf: op.RetryOf,
		Trace: op.TraceParent, Status: op.Status, Seq: op.Seq, CreatedAt: op.CreatedAt(), UpdatedAt: op.UpdatedAt,
		Deadline: op.Deadline, Attempted: op.Attempted, Waits: string(op.Wait.Reason), WaitsUntil: stamp(op.Wait.Until),
		Fields: slices.Sorted(maps.Keys(op.Changes)), Attempts: []attemptView{},
	}
	if op.Wait.Behind != uuid.Nil {
		v.Behind = &op.Wait.Behind
	}
	if payload {
		v.Payload = op.Changes
	}
	for _, a := range op.Attempts {
		v.Attempts = append(v.Attempts, attemptView{
			ID: a.ID, StartedAt: a.StartedAt, EndedAt: a.EndedAt, Status: a.Status, ErrorType: a.ErrorType,
			Code: a.StatusCode, Unknown: a.Unknown, Detail: a.Detail,
		})
	}
	return v
}

func operationShow(ctx context.Context, c *ctl, args []string) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	operationID, err := id("operation_id", args[1])
	if err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	op, err := store.Get(ctx, connection, operationID)
	if err != nil {
		return explain(ctx, err)
	}
	v := viewOperation(op, c.payload)
	return c.print(v, func(w io.Writer) { writeOperation(w, v) })
}

func writeOperation(w io.Writer, v operationView) {
	row(w, "operation", v.ID)
	row(w, "status", v.Status)
	row(w, "connection", v.Connection)
	row(w, "partner", v.Partner)
	row(w, "provider", v.Provider)
	row(w, "writes", fmt.Sprintf("%s %s %s (source id %q)", v.Type, v.Resource, v.ResourceID, v.SourceID))
	row(w, "sync", yes(v.Sync))
	if v.RetryOf != nil {
		row(w, "retry of", *v.RetryOf)
	}
	row(w, "created", when(v.CreatedAt))
	row(w, "updated", when(v.UpdatedAt))
	row(w, "deadline", when(v.Deadline))
	row(w, "trace", v.Trace)
	row(w, "fields", v.Fields)
	for _, field := range slices.Sorted(maps.Keys(v.Payload)) {
		row(w, "  "+string(field), fmt.Sprintf("%q", v.Payload[field].Text()))
	}
	if v.Waits != "" {
		wait := v.Waits
		if v.WaitsUntil != nil {
			wait += " until " + when(*v.WaitsUntil)
		}
		if v.Behind != nil {
			wait += " " + v.Behind.String()
		}
		row(w, "waits", wait)
	}
	for i, a := range v.Attempts {
		text := fmt.Sprintf("%s to %s %s", when(a.StartedAt), when(a.EndedAt), a.Status)
		if a.ErrorType != "" {
			text += " " + string(a.ErrorType)
		}
		if a.Code != 0 {
			text += fmt.Sprintf(" %d", a.Code)
		}
		row(w, fmt.Sprintf("attempt %d", i+1), text)
		if a.Detail != "" {
			row(w, "", a.Detail)
		}
	}
}
