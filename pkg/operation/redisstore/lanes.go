package redisstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// DueLanes lists the connections whose lanes have anything to do, now or later: every
// lane with an operation that has not ended is among them. An error says that those of the
// shards that are away are not.
func (s *Store) DueLanes(ctx context.Context) (due []uuid.UUID, away []int, err error) {
	cmds := make([]*redis.StringSliceCmd, operation.Shards)
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for shard := range cmds {
			cmds[shard] = pipe.ZRange(ctx, s.prefix(shard)+"due", 0, -1)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("redisstore: due lanes: %w", err)
	}
	for shard, cmd := range cmds {
		if cmd.Err() != nil {
			away = append(away, shard)
		}
		for _, member := range cmd.Val() {
			id, err := uuid.Parse(member)
			if err != nil {
				return nil, nil, fmt.Errorf("redisstore: due lanes: %w", err)
			}
			due = append(due, id)
		}
	}
	return due, away, err
}
