package redisstore

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// Due is a lane that somebody must look at, and since when.
type Due struct {
	Connection uuid.UUID
	Since      time.Time
}

// Polled is what one poll of all shards found.
type Polled struct {
	Due []Due
	// Missing lists the shards without a generation: new, wiped, or found to have
	// gone back in time by this poll.
	Missing []int
	// Unfinished lists the shards whose older history nobody is restoring any more.
	Unfinished []int
}

// beat is when a process last wrote its beat into a shard, in ms, and under which
// generation.
type beat struct {
	gen string
	at  int64
}

// beatEvery is how often a poll writes its beat.
const beatEvery = 500 * time.Millisecond

// Poll asks every shard for due lanes, at most the given number each. It notices a
// shard whose data is gone or has gone back. An error says that a shard could not be asked;
// in a cluster others may have been, and what was found there is given beside it.
func (s *Store) Poll(ctx context.Context, most int) (Polled, error) {
	calls := make([]*call, operation.Shards)
	for shard := range calls {
		c := s.newCall(pollScript, shard, most, flag(false))
		c.gen = s.newest(shard)
		if s.beatDue(shard, c.gen) {
			c.args[1] = flag(true)
		}
		calls[shard] = c
	}
	s.performEach(ctx, calls...)
	var p Polled
	for shard, c := range calls {
		if c.err != nil {
			continue
		}
		v := c.answer
		gen := text(v[0])
		if gen == "" {
			p.Missing = append(p.Missing, shard)
			continue
		}
		s.setGen(shard, gen)
		s.beats[shard].Store(&beat{gen: gen, at: number(v[1])})
		s.ahead.Store(number(v[4]) - time.Now().UnixMilli())
		if number(v[3]) == 1 {
			p.Unfinished = append(p.Unfinished, shard)
		}
		lanes := array(v[2])
		for i := 0; i+1 < len(lanes); i += 2 {
			id, err := uuid.Parse(text(lanes[i]))
			if err != nil {
				return p, err
			}
			p.Due = append(p.Due, Due{Connection: id, Since: milli(number(lanes[i+1]))})
		}
	}
	return p, failed(calls)
}

// beatDue says whether a poll has to write its beat: by Redis's clock, of which it may find
// that it has been set back.
func (s *Store) beatDue(shard int, gen string) bool {
	b := s.beats[shard].Load()
	if b == nil || b.gen != gen {
		return true
	}
	since := time.Duration(time.Now().UnixMilli()+s.ahead.Load()-b.at) * time.Millisecond
	return since >= beatEvery || since < 0
}

// Glance asks every shard for due lanes as Poll does, but with plain commands, which
// cost a tenth: it notices no loss, raises no beat, and reads Redis's clock off ours by
// what the last Poll showed. So it is for the time between two polls.
func (s *Store) Glance(ctx context.Context, most int) ([]Due, error) {
	if _, err := s.present(); err != nil {
		return nil, err
	}
	now := strconv.FormatInt(time.Now().UnixMilli()+s.ahead.Load(), 10)
	cmds := make([]*redis.ZSliceCmd, operation.Shards)
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for shard := range cmds {
			cmds[shard] = pipe.ZRangeByScoreWithScores(ctx, s.prefix(shard)+"due", &redis.ZRangeBy{Min: "-inf", Max: now, Count: int64(most)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var due []Due
	for _, cmd := range cmds {
		for _, z := range cmd.Val() {
			id, err := uuid.Parse(text(z.Member))
			if err != nil {
				return nil, err
			}
			due = append(due, Due{Connection: id, Since: milli(int64(z.Score))})
		}
	}
	return due, nil
}

// Overdue lists the shards whose outbox has something to publish, by the clock as
// Glance reads it. An error is as that of Poll.
func (s *Store) Overdue(ctx context.Context) ([]int, error) {
	now := float64(time.Now().UnixMilli() + s.ahead.Load())
	shards, away := s.present()
	cmds := make([]*redis.ZSliceCmd, len(shards))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range shards {
			cmds[i] = pipe.ZRangeWithScores(ctx, s.prefix(shard)+"outbox", 0, 0)
		}
		return nil
	})
	var overdue []int
	for i, cmd := range cmds {
		if first := cmd.Val(); cmd.Err() == nil && len(first) > 0 && first[0].Score <= now {
			overdue = append(overdue, shards[i])
		}
	}
	return overdue, cmp.Or(err, away)
}

// Begin starts a shard that has no data and needs none: a new installation. It
// does nothing where a generation exists.
func (s *Store) Begin(ctx context.Context, shards []int) error {
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, shard := range shards {
			pipe.SetNX(ctx, s.prefix(shard)+"gen", s.newGen(shard), 0)
		}
		return nil
	})
	return err
}

// Missing lists the shards without a generation.
func (s *Store) Missing(ctx context.Context) ([]int, error) { return s.without(ctx, "gen") }

// Emptied lists the shards that have nothing: neither a generation nor anybody's beat. One
// that went back in time has beats.
func (s *Store) Emptied(ctx context.Context) ([]int, error) { return s.without(ctx, "gen", "beat") }

// without lists the shards that have none of the keys.
func (s *Store) without(ctx context.Context, names ...string) ([]int, error) {
	cmds := make([]*redis.IntCmd, operation.Shards)
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for shard := range cmds {
			keys := make([]string, len(names))
			for i, name := range names {
				keys[i] = s.prefix(shard) + name
			}
			cmds[shard] = pipe.Exists(ctx, keys...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var none []int
	for shard, cmd := range cmds {
		if cmd.Val() == 0 {
			none = append(none, shard)
		}
	}
	return none, nil
}
