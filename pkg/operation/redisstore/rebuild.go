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
	// gens are those of the shards that are open, while older history is read.
	gens [operation.Shards]string
	// touched is when all tokens were last shown to be in use.
	touched time.Time
}

// takeRebuild gives the token of a shard away if the shard needs it: with ARGV[3] empty if it
// has no generation, else if it has one and its older history is missing. The answer is false,
// or the generation, empty for none.
const takeRebuild = `local gen, history = redis.call('GET', KEYS[2]) or '', redis.call('EXISTS', KEYS[3]) == 1
if ARGV[3] == '' and gen ~= '' or ARGV[3] ~= '' and (gen == '' or not history) then return false end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and gen`

// TakeRebuild takes the shards that have no generation and that nobody fills.
func (s *Store) TakeRebuild(ctx context.Context, shards []int) (*Rebuild, error) {
	return s.take(ctx, shards, "")
}

// TakeHistory takes the shards that are open, but whose older history nobody reads back.
func (s *Store) TakeHistory(ctx context.Context, shards []int) (*Rebuild, error) {
	return s.take(ctx, shards, "history")
}

func (s *Store) take(ctx context.Context, shards []int, history string) (*Rebuild, error) {
	b := &Rebuild{store: s, token: uuid.Must(uuid.NewV7()).String()}
	cmds := make([]*redis.Cmd, len(shards))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range shards {
			p := s.prefix(shard)
			cmds[i] = pipe.Eval(ctx, takeRebuild, []string{p + "rebuild", p + "gen", p + "history"}, b.token, tokenFor.Milliseconds(), history)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	for i, shard := range shards {
		gen, err := cmds[i].Text()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b.Shards = append(b.Shards, shard)
		b.mine[shard], b.gens[shard] = true, gen
		b.lanes[shard] = map[uuid.UUID]bool{}
	}
	return b, nil
}

// Release gives up what was not finished, so that another process may begin at once.
func (b *Rebuild) Release(ctx context.Context) error {
	_, err := b.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, shard := range b.Shards {
			pipe.Eval(ctx, deleteIf, []string{b.store.prefix(shard) + "rebuild"}, b.token)
		}
		return nil
	})
	return err
}

// Mine reports whether the rebuild fills the connection's shard.
func (b *Rebuild) Mine(connection uuid.UUID) bool { return b.mine[operation.ShardOf(connection)] }

// Since gives the time up to which every shard's data is known to be whole: the
// last beat that is still there. Zero: a shard has none, and everything is read. A beat of
// the future, from before the clock was set back, says nothing.
func (b *Rebuild) Since(ctx context.Context) (time.Time, error) {
	now, err := b.store.clock(ctx)
	if err != nil {
		return time.Time{}, err
	}
	cmds := make([]*redis.StringSliceCmd, len(b.Shards))
	_, err = b.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
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
			if at := atoi(v); at <= now {
				last = max(last, at)
			}
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
	if err := b.keep(ctx, b.Shards); err != nil || len(calls) == 0 {
		return 0, err
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
	source := ""
	if f.Final && op.Type == operation.Create {
		source = op.SourceID
	}
	return append(args, op.ResourceID.String(), source)
}

func millisOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// keep touches from time to time: a shard must not lose its token while others are read.
func (b *Rebuild) keep(ctx context.Context, shards []int) error {
	if time.Since(b.touched) <= tokenFor/6 {
		return nil
	}
	return b.touch(ctx, shards)
}

// touch shows that the rebuild lives. It fails once another process took over, or the data
// of a shard that was open already is lost again.
func (b *Rebuild) touch(ctx context.Context, shards []int) error {
	tokens, gens := make([]*redis.StringCmd, len(shards)), make([]*redis.StringCmd, len(shards))
	_, err := b.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range shards {
			tokens[i] = pipe.GetEx(ctx, b.store.prefix(shard)+"rebuild", tokenFor)
			gens[i] = pipe.Get(ctx, b.store.prefix(shard)+"gen")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	for i, shard := range shards {
		if tokens[i].Val() != b.token || gens[i].Val() != b.gens[shard] {
			return ErrTokenLost
		}
	}
	b.touched = time.Now()
	return nil
}

// Gone is the newest operation of a user that has gone to the provider.
type Gone struct {
	Connection uuid.UUID
	User       string
	Seq        int64
}

// olderMost is how many users are looked at between two looks at the tokens.
const olderMost = 1024

// Older ends what is still pending of users and older than what has gone. It gives how
// many it ended.
func (b *Rebuild) Older(ctx context.Context, newest []Gone) (int, error) {
	total := 0
	for len(newest) > 0 {
		if err := b.keep(ctx, b.Shards); err != nil {
			return total, err
		}
		part := newest[:min(len(newest), olderMost)]
		newest = newest[len(part):]
		n, more, err := b.older(ctx, part)
		if total += n; err != nil {
			return total, err
		}
		newest = append(more, newest...)
	}
	return total, nil
}

// older looks once at each user; more are those of whom there may be more to end.
func (b *Rebuild) older(ctx context.Context, newest []Gone) (total int, more []Gone, err error) {
	calls := make([]*call, len(newest))
	for i, g := range newest {
		calls[i] = b.store.newCall(olderScript, operation.ShardOf(g.Connection),
			b.token, g.Connection.String(), g.User, strconv.FormatInt(g.Seq, 10), repairs, spareID())
	}
	if err := b.store.performed(ctx, calls...); err != nil {
		return 0, nil, err
	}
	for i, c := range calls {
		if c.answer.word() != "ok" {
			return total, nil, ErrTokenLost
		}
		n := int(number(c.answer[1]))
		if total += n; n == repairs {
			more = append(more, newest[i])
		}
	}
	return total, more, nil
}

// Commit makes the shards usable. Nothing is handed out before the quarantine is
// over, nor of the connections that are paused. With more, an unknown id stays unknown
// until Done.
func (b *Rebuild) Commit(ctx context.Context, quarantine func(shard int) time.Duration, paused []uuid.UUID, more bool) error {
	for i, shard := range b.Shards {
		if err := b.keep(ctx, b.Shards[i:]); err != nil {
			return err
		}
		gen := b.store.newGen(shard)
		held := heldIn(shard, paused)
		args := append([]any{b.token, gen, quarantine(shard).Milliseconds(), flag(more), len(held)}, held...)
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
		b.gens[shard] = gen
	}
	return nil
}

// heldIn gives the paused connections of a shard.
func heldIn(shard int, paused []uuid.UUID) (held []any) {
	for _, connection := range paused {
		if operation.ShardOf(connection) == shard {
			held = append(held, connection.String())
		}
	}
	return held
}

// Done says that the older history is back too.
func (b *Rebuild) Done(ctx context.Context) error {
	if err := b.touch(ctx, b.Shards); err != nil {
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
