package redisstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Block holds a connection's calls back because the provider asked for it in an
// answer to a call that belongs to no operation. A block that ends later stays. No
// stream has it, so a wipe of Redis ends it.
func (s *Store) Block(ctx context.Context, connection uuid.UUID, wait time.Duration) error {
	_, err := s.run(ctx, blockScript, operation.ShardOf(connection), connection.String(), wait.Milliseconds())
	return err
}

// Unblock ends what holds a lane's calls back, be it asked for or by the breaker: it is
// another counterpart now, or somebody who knows says that it is well.
func (s *Store) Unblock(ctx context.Context, connection uuid.UUID) error {
	_, err := s.run(ctx, blockScript, operation.ShardOf(connection), connection.String(), -1)
	return err
}
