package redisstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"writeback/pkg/operation"
)

// Taken is what accepting one of many operations gave.
type Taken struct {
	Receipt Receipt
	// Err is one of the errors of Accept. Nil: the receipt holds.
	Err error
}

// manyMost is how many operations one script accepts: nothing can interrupt it.
const manyMost = 64

// AcceptMany is AcceptNew for many operations at once; limits gives those of each. It
// answers for each, in their order. What is for one shard is accepted in the order
// given, by one script for each 64; the shards do not wait for each other. When a
// script fails, nothing that comes after it in the shard is accepted, so that no write
// overtakes an earlier one: all of that has the script's error.
func (s *Store) AcceptMany(ctx context.Context, all []operation.Accepted, limits func(operation.Accepted) Limits) []Taken {
	out := make([]Taken, len(all))
	var shards [operation.Shards][]int
	for i, a := range all {
		shard := operation.ShardOf(a.ConnectionID)
		shards[shard] = append(shards[shard], i)
	}
	var running sync.WaitGroup
	for shard, places := range shards {
		if len(places) > 0 {
			running.Go(func() { s.acceptShard(ctx, shard, places, all, limits, out) })
		}
	}
	running.Wait()
	return out
}

// acceptShard accepts the operations at the places, which are all of one shard.
func (s *Store) acceptShard(
	ctx context.Context, shard int, places []int, all []operation.Accepted, limits func(operation.Accepted) Limits, out []Taken,
) {
	var failed error
	for some := range slices.Chunk(places, manyMost) {
		if failed == nil {
			failed = s.acceptSome(ctx, shard, some, all, limits, out)
		}
		if failed != nil {
			s.unacceptedSome(ctx, some, all, failed, out)
		}
	}
}

// askedAtOnce bounds the operations of a shard of which it is asked at a time what came of them.
const askedAtOnce = 16

// unacceptedSome is unaccepted for the operations at the places.
func (s *Store) unacceptedSome(ctx context.Context, places []int, all []operation.Accepted, refused error, out []Taken) {
	var g errgroup.Group
	g.SetLimit(askedAtOnce)
	for _, i := range places {
		g.Go(func() error {
			out[i].Receipt, out[i].Err = s.unaccepted(ctx, all[i], refused)
			return nil
		})
	}
	_ = g.Wait()
}

// acceptSome runs one script. An error is for all of the places.
func (s *Store) acceptSome(
	ctx context.Context, shard int, places []int, all []operation.Accepted, limits func(operation.Accepted) Limits, out []Taken,
) error {
	args := make([]any, 0, acceptFields*len(places))
	for _, i := range places {
		args = append(args, s.acceptArgs(all[i], limits(all[i]), slot{})...)
	}
	asked := time.Now()
	r, err := s.run(ctx, manyScript, shard, args...)
	if err != nil {
		return err
	}
	if r.word() != "ok" || len(array(r[1])) != len(places) {
		return fmt.Errorf("redisstore: accepting many answered %q", r.word())
	}
	for n, answer := range array(r[1]) {
		out[places[n]].Receipt, out[places[n]].Err = receipt(array(answer), asked)
	}
	return nil
}
