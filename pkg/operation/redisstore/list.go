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
// ones in its direction. It reads the day indexes, in one pipeline a day that has
// nothing and in two or more of one that has, until the page is full.
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
		w.sources = append(w.sources, dayIndex{shard: shard}, dayIndex{shard: shard, late: true})
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
	states := make([]*redis.SliceCmd, len(shards))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, shard := range shards {
			states[i] = pipe.MGet(ctx, s.prefix(shard)+"gen", s.prefix(shard)+"history")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, state := range states {
		if gen, history := state.Val()[0], state.Val()[1]; gen == nil || history != nil {
			return nil, ErrStale
		}
	}
	return shards, nil
}

// walk collects matching operations day by day.
type walk struct {
	store   *Store
	query   operation.Query
	sources []dayIndex
	want    int
	found   []operation.Operation
}

// dayIndex is the index of a day of a shard, the list or what came late, as far as it has been
// read.
type dayIndex struct {
	shard int
	late  bool
	// next is the place of the entry that is read next, of those that came late counted
	// from the window's start; done says that there are no more.
	next int64
	done bool
	// buffer holds what has been read and not been taken.
	buffer []at
}

// at is an index entry.
type at struct {
	operation.Position
	shard int
}

// What is read of an index at a time: at first its share of a page several times over,
// since operations are not spread evenly, and then twice as much each time.
const (
	chunkShare = 6
	chunkLeast = 16
	chunkMost  = 1001
)

// day reads one day's indexes until they are exhausted or enough is found.
func (w *walk) day(ctx context.Context, d, from, to int64) error {
	chunk := max(chunkLeast, chunkShare*w.want/operation.Shards)
	if err := w.locate(ctx, d, from, to, chunk); err != nil {
		return err
	}
	for ; ; chunk = min(2*chunk, chunkMost) {
		if err := w.read(ctx, d, from, to, chunk); err != nil {
			return err
		}
		entries, all := w.merged()
		if err := w.take(ctx, entries); err != nil {
			return err
		}
		if all || len(w.found) >= w.want {
			return nil
		}
	}
}

// merged takes what is known to come next, in walking order, out of the buffers: an index
// that has more may have it behind the last entry of its buffer. all says that nothing is
// left.
func (w *walk) merged() (entries []at, all bool) {
	horizon := operation.Position{}
	all = true
	for _, src := range w.sources {
		if src.done {
			continue
		}
		if last := src.buffer[len(src.buffer)-1].Position; all || w.before(last, horizon) {
			horizon, all = last, false
		}
	}
	for i := range w.sources {
		src := &w.sources[i]
		n := len(src.buffer)
		if !all {
			n = 0
			for n < len(src.buffer) && !w.before(horizon, src.buffer[n].Position) {
				n++
			}
		}
		entries, src.buffer = append(entries, src.buffer[:n]...), src.buffer[n:]
	}
	slices.SortFunc(entries, func(a, b at) int {
		if w.query.Backwards {
			return b.Compare(a.Position)
		}
		return a.Compare(b.Position)
	})
	return entries, all
}

// before says whether a comes before b in walking order.
func (w *walk) before(a, b operation.Position) bool {
	if w.query.Backwards {
		return a.Compare(b) > 0
	}
	return a.Compare(b) < 0
}

// locate finds where the window begins in each list, and reads first of what came late.
func (w *walk) locate(ctx context.Context, d, from, to int64, chunk int) error {
	start := from
	if w.query.Backwards {
		start = to + 1
	}
	calls, late := make([]*call, 0, len(w.sources)), make([]*redis.ZSliceCmd, len(w.sources))
	for i := range w.sources {
		src := &w.sources[i]
		*src = dayIndex{shard: src.shard, late: src.late}
		if !src.late {
			calls = append(calls, w.store.newCall(indexScript, src.shard, w.query.PartnerID.String(), d, start))
		}
	}
	if err := w.store.performed(ctx, calls...); err != nil {
		return err
	}
	_, err := w.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range w.sources {
			if src := &w.sources[i]; src.late {
				late[i] = w.readLate(ctx, pipe, src, d, from, to, chunk)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range w.sources {
		src := &w.sources[i]
		if src.late {
			if err := src.tookLate(late[i].Val(), chunk); err != nil {
				return err
			}
			continue
		}
		c := calls[0]
		calls = calls[1:]
		before, size := number(c.answer[0]), number(c.answer[1])
		if src.next, src.done = before, before == size; w.query.Backwards {
			src.next, src.done = before-1, before == 0
		}
	}
	return nil
}

// read fills up the buffers that hold less than half a chunk, in one pipeline.
func (w *walk) read(ctx context.Context, d, from, to int64, chunk int) error {
	lists, late := make([]*redis.StringSliceCmd, len(w.sources)), make([]*redis.ZSliceCmd, len(w.sources))
	_, err := w.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range w.sources {
			switch src := &w.sources[i]; {
			case src.done || len(src.buffer) > chunk/2:
			case src.late:
				late[i] = w.readLate(ctx, pipe, src, d, from, to, chunk)
			default:
				lists[i] = w.readList(ctx, pipe, src, d, chunk)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range w.sources {
		src := &w.sources[i]
		if lists[i] != nil {
			if err := w.tookList(src, lists[i].Val(), from, to, chunk); err != nil {
				return err
			}
		}
		if late[i] != nil {
			if err := src.tookLate(late[i].Val(), chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) readList(ctx context.Context, pipe redis.Pipeliner, src *dayIndex, d int64, chunk int) *redis.StringSliceCmd {
	first, last := src.next, src.next+int64(chunk)-1
	if w.query.Backwards {
		first, last = max(0, src.next-int64(chunk)+1), src.next
	}
	return pipe.LRange(ctx, fmt.Sprintf("%sday:%s:%d", w.store.prefix(src.shard), w.query.PartnerID, d), first, last)
}

// tookList takes entries of a list, which are in order of seq.
func (w *walk) tookList(src *dayIndex, entries []string, from, to int64, chunk int) error {
	step := int64(1)
	if w.query.Backwards {
		slices.Reverse(entries)
		step = -1
	}
	for _, e := range entries {
		p, err := position(e)
		if err != nil {
			return err
		}
		if p.Seq < from || p.Seq > to {
			src.done = true // past the end of the window
			return nil
		}
		src.buffer = append(src.buffer, at{p, src.shard})
		src.next += step
	}
	src.done = src.next < 0 || len(entries) < chunk
	return nil
}

func (w *walk) readLate(ctx context.Context, pipe redis.Pipeliner, src *dayIndex, d, from, to int64, chunk int) *redis.ZSliceCmd {
	key := fmt.Sprintf("%slate:%s:%d", w.store.prefix(src.shard), w.query.PartnerID, d)
	window := &redis.ZRangeBy{
		Min: strconv.FormatInt(from, 10), Max: strconv.FormatInt(to, 10), Offset: src.next, Count: int64(chunk),
	}
	if w.query.Backwards {
		return pipe.ZRevRangeByScoreWithScores(ctx, key, window)
	}
	return pipe.ZRangeByScoreWithScores(ctx, key, window)
}

func (src *dayIndex) tookLate(entries []redis.Z, chunk int) error {
	src.done = len(entries) < chunk
	for _, z := range entries {
		id, err := uuid.FromBytes([]byte(text(z.Member)))
		if err != nil {
			return fmt.Errorf("redisstore: day index: %w", err)
		}
		src.buffer = append(src.buffer, at{operation.Position{Seq: int64(z.Score), ID: id}, src.shard})
		src.next++
	}
	return nil
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
