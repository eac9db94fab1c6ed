package redisstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// call is one script call and its answer.
type call struct {
	script *script
	shard  int
	args   []any
	// gen is the generation that the caller knows. Of a shard's calls in a run, the first says it.
	gen    string
	answer reply
	err    error
}

// newCall makes a call under the generation that this process knows.
func (s *Store) newCall(script *script, shard int, args ...any) *call {
	return &call{script: script, shard: shard, args: args, gen: s.gen(shard)}
}

// stepCalls bounds the calls of one kind in a run. Nothing interrupts a run, and the callers
// of all other scripts wait for it.
const stepCalls = 16

// performed runs calls of one kind step by step, up to the first error among them.
func (s *Store) performed(ctx context.Context, calls ...*call) error {
	for step := range slices.Chunk(calls, stepCalls) {
		s.perform(ctx, step)
		if err := failed(step); err != nil {
			return err
		}
	}
	return nil
}

// performEach runs all calls step by step; each has its own error. Where each shard has a run
// of its own, the steps go side by side: one of its servers may be away and the others not.
func (s *Store) performEach(ctx context.Context, calls ...*call) {
	if !s.apart.Load() {
		if err := s.performed(ctx, calls...); err != nil {
			for _, c := range calls {
				if c.err == nil && c.answer == nil { // it was not run any more
					c.err = err
				}
			}
		}
		return
	}
	here, away := s.part(calls)
	var steps sync.WaitGroup
	for step := range slices.Chunk(here, stepCalls) {
		steps.Go(func() { s.perform(ctx, step) })
	}
	if len(away) > 0 {
		short, cancel := context.WithTimeout(ctx, awayFor)
		defer cancel()
		steps.Go(func() { s.perform(short, away) })
	}
	steps.Wait()
}

// part divides calls into those of shards that are there, and of shards whose server was away.
func (s *Store) part(calls []*call) (here, away []*call) {
	for _, c := range calls {
		if s.away[c.shard].Load() {
			away = append(away, c)
		} else {
			here = append(here, c)
		}
	}
	return here, away
}

// awayFor bounds how long those who ask all shards wait for a server that was away before.
const awayFor = 500 * time.Millisecond

// errPartAway says that the server of a shard was away before: Poll finds out whether it
// still is.
var errPartAway = errors.New("redisstore: a part of the cluster is away")

// present lists the shards whose server was there, and says whether these are all.
func (s *Store) present() (shards []int, err error) {
	for shard := range s.away {
		if s.away[shard].Load() {
			err = errPartAway
			continue
		}
		shards = append(shards, shard)
	}
	return shards, err
}

// failed gives the first error of calls.
func failed(calls []*call) error {
	for _, c := range calls {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

// perform runs calls in their order, in one pipeline: all of them in one run of the
// library, or in a cluster those of each shard, since a run may only touch one slot there.
// Runs may happen twice, and so may all scripts. A connection that breaks fails the runs
// that went over it, maybe also those that were answered.
//
// A shard whose server was away has a pipeline of its own: one that does not end in time
// fails all that is in it.
func (s *Store) perform(ctx context.Context, calls []*call) {
	if !s.apart.Load() {
		s.performTogether(ctx, calls)
		return
	}
	here, away := s.part(calls)
	slices.SortStableFunc(away, func(a, b *call) int { return a.shard - b.shard })
	var all sync.WaitGroup
	for len(away) > 0 {
		n := 1
		for n < len(away) && away[n].shard == away[0].shard {
			n++
		}
		one := away[:n]
		all.Go(func() { s.performTogether(ctx, one) })
		away = away[n:]
	}
	if len(here) > 0 {
		s.performTogether(ctx, here)
	}
	all.Wait()
}

func (s *Store) performTogether(ctx context.Context, calls []*call) {
	var runs []*run
	err := s.pipelined(ctx, func(pipe redis.Pipeliner) {
		runs = s.divide(calls)
		for _, r := range runs {
			r.cmd = s.scripts.add(ctx, pipe, r, s.argsOf(r))
		}
	})
	if err != nil && strings.HasPrefix(err.Error(), "CROSSSLOT") && len(runs[0].keys) > 1 {
		s.apart.Store(true) // a cluster that does not look like one
		s.perform(ctx, calls)
		return
	}
	var others []*call
	for _, r := range runs {
		s.land(r, err)
		others = append(others, r.hindered()...)
	}
	if len(others) > 0 {
		s.performTogether(ctx, others)
	}
}

// hindered gives the calls that a full memory has nothing to say about, of a run that it
// refused for the sake of others.
func (r *run) hindered() []*call {
	if !r.grows || !isFull(r.cmd.Err()) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.calls), func(c *call) bool { return c.script.grows })
}

// isFull says that Redis's memory is: it has run nothing.
func isFull(err error) bool { return redis.HasErrorPrefix(err, "OOM") }

// loadError says that Redis does not have the scripts, and why it does not take them.
type loadError struct{ error }

