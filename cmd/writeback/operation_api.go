package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/internal/wire"
)

// apiOperations goes through the partner API, for the token's partner.
type apiOperations struct{ api *partnerAPI }

const operationsPath = "/v2/integrations/connections/resource-operations"

func operationPath(connection, id uuid.UUID) string {
	return "/v2/integrations/connections/" + connection.String() + "/resource-operations/" + id.String()
}

func viewRead(op wire.ResourceOperationRead) operationView {
	v := operationView{
		ID: op.ID, Connection: op.ConnectionID, Partner: op.PartnerID, Provider: op.SourceName, Resource: op.Resource,
		Type: op.OperationType, RetryOf: op.RetryOf, Status: op.Status, CreatedAt: op.CreatedAt, UpdatedAt: op.UpdatedAt,
		Deadline: op.ExpiresAt, Cancelling: op.CancelRequested, Attempts: []attemptView{},
	}
	if op.ResourceID != nil {
		v.ResourceID = *op.ResourceID
	}
	if op.SourceID != nil {
		v.SourceID = *op.SourceID
	}
	if w := op.Waiting; w != nil {
		v.Waits, v.WaitsUntil, v.Behind = string(w.Reason), w.Until, w.Behind
	}
	_ = json.Unmarshal(op.Payload, &v.Payload) // a payload that is no object shows as none
	for _, l := range op.Logs {
		a := attemptView{ID: l.ID, StartedAt: l.CreatedAt, EndedAt: l.UpdatedAt, Status: l.Status, TraceID: l.TraceID}
		if l.ErrorType != nil {
			a.ErrorType = *l.ErrorType
		}
		if l.ErrorDetails != nil {
			a.Detail = *l.ErrorDetails
		}
		if l.ResponseStatusCode != nil {
			a.Code = *l.ResponseStatusCode
		}
		v.Attempts = append(v.Attempts, a)
		if a.made() {
			v.Attempted++
		}
	}
	if op.Attempt != nil {
		v.Attempted = *op.Attempt
	}
	return v
}

func (o apiOperations) get(ctx context.Context, connection, id uuid.UUID) (operationView, error) {
	var op wire.ResourceOperationRead
	err := o.api.call(ctx, http.MethodGet, operationPath(connection, id), nil, nil, &op)
	return viewRead(op), err
}

// list reads every page, since the API lists the oldest first.
func (o apiOperations) list(ctx context.Context, q listing) ([]operationView, error) {
	if q.partner != uuid.Nil {
		return nil, wrongUsage("operation list: --partner is not for the API, which lists those of the token's partner")
	}
	values := url.Values{
		"from_datetime": {time.Now().Add(-q.since).UTC().Format(time.RFC3339)}, "size": {strconv.Itoa(wire.MaxSize)},
	}
	if q.connection != uuid.Nil {
		values.Set("connection_id", q.connection.String())
	}
	views := []operationView{}
	for {
		var page wire.Page[wire.ResourceOperationRead]
		if err := o.api.call(ctx, http.MethodGet, operationsPath+"?"+values.Encode(), nil, nil, &page); err != nil {
			return nil, err
		}
		for _, op := range page.Items {
			if q.status == "" || string(op.Status) == q.status {
				views = append(views, viewRead(op))
			}
		}
		views = slices.Clone(views[max(0, len(views)-q.limit):])
		if page.NextPage == nil {
			return views, nil
		}
		values.Set("cursor", *page.NextPage)
	}
}

func (o apiOperations) cancel(ctx context.Context, connection, id uuid.UUID) (operationView, error) {
	var op wire.ResourceOperationRead
	err := o.api.call(ctx, http.MethodPost, operationPath(connection, id)+"/cancel", nil, nil, &op)
	return viewRead(op), err
}

// retry reads the new operation again: the answer to a write has less in it.
func (o apiOperations) retry(ctx context.Context, connection, id uuid.UUID) (operationView, error) {
	var op wire.ResourceOperation
	header := http.Header{"Idempotency-Key": {uuid.NewString()}}
	if err := o.api.call(ctx, http.MethodPost, operationPath(connection, id)+"/retry", header, nil, &op); err != nil {
		return operationView{}, err
	}
	return o.get(ctx, cmp.Or(op.ConnectionID, connection), op.ID)
}
