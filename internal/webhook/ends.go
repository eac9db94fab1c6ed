package webhook

import (
	"context"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Ended is how a delivery ended.
type Ended struct {
	Webhook   uuid.UUID
	Delivery  uuid.UUID
	Reference Reference
	Success   bool
	// Dead says that it is to be kept for a replay.
	Dead bool
}

// Ends is the publisher of a webhook worker: it keeps dead letters and counts
// messages before an end is published, so that no end is acknowledged without.
type Ends struct {
	Publisher publisher
	Dead      deadLetters
}

// Connected reports whether a publish can go out now.
func (e Ends) Connected() bool { return e.Publisher.Connected() }

// Accepted publishes a delivery.
func (e Ends) Accepted(ctx context.Context, m operation.Message, quiet bool) error {
	return e.Publisher.Accepted(ctx, m, quiet)
}

// Event takes note of a delivery's end and publishes it.
func (e Ends) Event(ctx context.Context, event operation.Event) error {
	op := event.Operation
	if op.Status.Terminal() {
		r, err := referenceOf(op.Accepted)
		if err != nil {
			return err
		}
		err = e.Dead.Ended(ctx, Ended{
			Webhook: op.ConnectionID, Delivery: op.ID, Reference: r,
			Success: op.Status == operation.Succeeded, Dead: dead(op),
		})
		if err != nil {
			return err
		}
	}
	return e.Publisher.Event(ctx, event)
}

// dead reports whether a delivery may be wanted again: its endpoint did not get it,
// and did not refuse it either.
func dead(op operation.Operation) bool {
	if op.Status == operation.Succeeded {
		return false
	}
	n := len(op.Attempts)
	return n == 0 || op.Attempts[n-1].ErrorType != operation.ErrorValidation
}