// Error says what failed.
func (e loadError) Error() string { return "redisstore: load the scripts: " + e.error.Error() }

// Unwrap gives what Redis said.
func (e loadError) Unwrap() error { return e.error }

// pipelined runs a pipeline; when Redis, or a node of a cluster, has forgotten the library,
// it loads it and runs the pipeline once more. If it cannot be loaded, the error is loadError.
func (s *Store) pipelined(ctx context.Context, build func(pipe redis.Pipeliner)) error {
	once := func() ([]redis.Cmder, error) {
		return s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			build(pipe)
			return nil
		})
	}
	cmds, err := once()
	forgotten := func(cmd redis.Cmder) bool { return cmd.Err() != nil && unknown(cmd.Err()) }
	if err == nil || !slices.ContainsFunc(cmds, forgotten) {
		return err
	}
	if err := s.scripts.load(ctx); err != nil {
		return loadError{err}
	}
	_, err = once()
	return err
}

// run is what one run of the library does.
type run struct {
	calls []*call
	// shards are those that are called, and keys their prefixes.
	shards []shardOfRun
	keys   []string
	place  [operation.Shards]int // in keys, from 1
	// reads: all calls only read. grows: one of them is refused while the memory is full.
	reads, grows bool
	length       int // of the arguments
	cmd          *redis.Cmd
}

type shardOfRun struct {
	number int
	gen    string
	// raises: the run leaves a mark. believes: what is noted of the shard holds.
	raises, believes bool
}

// divide gives the runs that calls need.
func (s *Store) divide(calls []*call) []*run {
	if len(calls) > 0 && !s.apart.Load() {
		r := &run{reads: true}
		for _, c := range calls {
			r.add(s, c)
		}
		return []*run{r}
	}
	var runs []*run
	var of [operation.Shards]*run
	for _, c := range calls {
		if of[c.shard] == nil {
			of[c.shard] = &run{reads: true}
			runs = append(runs, of[c.shard])
		}
		of[c.shard].add(s, c)
	}
	return runs
}

func (r *run) add(s *Store, c *call) {
	if r.place[c.shard] == 0 {
		r.keys = append(r.keys, s.names[c.shard])
		r.place[c.shard] = len(r.keys)
		r.shards = append(r.shards, shardOfRun{number: c.shard, gen: c.gen, believes: s.believes(c.shard)})
	}
	if !c.script.asks && !c.script.reads {
		r.shards[r.place[c.shard]-1].raises = true
	}
	r.reads = r.reads && c.script.reads
	r.grows = r.grows || c.script.grows
	r.calls = append(r.calls, c)
	r.length += 3 + len(c.args)
}

// argsOf are the arguments that lua/parts/run.lua names.
func (s *Store) argsOf(r *run) []any {
	args := make([]any, 0, 2+len(r.shards)+r.length)
	args = append(args, flag(!s.cfg.Unlisted), s.process)
	for _, shard := range r.shards {
		args = append(args, s.caller(shard, r.reads))
	}
	for _, c := range r.calls {
		args = append(args, r.place[c.shard], c.script.name, len(c.args))
		args = append(args, c.args...)
	}
	return args
}

// land gives every call its answer, and notes the marks. err is that of the pipeline: an
// error that Redis answered is of one run, and so is any where shards run apart, since each
// server has a connection of its own. Otherwise it is of all.
func (s *Store) land(r *run, err error) {
	var answers []any
	var answered redis.Error
	var none loadError
	own := r.cmd.Err()
	switch {
	case errors.As(err, &none):
		if own == nil || !unknown(own) { // else it says why
			err = own
		}
	case (errors.As(err, &answered) || s.apart.Load()) && (own != nil || r.cmd.Val() != nil):
		err = own // else no run was sent: Redis refused the connection
	}
	if s.apart.Load() {
		for _, shard := range r.shards {
			s.away[shard.number].Store(isAway(err))
		}
	}
	if err == nil {
		var v []any
		if v, err = r.cmd.Slice(); err == nil {
			for i, n := range array(v[0]) {
				if n := number(n); n > 0 {
					s.note(r.shards[i], n)
				}
			}
			answers = array(v[1])
		}
	}
	for i, c := range r.calls {
		switch {
		case err != nil:
			c.err = err
		case i >= len(answers):
			c.err = errors.New("redisstore: a run gave fewer answers than there were calls")
		default:
			c.answer, c.err = nil, nil
			if failed, ok := answers[i].(error); ok {
				c.err = failed
			} else {
				c.answer = array(answers[i])
			}
		}
	}
}

// isAway says that no server answered for the shard. One without the scripts has answered.
func isAway(err error) bool {
	var answered redis.Error
	var none loadError
	if err == nil || errors.As(err, &none) {
		return false
	}
	return !errors.As(err, &answered) || strings.HasPrefix(err.Error(), "CLUSTERDOWN")
}
