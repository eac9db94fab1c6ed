package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// dryRunner says what a write would send to the provider, without storing it or
// writing anything. The operation has ended: as success, or as failed with one row
// that says why. An error is an *operation.Error.
type dryRunner interface {
	DryRun(ctx context.Context, a operation.Accepted, limits tsp.Limits) (operation.Operation, []tsp.DraftCall, error)
}

// dryRun answers a write that is not to be made. It worked, whatever it found, so the
// answer is 200. It leaves nothing behind, so a key has nothing to stand for.
func (s *server) dryRun(w http.ResponseWriter, r *http.Request, a operation.Accepted, limits tsp.Limits) (err error) {
	if a.ID, err = uuid.NewV7(); err != nil {
		return fmt.Errorf("httpapi: operation id: %w", err)
	}
	trailOf(r.Context()).connection = a.ConnectionID
	ctx, cancel := s.deadline(r.Context(), limits.Call+s.cfg.SyncMargin)
	defer cancel()
	op, calls, err := s.deps.Accepter.DryRun(ctx, a, limits)
	if err != nil {
		return err
	}
	requests := make([]wire.DryRunRequest, 0, len(calls))
	for _, c := range calls {
		requests = append(requests, wire.NewDryRunRequest(c.Method, c.Path, c.Body))
	}
	s.write(w, r, http.StatusOK, wire.DryRunView(op, requests))
	return nil
}
