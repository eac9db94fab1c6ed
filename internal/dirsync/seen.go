package dirsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// seenTTL outlives a walk with all its waits.
const seenTTL = 48 * time.Hour

// errForgotten says that Redis has lost who was seen, so the walk cannot say who is
// gone.
var errForgotten = errors.New("dirsync: Redis has lost what the walk had seen")

// seen remembers in Redis whom a walk has seen, so that no process has to.
type seen struct{ rdb redis.Cmdable }

func seenKey(connection, run uuid.UUID) string {
	return "wb:sync:" + connection.String() + ":" + run.String()
}

// add notes the users of a page. before is how many there were after the page
// before; the answer is how many there are now.
func (s seen) add(ctx context.Context, connection, run uuid.UUID, ids []string, before int64) (int64, error) {
	key := seenKey(connection, run)
	var added, size *redis.IntCmd
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		if len(ids) > 0 {
			members := make([]any, len(ids))
			for i, id := range ids {
				members[i] = id
			}
			added = p.SAdd(ctx, key, members...)
		}
		size = p.SCard(ctx, key)
		p.Expire(ctx, key, seenTTL)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("dirsync: note a page: %w", err)
	}
	more := int64(0)
	if added != nil {
		more = added.Val()
	}
	// A page that was noted by a worker that was killed then adds nothing.
	if size.Val() < before+more {
		return 0, errForgotten
	}
	return size.Val(), nil
}

// has says which of the users were seen by a walk that has seen so many.
func (s seen) has(ctx context.Context, connection, run uuid.UUID, ids []string, many int64) ([]bool, error) {
	key := seenKey(connection, run)
	members := make([]any, len(ids))
	for i, id := range ids {
		members[i] = id
	}
	var known *redis.BoolSliceCmd
	var size *redis.IntCmd
	// In one step: a set that is lost in between would say that nobody was seen.
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		known, size = p.SMIsMember(ctx, key, members...), p.SCard(ctx, key)
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("dirsync: who was seen: %w", err)
	case size.Val() < many:
		return nil, errForgotten
	}
	return known.Val(), nil
}

// drop forgets a walk. What cannot be dropped ends by itself.
func (s seen) drop(ctx context.Context, connection, run uuid.UUID) {
	if run != uuid.Nil {
		_ = s.rdb.Unlink(ctx, seenKey(connection, run)).Err()
	}
}
