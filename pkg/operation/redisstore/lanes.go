package redisstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// DueLanes lists the connections whose lanes have anything to do, now or later: every
// lane with an operation that has not ended is among them.
func (s *Store) DueLanes(ctx context.Context) ([]uuid.UUID, error) {
	cmds := make([]*redis.StringSliceCmd, operation.Shards)
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for shard := range cmds {
			cmds[shard] = pipe.ZRange(ctx, s.prefix(shard)+"due", 0, -1)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: due lanes: %w", err)
	}
	var out []uuid.UUID
	for _, cmd := range cmds {
		for _, member := range cmd.Val() {
			id, err := uuid.Parse(member)
			if err != nil {
				return nil, fmt.Errorf("redisstore: due lanes: %w", err)
			}
			out = append(out, id)
		}
	}
	return out, nil
}
