package redisstore

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// Outstanding counts a partner's operations that have not ended, over all shards,
// in one pipeline. A shard without data counts as none.
func (s *Store) Outstanding(ctx context.Context, partner uuid.UUID) (int, error) {
	cmds := make([]*redis.StringCmd, operation.Shards)
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for shard := range cmds {
			cmds[shard] = pipe.HGet(ctx, s.prefix(shard)+"outstanding", partner.String())
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, err
	}
	sum := 0
	for _, cmd := range cmds {
		n, err := cmd.Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
