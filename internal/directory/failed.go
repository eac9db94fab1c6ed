package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// refused reports whether the provider refused a refresh.
func (c Connection) refused() bool { return c.Status == ConnectionFailed && c.StatusReason != "" }

// Failure is what an attempt on a connection that is not active ends with. Nil: it
// is active.
func (c Connection) Failure() *operation.Failure {
	switch {
	case c.Status == ConnectionActive:
		return nil
	case c.refused():
		return &operation.Failure{Type: operation.ErrorAuth, Detail: "the connection is failed: " + c.StatusReason}
	default:
		return &operation.Failure{Type: operation.ErrorAuth, Detail: fmt.Sprintf("the connection is %s, not active", c.Status)}
	}
}

// fail marks the connection as failed, clears the claim and reports whether it did:
// not if somebody gave it other credentials meanwhile, or if nothing can be stored.
func (d *Directory) fail(ctx context.Context, from held, reason string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	marked, err := d.change(ctx, from.ID, func(c *held) (bool, error) {
		if !maps.Equal(c.Credentials, from.Credentials) || c.Status != ConnectionActive {
			return false, nil
		}
		c.Status, c.StatusReason, c.renewal = ConnectionFailed, reason, nil
		c.UpdatedAt = d.now().UTC().Truncate(time.Millisecond)
		return true, nil
	})
	switch {
	case err != nil:
		d.log.Warn("failed connection not marked", "connection_id", from.ID, "error", err)
	case marked:
		d.log.Warn("connection failed: the provider refused to renew its credentials",
			"connection_id", from.ID, "partner_id", from.PartnerID, "provider", from.Provider, "status_reason", reason)
	}
	return marked
}

// ErrNotFailed says that a connection is not failed, so there is nothing to undo.
var ErrNotFailed = errors.New("directory: the connection is not failed")

// Activate makes a failed connection active again, with the credentials that it
// has. The error is ErrNotFailed, or says that there is no such connection, or that
// nothing can be stored.
func (d *Directory) Activate(ctx context.Context, connection uuid.UUID) error {
	_, err := d.change(ctx, connection, func(c *held) (bool, error) {
		if c.Status != ConnectionFailed {
			return false, ErrNotFailed
		}
		c.Status, c.StatusReason = ConnectionActive, ""
		c.UpdatedAt = d.now().UTC().Truncate(time.Millisecond)
		return true, nil
	})
	return err
}
