package redisstore

import (
	"context"
	"time"

	"writeback/pkg/operation"
)

// Keep puts an ended operation back whose record is gone, and whose final event is in
// the stream: of a sync operation no message would. One that is there stays as it is.
// Errors: ErrStale, and those of the connection to Redis.
func (s *Store) Keep(ctx context.Context, op operation.Operation) error {
	args := append([]any{
		op.ID.String(), op.ID[:], op.PartnerID.String(), op.Seq, encodePage(op), int64(s.cfg.RecordTTL / time.Second),
	}, s.keyArgs(op.Accepted)...)
	_, err := s.run(ctx, keepScript, operation.ShardOf(op.ConnectionID), args...)
	return err
}
