package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

const dayMicros = int64(24 * time.Hour / time.Microsecond)

// List gives the partner's operations that the query selects, in ascending order
// of (Seq, ID), also when it walks backwards; more says that there are further
// ones in its direction. It reads the day indexes, one pipeline of at most 64
// keys a day, until the page is full.
func (s *Store) List(ctx context.Context, q operation.Query) (ops []operation.Operation, more bool, err error) {
	from, to := q.From.UnixMicro(), q.To.UnixMicro()-1 // To is exclusive
	if !q.Position.IsZero() {
		if q.Backwards {
			to = min(to, q.Position.Seq)
		} else {
			from = max(from, q.Position.Seq)
		}
	}
	if to < from {
		return nil, false, nil
	}
	shards, err := s.readable(ctx, q)
	if err != nil {
		return nil, false, err
	}
	w := walk{store: s, query: q, shards: shards, want: q.Limit + 1}
	for d := range days(from, to, q.Backwards) {
		if err := w.day(ctx, d, max(from, d*dayMicros), min(to, (d+1)*dayMicros-1)); err != nil {
			return nil, false, err
		}
		if len(w.found) >= w.want {
			break
		}
	}
	if more = len(w.found) > q.Limit; more {
		w.found = w.found[:q.Limit]
	}
	if q.Backwards {
		slices.Reverse(w.found)
	}
	return w.found, more, nil
}

// days gives the day numbers of a window in walking order.
func days(from, to int64, backwards bool) func(yield func(int64) bool) {
	first, last := from/dayMicros, to/dayMicros
	return func(yield func(int64) bool) {
		for i := int64(0); i <= last-first; i++ {
			d := first + i
			if backwards {
				d = last - i
			}
			if !yield(d) {
				return
			}
		}
	}
}

// readable lists the shards to read and refuses while one of them is being
// rebuilt: a list with holes would look complete.
func (s *Store) readable(ctx context.Context, q operation.Query) ([]int, error) {
	var shards []int
	if q.ConnectionID != uuid.Nil {
		shards = []int{operation.ShardOf(q.ConnectionID)}
	} else {
		for i := range operation.Shards {
			shards = append(shards, i)
		}
	}
	gens := make([]*redis.IntCmd, len(shards))
	histories := make([]*redis.IntCmd, len(shards))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range shards {
			gens[i] = pipe.Exists(ctx, s.prefix(shard)+"gen")
			histories[i] = pipe.Exists(ctx, s.prefix(shard)+"history")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range shards {
		if gens[i].Val() == 0 || histories[i].Val() == 1 {
			return nil, ErrStale
		}
	}
	return shards, nil
}

// walk collects matching operations day by day.
type walk struct {
	store  *Store
	query  operation.Query
	shards []int
	want   int
	found  []operation.Operation
}

// at is an index entry.
type at struct {
	operation.Position
	shard int
}

// day reads one day's indexes in chunks until it is exhausted or enough is found.
func (w *walk) day(ctx context.Context, d, from, to int64) error {
	chunk := int64(min(w.want, 1001))
	offsets := make([]int64, len(w.shards))
	done := make([]bool, len(w.shards))
	for {
		var entries []at
		horizon := operation.Position{} // beyond it a shard may hold entries not read yet
		cut := false
		got, err := w.indexes(ctx, d, from, to, offsets, done, chunk)
		if err != nil {
			return err
		}
		for i, list := range got {
			entries = append(entries, list...)
			offsets[i] += int64(len(list))
			if int64(len(list)) < chunk {
				done[i] = true
				continue
			}
			last := list[len(list)-1].Position
			if !cut || w.before(last, horizon) {
				horizon, cut = last, true
			}
		}
		slices.SortFunc(entries, func(a, b at) int {
			if w.query.Backwards {
				return b.Compare(a.Position)
			}
			return a.Compare(b.Position)
		})
		if cut {
			// Entries past the horizon are read again by the next round.
			keep := slices.IndexFunc(entries, func(e at) bool { return w.before(horizon, e.Position) })
			if keep >= 0 {
				for _, e := range entries[keep:] {
					i := slices.Index(w.shards, e.shard)
					offsets[i]--
					done[i] = false
				}
				entries = entries[:keep]
			}
		}
		if err := w.take(ctx, entries); err != nil {
			return err
		}
		if !cut || len(w.found) >= w.want {
			return nil
		}
	}
}

// before says whether a comes before b in walking order.
func (w *walk) before(a, b operation.Position) bool {
	if w.query.Backwards {
		return a.Compare(b) > 0
	}
	return a.Compare(b) < 0
}

func (w *walk) indexes(ctx context.Context, d, from, to int64, offsets []int64, done []bool, chunk int64) ([][]at, error) {
	cmds := make([]*redis.ZSliceCmd, len(w.shards))
	_, err := w.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range w.shards {
			if done[i] {
				continue
			}
			key := fmt.Sprintf("%sday:%s:%d", w.store.prefix(shard), w.query.PartnerID, d)
			window := &redis.ZRangeBy{
				Min: strconv.FormatInt(from, 10), Max: strconv.FormatInt(to, 10), Offset: offsets[i], Count: chunk,
			}
			if w.query.Backwards {
				cmds[i] = pipe.ZRevRangeByScoreWithScores(ctx, key, window)
			} else {
				cmds[i] = pipe.ZRangeByScoreWithScores(ctx, key, window)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([][]at, len(w.shards))
	for i, cmd := range cmds {
		if cmd == nil {
			continue
		}
		for _, z := range cmd.Val() {
			id, err := uuid.Parse(text(z.Member))
			if err != nil {
				return nil, fmt.Errorf("redisstore: day index: %w", err)
			}
			out[i] = append(out[i], at{Position: operation.Position{Seq: int64(z.Score), ID: id}, shard: w.shards[i]})
		}
	}
	return out, nil
}

// take reads the records of the entries and keeps those that the query selects.
func (w *walk) take(ctx context.Context, entries []at) error {
	entries = slices.DeleteFunc(entries, func(e at) bool {
		return !w.query.Position.IsZero() && !w.before(w.query.Position, e.Position)
	})
	for part := range slices.Chunk(entries, 256) {
		cmds := make([]*redis.MapStringStringCmd, len(part))
		_, err := w.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i, e := range part {
				cmds[i] = pipe.HGetAll(ctx, w.store.prefix(e.shard)+"op:"+e.ID.String())
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, cmd := range cmds {
			h := cmd.Val()
			if h["doc"] == "" {
				continue // its time to live is over
			}
			rec, err := decodeRecord(h)
			if err != nil {
				return err
			}
			if w.query.Matches(rec.Operation.Accepted) {
				w.found = append(w.found, rec.Operation)
			}
			if len(w.found) >= w.want {
				return nil
			}
		}
	}
	return nil
}
