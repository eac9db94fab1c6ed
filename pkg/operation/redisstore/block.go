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
