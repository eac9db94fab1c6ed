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
	w := walk{store: s, query: q, want: q.Limit + 1}
	for _, shard := range shards {
		w.sources = append(w.sources, indexOf{shard, false}, indexOf{shard, true})
	}
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
	store   *Store
	query   operation.Query
	sources []indexOf
	want    int
	found   []operation.Operation
}

// indexOf is one day index of a shard: the list, or what came late.
type indexOf struct {
	shard int
	late  bool
}

// at is an index entry, and the number of the index that has it.
type at struct {
	operation.Position
	shard, source int
}

// day reads one day's indexes in chunks until it is exhausted or enough is found.
func (w *walk) day(ctx context.Context, d, from, to int64) error {
	chunk := int64(min(w.want, 1001))
	offsets := make([]int64, len(w.sources))
	done := make([]bool, len(w.sources))
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
					offsets[e.source]--
					done[e.source] = false
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
	lists, late := make([]*redis.Cmd, len(w.sources)), make([]*redis.ZSliceCmd, len(w.sources))
	err := w.store.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, source := range w.sources {
			switch {
			case done[i]:
			case source.late:
				late[i] = w.late(ctx, pipe, source.shard, d, from, to, offsets[i], chunk)
			default:
				lists[i] = w.store.scripts.call(ctx, pipe, indexScript, w.store.keys(source.shard),
					"", w.query.PartnerID.String(), d, from, to, flag(w.query.Backwards), offsets[i], chunk)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	out := make([][]at, len(w.sources))
	for i, source := range w.sources {
		switch {
		case done[i]:
		case source.late:
			for _, z := range late[i].Val() {
				id, err := uuid.FromBytes([]byte(text(z.Member)))
				if err != nil {
					return nil, fmt.Errorf("redisstore: day index: %w", err)
				}
				out[i] = append(out[i], at{operation.Position{Seq: int64(z.Score), ID: id}, source.shard, i})
			}
		default:
			entries, err := lists[i].StringSlice()
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				p, err := position(e)
				if err != nil {
					return nil, err
				}
				out[i] = append(out[i], at{p, source.shard, i})
			}
			if w.query.Backwards {
				slices.Reverse(out[i])
			}
		}
	}
	return out, nil
}

func (w *walk) late(ctx context.Context, pipe redis.Pipeliner, shard int, d, from, to, offset, chunk int64) *redis.ZSliceCmd {
	key := fmt.Sprintf("%slate:%s:%d", w.store.prefix(shard), w.query.PartnerID, d)
	window := &redis.ZRangeBy{Min: strconv.FormatInt(from, 10), Max: strconv.FormatInt(to, 10), Offset: offset, Count: chunk}
	if w.query.Backwards {
		return pipe.ZRevRangeByScoreWithScores(ctx, key, window)
	}
	return pipe.ZRangeByScoreWithScores(ctx, key, window)
}

// seqBytes is how much of an index entry holds the seq; the id follows.
const seqBytes = 7

func position(entry string) (operation.Position, error) {
	if len(entry) != seqBytes+len(uuid.UUID{}) {
		return operation.Position{}, fmt.Errorf("redisstore: day index: an entry of %d bytes", len(entry))
	}
	var p operation.Position
	for _, b := range []byte(entry[:seqBytes]) {
		p.Seq = p.Seq<<8 | int64(b)
	}
	copy(p.ID[:], entry[seqBytes:])
	return p, nil
}

// take reads the records of the entries and keeps those that the query selects.
func (w *walk) take(ctx context.Context, entries []at) error {
	entries = slices.DeleteFunc(entries, func(e at) bool {
		return !w.query.Position.IsZero() && !w.before(w.query.Position, e.Position)
	})
	for part := range slices.Chunk(entries, 256) {
		records, err := w.store.records(ctx, part)
		if err != nil {
			return err
		}
		for _, rec := range records {
			if rec == nil {
				continue // its time to live is over
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

// records reads the records of index entries: from their pages, those that have not
// ended by themselves, and those that ended in between from their pages again. Nil
// stands for one that is gone.
func (s *Store) records(ctx context.Context, entries []at) ([]*Record, error) {
	out := make([]*Record, len(entries))
	for range 2 {
		if err := s.pages(ctx, entries, out); err != nil {
			return nil, err
		}
		if !slices.Contains(out, nil) {
			return out, nil
		}
		if err := s.hashes(ctx, entries, out); err != nil {
			return nil, err
		}
		if !slices.Contains(out, nil) {
			return out, nil
		}
	}
	return out, nil
}

// pages fills in the missing records that lie in pages, a page at a time.
func (s *Store) pages(ctx context.Context, entries []at, out []*Record) error {
	places := map[string][]int{}
	for i, e := range entries {
		if out[i] == nil {
			key := s.prefix(e.shard) + "page:" + pageName(e.ID)
			places[key] = append(places[key], i)
		}
	}
	cmds := make(map[string]*redis.SliceCmd, len(places))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for key, at := range places {
			fields := make([]string, len(at))
			for k, i := range at {
				fields[k] = pageField(entries[i].ID)
			}
			cmds[key] = pipe.HMGet(ctx, key, fields...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, cmd := range cmds {
		for k, v := range cmd.Val() {
			whole, ok := v.(string)
			if !ok {
				continue
			}
			rec, err := decodePage([]byte(whole))
			if err != nil {
				return err
			}
			out[places[key][k]] = &rec
		}
	}
	return nil
}

// hashes fills in the missing records that have a hash of their own.
func (s *Store) hashes(ctx context.Context, entries []at, out []*Record) error {
	cmds := make([]*redis.MapStringStringCmd, len(entries))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, e := range entries {
			if out[i] == nil {
				cmds[i] = pipe.HGetAll(ctx, s.prefix(e.shard)+"op:"+e.ID.String())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, cmd := range cmds {
		if cmd == nil || len(cmd.Val()) == 0 {
			continue
		}
		rec, err := decodeRecord(cmd.Val(), nil, ownRow{})
		if err != nil {
			return err
		}
		out[i] = &rec
	}
	return nil
}
