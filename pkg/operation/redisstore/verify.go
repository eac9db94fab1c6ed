package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// Filling is the data of one shard, as one rebuild or beginning made it.
type Filling struct {
	Shard int
	Gen   string
	// Since is the last time at which the data was known to be whole.
	Since time.Time
}

// Fillings lists the shards that have data.
func (s *Store) Fillings(ctx context.Context) ([]Filling, error) {
	now, err := s.clock(ctx)
	if err != nil {
		return nil, fmt.Errorf("redisstore: fillings: %w", err)
	}
	gens := make([]*redis.StringCmd, operation.Shards)
	beats := make([]*redis.StringSliceCmd, operation.Shards)
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for shard := range gens {
			gens[shard] = pipe.Get(ctx, s.prefix(shard)+"gen")
			beats[shard] = pipe.HVals(ctx, s.prefix(shard)+"beat")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("redisstore: fillings: %w", err)
	}
	var out []Filling
	for shard, cmd := range gens {
		if errors.Is(cmd.Err(), redis.Nil) {
			continue
		}
		if err := errors.Join(cmd.Err(), beats[shard].Err()); err != nil {
			return nil, fmt.Errorf("redisstore: fillings: %w", err)
		}
		f := Filling{Shard: shard, Gen: cmd.Val()}
		if id, err := uuid.Parse(f.Gen); err == nil { // a UUIDv7 says when it was made
			f.Since = time.Unix(id.Time().UnixTime())
		}
		for _, beat := range beats[shard].Val() {
			if at := milli(atoi(beat)); at.After(f.Since) && atoi(beat) <= now {
				f.Since = at
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// Mark leaves this process's mark in shards that have data, under the generations that were
// found. From then on it notices if they go back to what was before, as if it had polled them;
// that is no sign of life.
func (s *Store) Mark(ctx context.Context, fillings []Filling) error {
	calls := make([]*call, len(fillings))
	for i, f := range fillings {
		calls[i] = s.newCall(pollScript, f.Shard, 0, flag(false))
		calls[i].gen = f.Gen
	}
	if err := s.performed(ctx, calls...); err != nil {
		return fmt.Errorf("redisstore: mark: %w", err)
	}
	return nil
}

// clock gives Redis's time in ms, a moment later than any beat that was written.
func (s *Store) clock(ctx context.Context) (int64, error) {
	now, err := s.rdb.Time(ctx).Result()
	return now.Add(clocksDiffer).UnixMilli(), err
}

// clocksDiffer is how far apart the clocks of a cluster's servers may be.
const clocksDiffer = time.Second

// Lacks lists the operations of which the store does not have what a fact says: the
// record, as many rows, the end. Of a record that cannot be read nothing is said.
func (s *Store) Lacks(ctx context.Context, facts []Fact) ([]operation.Operation, error) {
	entries := make([]at, len(facts))
	for i, f := range facts {
		entries[i] = at{
			Position: operation.Position{Seq: f.Operation.Seq, ID: f.Operation.ID}, shard: operation.ShardOf(f.Operation.ConnectionID),
		}
	}
	records, err := s.records(ctx, entries)
	if err != nil {
		return nil, fmt.Errorf("redisstore: compare: %w", err)
	}
	var lacking []operation.Operation
	for i, rec := range records {
		f := facts[i]
		if rec != nil && rec.unread != nil {
			continue // it is there, and filling the shard again would leave it as it is
		}
		if rec == nil || len(rec.Operation.Attempts) < f.rows() || f.Final && rec.Operation.Status != f.Operation.Status {
			lacking = append(lacking, f.Operation)
		}
	}
	return lacking, nil
}

// deleteIf deletes a key that holds a value.
const deleteIf = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

// CloseFilling closes a shard whose data is not whole, unless it has been filled anew
// meanwhile. It is rebuilt like one that has none.
func (s *Store) CloseFilling(ctx context.Context, f Filling) error {
	if err := s.rdb.Eval(ctx, deleteIf, []string{s.prefix(f.Shard) + "gen"}, f.Gen).Err(); err != nil {
		return fmt.Errorf("redisstore: close shard %d: %w", f.Shard, err)
	}
	return nil
}

// rows is how many rows the log had at least.
func (f Fact) rows() int { return max(f.FirstRow-1, 0) + len(f.Operation.Attempts) }
