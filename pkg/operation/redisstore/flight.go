package redisstore

import (
	"cmp"
	"context"
	"time"

	"writeback/internal/convoy"
)

// flights shares round trips: while one pipeline is under way, the script calls of
// the whole process are collected, and go out together as the next; see convoy. Calls of
// shards whose server is away travel by themselves: no other shard waits for it. Safe for
// concurrent use.
type flights struct{ convoy, away convoy.Convoy[*passenger] }

const (
	// flightMost bounds what one pipeline brings, by weight: nothing interrupts it, and all
	// others wait for it, some milliseconds at this size.
	flightMost = 96
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

// passenger is a call that waits for its flight.
type passenger struct {
	call
	ctx context.Context
}

// weight is how long a call takes, about, in calls of one operation.
func (p *passenger) weight() int { return 1 + len(p.args)/(2*acceptFields) }

// fit says how many of those who wait may leave together.
func fit(waiting []*passenger) int {
	room := flightMost
	for n, p := range waiting {
		if room -= p.weight(); room < 0 {
			return n
		}
	}
	return len(waiting)
}

func (f *flights) begin(s *Store) {
	for _, c := range []*convoy.Convoy[*passenger]{&f.convoy, &f.away} {
		c.Travel, c.Fit, c.Room, c.Slow, c.Most = s.fly, fit, flightMost, flightSlow, flightsMost
	}
}

// run waits for the answer of a script, or for the end of ctx; a call that has
// left by then may still take effect.
func (f *flights) run(ctx context.Context, script *script, shard int, args []any, away bool) (reply, error) {
	p := &passenger{ctx: ctx, call: call{script: script, shard: shard, args: args}}
	c := &f.convoy
	if away {
		c = &f.away
	}
	if err := c.Do(ctx, p); err != nil {
		return nil, err
	}
	return p.answer, p.err
}

// fly runs one pipeline.
func (s *Store) fly(group []*passenger) {
	calls, end := s.board(group)
	if len(calls) == 0 {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	s.perform(ctx, calls)
}

// board drops the calls that nobody waits for any more. It gives the others with what
// this process knows of their shards now, and when the first of their callers leaves.
func (s *Store) board(group []*passenger) (calls []*call, end time.Time) {
	calls, end = make([]*call, 0, len(group)), time.Now().Add(flightTimeout)
	for _, p := range group {
		d, ends := p.ctx.Deadline()
		if p.ctx.Err() != nil || (ends && time.Until(d) < flightLeast) {
			p.err = cmp.Or(context.Cause(p.ctx), context.DeadlineExceeded)
			continue
		}
		if ends && d.Before(end) {
			end = d
		}
		p.gen = s.gen(p.shard)
		calls = append(calls, &p.call)
	}
	return calls, end
}
