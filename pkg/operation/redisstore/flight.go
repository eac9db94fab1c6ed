package redisstore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"writeback/internal/convoy"
	"writeback/pkg/operation"
)

// flights shares round trips: while one pipeline is under way, the script calls of
// the whole process are collected, and go out together as the next; see convoy. Safe
// for concurrent use.
type flights struct{ convoy convoy.Convoy[*call] }

const (
	// flightMost bounds the calls of one pipeline.
	flightMost = 128
	// flightSlow is after which time a pipeline does not hold the next one back.
	flightSlow = 3 * time.Millisecond
	// flightsMost bounds the pipelines under way.
	flightsMost = 8
	// flightTimeout bounds one pipeline, its retries included.
	flightTimeout = 5 * time.Second
	// flightLeast is what a call must have left of its time to leave with others: the
	// pipeline ends with the first of its callers, since a hand-out that takes effect
	// when nobody waits for it any more would stand still for a lease.
	flightLeast = 100 * time.Millisecond
)

// call is one script call and its answer.
type call struct {
	ctx    context.Context
	script *script
	shard  int
	args   []any // the first is set when the call leaves
	mark   mark
	answer reply
	err    error
}

func (f *flights) begin(s *Store) {
	f.convoy.Travel, f.convoy.Room, f.convoy.Slow, f.convoy.Most = s.fly, flightMost, flightSlow, flightsMost
}

// run waits for the answer of a script, or for the end of ctx; a call that has
// left by then may still take effect.
func (f *flights) run(ctx context.Context, script *script, shard int, args []any) (reply, error) {
	c := &call{ctx: ctx, script: script, shard: shard, args: args}
	if err := f.convoy.Do(ctx, c); err != nil {
		return nil, err
	}
	return c.answer, c.err
}

// fly runs one pipeline. A connection that breaks fails all of its calls, also
// those already answered: what a shard is known to have answered is noted for the
// pipeline as a whole.
func (s *Store) fly(batch []*call) {
	batch = s.readyToLeave(batch)
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), earliest(batch))
	defer cancel()
	cmds := make([]*redis.Cmd, len(batch))
	err := s.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, c := range batch {
			cmds[i] = s.scripts.call(ctx, pipe, c.script, s.keys(c.shard), c.args...)
		}
	})
	var answered redis.Error
	if err != nil && !errors.As(err, &answered) {
		s.land(batch, nil, err)
		return
	}
	s.land(batch, cmds, nil)
}

// earliest gives when the first of the callers leaves.
func earliest(batch []*call) time.Time {
	end := time.Now().Add(flightTimeout)
	for _, c := range batch {
		if d, ok := c.ctx.Deadline(); ok && d.Before(end) {
			end = d
		}
	}
	return end
}

// readyToLeave drops the calls that nobody waits for any more, and tells the others
// what this process knows of their shards. One mark a shard is enough, and it is
// the last call's: a shard that lost a part of the pipeline has lost the mark.
func (s *Store) readyToLeave(batch []*call) []*call {
	live := make([]*call, 0, len(batch))
	for _, c := range batch {
		if d, ok := c.ctx.Deadline(); c.ctx.Err() != nil || (ok && time.Until(d) < flightLeast) {
			c.err = cmp.Or(context.Cause(c.ctx), context.DeadlineExceeded)
			continue
		}
		live = append(live, c)
	}
	var marked [operation.Shards]bool
	for i := len(live) - 1; i >= 0; i-- {
		c := live[i]
		c.mark = mark{gen: s.gen(c.shard)}
		if !c.script.asks && !marked[c.shard] {
			marked[c.shard] = true
			c.mark.n = s.asked[c.shard].Add(1)
		}
		c.args[0] = s.caller(c.shard, c.mark)
	}
	return live
}

// land gives every call its answer.
func (s *Store) land(batch []*call, cmds []*redis.Cmd, err error) {
	for i, c := range batch {
		if c.err = err; err == nil {
			var v []any
			v, c.err = cmds[i].Slice()
			c.answer = v
			if c.err == nil && c.answer.word() != "stale" && c.mark.n > 0 {
				s.note(c.shard, c.mark)
			}
		}
	}
}

// pipelined runs a pipeline of scripts; when Redis has forgotten them, it loads
// them and runs it once more. Scripts may run twice, so that is safe.
func (s *Store) pipelined(ctx context.Context, build func(pipe redis.Pipeliner)) error {
	run := func() error {
		_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			build(pipe)
			return nil
		})
		return err
	}
	err := run()
	if err != nil && unknown(err) {
		if err = s.scripts.load(ctx); err == nil {
			err = run()
		}
	}
	return err
}
