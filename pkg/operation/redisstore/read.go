package redisstore

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Get reads one operation, with the reason why it waits. Errors: ErrMissing,
// ErrUnreadable, and ErrStale while it cannot be known whether there is such an operation.
func (s *Store) Get(ctx context.Context, connection, id uuid.UUID) (operation.Operation, error) {
	rec, err := s.GetRecord(ctx, connection, id)
	return rec.Operation, err
}

// GetRecord is Get, with what the streams have confirmed of the operation.
func (s *Store) GetRecord(ctx context.Context, connection, id uuid.UUID) (Record, error) {
	asked := time.Now()
	r, err := s.run(ctx, getScript, operation.ShardOf(connection), id.String(), id[:])
	if err != nil {
		return Record{}, err
	}
	var rec Record
	switch r.word() {
	case "missing":
		return Record{}, ErrMissing
	case "paged":
		rec, err = decodePage([]byte(text(r[1])))
	default:
		fields := pairs(r[1])
		if !strings.HasPrefix(fields["who"], connection.String()) {
			return Record{}, ErrMissing
		}
		rec, err = decodeRecord(fields, nil, ownRow{})
	}
	if err != nil {
		return Record{}, unreadable(id, err)
	}
	if rec.Operation.ConnectionID != connection {
		return Record{}, ErrMissing
	}
	rec.Asked = asked
	if len(r) > 2 {
		rec.Operation.Wait = waitOf(rec.Operation, array(r[2]))
	}
	return rec, nil
}

// waitOf says why an operation that is neither ended nor being called waits. Of
// several reasons the one that lasts longest is given.
func waitOf(op operation.Operation, v []any) operation.Wait {
	if first := text(v[0]); first != "" && first != op.ID.String() {
		behind, _ := uuid.Parse(first)
		return operation.Wait{Reason: operation.WaitBehind, Behind: behind}
	}
	if text(v[5]) == "1" {
		return operation.Wait{Reason: operation.WaitPaused}
	}
	now := number(v[6])
	var wait operation.Wait
	for _, c := range []struct {
		reason operation.WaitReason
		at     int64
	}{
		{operation.WaitRetry, number(v[1])},
		{operation.WaitRateLimited, number(v[4])},
		{operation.WaitProviderBackoff, number(v[2])},
		{operation.WaitBreakerOpen, number(v[3])},
	} {
		if c.at > now && milli(c.at).After(wait.Until) {
			wait = operation.Wait{Reason: c.reason, Until: milli(c.at)}
		}
	}
	return wait
}

// Pause stops the hand-outs of a connection, or lets them go on. What is being
// called finishes.
func (s *Store) Pause(ctx context.Context, connection uuid.UUID, paused bool) error {
	_, err := s.run(ctx, pauseScript, operation.ShardOf(connection), connection.String(), flag(paused))
	return err
}
