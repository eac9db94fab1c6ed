package redisstore

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// outstandingStep bounds what one pipeline asks for.
const outstandingStep = 256

// Outstanding counts the operations of connections that have not ended. A shard without
// data counts as none.
func (s *Store) Outstanding(ctx context.Context, connections []uuid.UUID) (int, error) {
	sum := 0
	for step := range slices.Chunk(connections, outstandingStep) {
		cmds, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, c := range step {
				pipe.ZCard(ctx, s.prefix(operation.ShardOf(c))+"pend:"+c.String())
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		for _, cmd := range cmds {
			if n, ok := cmd.(*redis.IntCmd); ok {
				sum += int(n.Val())
			}
		}
	}
	return sum, nil
}
