package redisstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// ErrTokenLost says that another process took the rebuild over.
var ErrTokenLost = errors.New("redisstore: the rebuild was taken over")

// tokenFor is how long a rebuild may be silent before another process takes over.
const tokenFor = 30 * time.Second

// Rebuild is the right to fill shards again from the streams. One goroutine uses it.
type Rebuild struct {
	store *Store
	token string
	// Shards are those that this process fills.
	Shards []int
	mine   [operation.Shards]bool
	lanes  [operation.Shards]map[uuid.UUID]bool
	// touched is when all tokens were last shown to be in use.
	touched time.Time
}

// TakeRebuild takes the shards that have no generation and that nobody fills.
func (s *Store) TakeRebuild(ctx context.Context, shards []int) (*Rebuild, error) {
	b := &Rebuild{store: s, token: newIDs(1)[0].String()}
	cmds := make([]*redis.BoolCmd, len(shards))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range shards {
			cmds[i] = pipe.SetNX(ctx, s.prefix(shard)+"rebuild", b.token, tokenFor)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, shard := range shards {
		if cmds[i].Val() {
			b.Shards = append(b.Shards, shard)
			b.mine[shard] = true
			b.lanes[shard] = map[uuid.UUID]bool{}
		}
	}
	return b, nil
}

// Mine reports whether the rebuild fills the connection's shard.
func (b *Rebuild) Mine(connection uuid.UUID) bool { return b.mine[operation.ShardOf(connection)] }

// Since gives the time up to which every shard's data is known to be whole: the
// last beat that is still there. Zero: a shard has none, and everything is read.
func (b *Rebuild) Since(ctx context.Context) (time.Time, error) {
	cmds := make([]*redis.StringSliceCmd, len(b.Shards))
	_, err := b.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range b.Shards {
			cmds[i] = pipe.HVals(ctx, b.store.prefix(shard)+"beat")
		}
		return nil
	})
	if err != nil {
		return time.Time{}, err
	}
	var since int64
	for i, cmd := range cmds {
		var last int64
		for _, v := range cmd.Val() {
			last = max(last, atoi(v))
		}
		if last == 0 {
			return time.Time{}, nil
		}
		if i == 0 || last < since {
			since = last
		}
	}
	return milli(since), nil
}

// Fact is what a stream says of an operation: that it was accepted, or an event.
type Fact struct {
	Operation operation.Operation
	// Final says that the operation ended as its status says.
	Final   bool
	NextAt  time.Time
	Blocked time.Time
	// FirstRow is the place in the log, from 1, of the first row that it carries. Zero:
	// it carries the whole log.
	FirstRow int
}

// Put restores facts in their order; those of other shards are passed over. It
// gives the number of records that were missing.
func (b *Rebuild) Put(ctx context.Context, facts []Fact) (int, error) {
	calls := make([]*call, 0, len(facts))
	for _, f := range facts {
		if !b.Mine(f.Operation.ConnectionID) {
			continue
		}
		shard := operation.ShardOf(f.Operation.ConnectionID)
		b.lanes[shard][f.Operation.ConnectionID] = true
		calls = append(calls, b.store.newCall(restoreScript, shard, b.restoreArgs(f)...))
	}
	// Shards without facts must not lose their token while others are read.
	if len(calls) == 0 || time.Since(b.touched) > tokenFor/6 {
		if err := b.touch(ctx); err != nil {
			return 0, err
		}
		b.touched = time.Now()
	}
	if len(calls) == 0 {
		return 0, nil
	}
	if err := b.store.performed(ctx, calls...); err != nil {
		return 0, err
	}
	made := 0
	for _, c := range calls {
		if c.answer.word() != "ok" {
			return made, ErrTokenLost
		}
		made += int(number(c.answer[1]))
	}
	return made, nil
}

func (b *Rebuild) restoreArgs(f Fact) []any {
	op := f.Operation
	status, page := "", []byte(nil)
	if f.Final {
		status = string(op.Status)
		page = encodePage(op)
	}
	args := []any{
		b.token, tokenFor.Milliseconds(), op.ID.String(), op.ID[:], op.ConnectionID.String(), UserOf(op.Accepted),
		op.PartnerID.String(), encodeDoc(op.Accepted), op.Seq, op.Deadline.UnixMilli(), maxAttempts(op.Accepted), flag(op.Sync),
		status, op.UpdatedAt.UnixMicro(), op.Attempted, millisOf(f.Blocked), millisOf(f.NextAt),
	}
	args = append(args, b.store.keyArgs(op.Accepted)...)
	args = append(args, int64(b.store.cfg.RecordTTL/time.Second), page, len(op.Attempts))
	for _, a := range op.Attempts {
		args = append(args, a.ID.String(), encodeRow(rowOf(a)), flag(a.Unknown), flag(a.Status == operation.AttemptSucceeded))
	}
	return args
}

func millisOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// touch shows that the rebuild lives; it fails once another process took over.
func (b *Rebuild) touch(ctx context.Context) error {
	cmds := make([]*redis.StringCmd, len(b.Shards))
	_, err := b.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range b.Shards {
			cmds[i] = pipe.GetEx(ctx, b.store.prefix(shard)+"rebuild", tokenFor)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	for _, cmd := range cmds {
		if cmd.Val() != b.token {
			return ErrTokenLost
		}
	}
	return nil
}

// Older ends what is still pending of a user below seq: a newer write has already
// gone to the provider. It gives how many it ended.
func (b *Rebuild) Older(ctx context.Context, connection uuid.UUID, user string, seq int64) (int, error) {
	total := 0
	for {
		args := []any{b.token, connection.String(), user, strconv.FormatInt(seq, 10), repairs, spareID()}
		v, err := b.store.evaluate(ctx, olderScript, operation.ShardOf(connection), args...)
		if err != nil {
			return total, err
		}
		if v.word() != "ok" {
			return total, ErrTokenLost
		}
		n := int(number(v[1]))
		total += n
		if n < repairs {
			return total, nil
		}
	}
}

// Commit makes the shards usable. Nothing is handed out before the quarantine is
// over. With more, an unknown id stays unknown until Done.
func (b *Rebuild) Commit(ctx context.Context, quarantine func(shard int) time.Duration, more bool) error {
	for _, shard := range b.Shards {
		gen := newIDs(1)[0].String()
		args := []any{b.token, gen, quarantine(shard).Milliseconds(), flag(more)}
		for lane := range b.lanes[shard] {
			args = append(args, lane.String())
		}
		v, err := b.store.evaluate(ctx, commitScript, shard, args...)
		if err != nil {
			return err
		}
		if v.word() != "ok" {
			return ErrTokenLost
		}
		b.store.setGen(shard, gen)
	}
	return nil
}

// Done says that the older history is back too.
func (b *Rebuild) Done(ctx context.Context) error {
	if err := b.touch(ctx); err != nil {
		return err
	}
	_, err := b.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, shard := range b.Shards {
			pipe.Del(ctx, b.store.prefix(shard)+"history", b.store.prefix(shard)+"rebuild")
		}
		return nil
	})
	return err
}
