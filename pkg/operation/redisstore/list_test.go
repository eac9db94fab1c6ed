package redisstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// many accepts operations over several connections and gives them in list order.
func (f *fixture) many(connections, each int) []operation.Operation {
	f.t.Helper()
	var all []operation.Operation
	for c := range connections {
		f.conn = uuid.Must(uuid.NewV7())
		some := make([]operation.Accepted, each)
		for i := range some {
			a := f.accepted(uuid.New())
			a.FleetRef = fmt.Sprintf("fleet-%d", c)
			a.SourceID = fmt.Sprintf("source-%d", i)
			if i%2 == 0 {
				a.Provider = "samsara"
			}
			some[i] = a
		}
		for i, taken := range f.acceptMany(some...) {
			require.NoError(f.t, taken.Err)
			all = append(all, operation.Operation{Accepted: some[i], Place: taken.Receipt.Place})
		}
	}
	return all
}

func (f *fixture) query() operation.Query {
	return operation.Query{
		PartnerID: f.partner, From: time.Now().Add(-24 * time.Hour), To: time.Now().Add(time.Minute), Limit: 100,
	}
}

func idsOf(ops []operation.Operation) []string {
	out := make([]string, len(ops))
	for i, op := range ops {
		out[i] = op.ID.String()
	}
	return out
}

func TestList_WalksBothWays(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		all := f.many(7, 9)
		sizes := []int{1, 4, 63, 64, 1000}
		if f.embedded {
			sizes = []int{7, 64}
		}
		for _, size := range sizes {
			q := f.query()
			q.Limit = size
			var forward []operation.Operation
			for {
				page, more, err := f.store.List(t.Context(), q)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page), size)
				forward = append(forward, page...)
				if !more {
					break
				}
				last := page[len(page)-1]
				q.Position = operation.Position{Seq: last.Seq, ID: last.ID}
			}
			require.Equal(t, idsOf(all), idsOf(forward), "size %d", size)

			q = f.query()
			q.Limit, q.Backwards = size, true
			var backward []operation.Operation
			for {
				page, more, err := f.store.List(t.Context(), q)
				require.NoError(t, err)
				backward = append(append([]operation.Operation{}, page...), backward...)
				if !more {
					break
				}
				q.Position = operation.Position{Seq: page[0].Seq, ID: page[0].ID}
			}
			require.Equal(t, idsOf(all), idsOf(backward), "backwards, size %d", size)
		}
	})
}

// TestList_LargeOperations: a page ends before it is too large to be held, and the walk
// goes on from there, both ways.
func TestList_LargeOperations(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	large := strings.Repeat("x", 64<<10)
	var all []string
	for i := range 150 {
		a := f.accepted(uuid.New())
		a.Changes = operation.Changes{operation.FieldNotes: operation.Text("small")}
		if i%4 != 0 {
			a.Changes = operation.Changes{operation.FieldNotes: operation.Text(large)}
		}
		f.accept(a)
		all = append(all, a.ID.String())
	}
	for _, backwards := range []bool{false, true} {
		q := f.query()
		q.Limit, q.Backwards = 1000, backwards
		var walked []string
		pages := 0
		for more := true; more; pages++ {
			page, further, err := f.store.List(t.Context(), q)
			require.NoError(t, err)
			require.NotEmpty(t, page)
			bytes := 0
			for _, op := range page {
				bytes += len(op.Changes[operation.FieldNotes].Text())
			}
			require.LessOrEqual(t, bytes, 4<<20)
			last := page[len(page)-1]
			if more = further; backwards {
				last = page[0]
				walked = append(idsOf(page), walked...)
			} else {
				walked = append(walked, idsOf(page)...)
			}
			q.Position = operation.Position{Seq: last.Seq, ID: last.ID}
		}
		require.Equal(t, all, walked)
		require.Equal(t, 2, pages)
	}
}

// between does something before each pipeline, which is told its number from 1.
type between struct{ do func(pipeline int) }

func (between) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (between) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (b between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	n := 0
	return func(ctx context.Context, cmds []redis.Cmder) error {
		n++
		b.do(n)
		return next(ctx, cmds)
	}
}

// TestList_WhatComesMeanwhile: the shards' indexes are read one step after the other. What
// is accepted where it was read already is not passed over for what comes later elsewhere.
func TestList_WhatComesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, backwards := range []bool{false, true} {
		url := testenv.Redis(t)
		f := newFixture(t, url, redisstore.Config{})
		first := f.many(3, 3)[0]
		in := func(shard int) uuid.UUID {
			for {
				if f.conn = uuid.Must(uuid.NewV7()); operation.ShardOf(f.conn) == shard {
					a := f.accepted(uuid.New())
					f.accept(a)
					return a.ID
				}
			}
		}
		var early, late uuid.UUID
		rdb := client(t, url)
		rdb.AddHook(between{func(pipeline int) {
			if pipeline == 3 { // the first may only find that the library is not there
				early, late = in(0), in(operation.Shards-1)
			}
		}})
		q := f.query()
		q.Backwards = backwards
		q.From = first.CreatedAt().Truncate(24 * time.Hour) // one day is read in four steps
		page, more, err := redisstore.New(rdb, redisstore.Config{}).List(t.Context(), q)
		require.NoError(t, err)
		require.False(t, more)
		require.Equal(t, []string{early.String(), late.String()}, idsOf(page)[9:], "backwards %t", backwards)
	}
}

// beforeRecords does something when a list is about to read the records of its index.
type beforeRecords struct{ do func() }

func (beforeRecords) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (beforeRecords) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (b beforeRecords) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "hmget" {
			b.do()
		}
		return next(ctx, cmds)
	}
}

// TestList_LostMeanwhile: what is lost between the index and the records leaves no hole.
func TestList_LostMeanwhile(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	f := newFixture(t, url, redisstore.Config{})
	f.many(3, 3)
	rdb := client(t, url)
	rdb.AddHook(beforeRecords{func() { require.NoError(t, f.rdb.FlushAll(t.Context()).Err()) }})
	_, _, err := redisstore.New(rdb, redisstore.Config{}).List(t.Context(), f.query())
	require.ErrorIs(t, err, redisstore.ErrStale)
}

// TestList_UnevenIndexes: what one index holds of a page may be all of it or nothing, and
// its end may be that of what is read at a time.
func TestList_UnevenIndexes(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		sizes := []int{7, 40, 200, 300}
		if f.embedded {
			sizes = []int{40, 300}
		}
		var all []operation.Operation
		for _, n := range []int{16, 1, 48, 15, 17, 150, 16} {
			all = append(all, f.many(1, n)...)
		}
		for _, size := range sizes {
			for _, backwards := range []bool{false, true} {
				q := f.query()
				q.Limit, q.Backwards = size, backwards
				var got []operation.Operation
				for more := true; more; {
					var page []operation.Operation
					var err error
					page, more, err = f.store.List(t.Context(), q)
					require.NoError(t, err)
					require.NotEmpty(t, page)
					edge := page[len(page)-1]
					if got = append(got, page...); backwards {
						edge, got = page[0], append(page, got[:len(got)-len(page)]...)
					}
					q.Position = operation.Position{Seq: edge.Seq, ID: edge.ID}
				}
				require.Equal(t, idsOf(all), idsOf(got), "size %d, backwards %t", size, backwards)
			}
		}
	})
}

// TestList_KnowsWhereTheNextPageBegins: a store that gave a page does not search the indexes for
// the next one. What it remembers is a guess: a list that was filled anew meanwhile, with more
// before the page or with less, gives the same page.
func TestList_KnowsWhereTheNextPageBegins(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	conns, some := make([]uuid.UUID, 9), make([]operation.Accepted, 360)
	for i := range conns {
		conns[i] = uuid.Must(uuid.NewV7())
	}
	for i := range some {
		some[i] = f.accepted(uuid.New())
		some[i].ConnectionID = conns[i%len(conns)]
	}
	f.acceptMany(some...)
	q := f.query()
	q.Limit = len(some)
	all, _, err := f.store.List(t.Context(), q)
	require.NoError(t, err)
	q.Limit = 90
	first, more, err := f.store.List(t.Context(), q)
	require.NoError(t, err)
	require.True(t, more)
	q.Position = operation.Position{Seq: first[89].Seq, ID: first[89].ID}
	page := func(s *redisstore.Store) (searched int) {
		before := f.calls("lindex")
		ops, _, err := s.List(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, idsOf(all[90:180]), idsOf(ops))
		return f.calls("lindex") - before
	}
	stranger := redisstore.New(f.rdb, redisstore.Config{})
	require.NoError(t, stranger.Begin(t.Context(), allShards()))
	unknown := page(stranger)
	require.Less(t, 4*page(f.store), unknown)

	taken := map[uuid.UUID]int{}
	for _, op := range first {
		taken[op.ConnectionID]++
	}
	var lists []string // that have enough before the page
	for conn, n := range taken {
		if f.conn = conn; n > 4 {
			lists = append(lists, f.key(fmt.Sprintf("day:%s:%d", f.partner, first[0].Seq/int64(24*time.Hour/time.Microsecond))))
		}
	}
	require.NotEmpty(t, lists)
	slices.Sort(lists)
	lists = slices.Compact(lists)
	early := append(binary.BigEndian.AppendUint64(nil, uint64(all[0].Seq-1))[1:], make([]byte, 16)...)
	for _, change := range []func(list string) error{
		func(list string) error { return f.rdb.LPop(t.Context(), list).Err() },
		func(list string) error { return f.rdb.LPush(t.Context(), list, early, early).Err() },
		func(list string) error { return f.rdb.LTrim(t.Context(), list, 4, -1).Err() },
	} {
		for _, list := range lists {
			require.NoError(t, change(list))
		}
		page(f.store)
	}
}

// TestList_EmptyPageWithMore: a page may be empty though there is more.
func TestList_EmptyPageWithMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	f.many(1, 2)
	q := f.query()
	q.Limit = 0
	ops, more, err := f.store.List(t.Context(), q)
	require.NoError(t, err)
	require.Empty(t, ops)
	require.True(t, more)
}

// A day of very many operations of which a filter selects none is read to its end.
func TestList_ManyThatDoNotMatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	const dayMicros, many = 86_400_000_000, 70_000
	day := f.accept(f.accepted(uuid.New())).Seq / dayMicros
	key, pipe := f.key(fmt.Sprintf("day:%s:%d", f.partner, day)), f.rdb.Pipeline()
	pipe.Del(t.Context(), key)
	for i := range many {
		entry := binary.BigEndian.AppendUint64(nil, uint64(day*dayMicros+int64(i)+1))[1:]
		pipe.RPush(t.Context(), key, append(entry, make([]byte, 16)...))
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	ops, more, err := f.store.List(t.Context(), operation.Query{
		PartnerID: f.partner, ConnectionID: f.conn, SourceID: "nobody", Limit: 100,
		From: time.UnixMicro(day * dayMicros), To: time.UnixMicro((day + 1) * dayMicros),
	})
	require.NoError(t, err)
	require.Empty(t, ops)
	require.False(t, more)
}

func TestList_FiltersAndTenants(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		all := f.many(3, 4)
		count := func(change func(*operation.Query)) int {
			q := f.query()
			change(&q)
			ops, _, err := f.store.List(t.Context(), q)
			require.NoError(t, err)
			return len(ops)
		}
		require.Equal(t, 12, count(func(*operation.Query) {}))
		require.Equal(t, 6, count(func(q *operation.Query) { q.Provider = "samsara" }))
		require.Equal(t, 4, count(func(q *operation.Query) { q.ConnectionID = f.conn }))
		require.Equal(t, 8, count(func(q *operation.Query) { q.FleetRefs = []string{"fleet-0", "fleet-2"} }))
		require.Equal(t, 3, count(func(q *operation.Query) { q.Resource, q.SourceID = "user", "source-1" }))
		require.Equal(t, 0, count(func(q *operation.Query) { q.Type = operation.Create }))
		require.Equal(t, 0, count(func(q *operation.Query) { q.Resource = "vehicle" }))
		require.Equal(t, 0, count(func(q *operation.Query) { q.PartnerID = uuid.New() }))
		require.Equal(t, 0, count(func(q *operation.Query) { q.To = q.From }))
		cut := all[5].CreatedAt()
		require.Equal(t, 7, count(func(q *operation.Query) { q.From = cut }), "from is inclusive")
		require.Equal(t, 5, count(func(q *operation.Query) { q.To = cut }), "to is exclusive")
	})
}

// TestList_LikeOneSortedList: whatever the places of what is kept, how unevenly they lie and
// in which order they came, pages show those of the window, each once and in order.
func TestList_LikeOneSortedList(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		histories := 0
		rapid.Check(t, func(rt *rapid.T) {
			if histories++; f.embedded && histories > 4 {
				return
			}
			k := kept{f: f, partner: uuid.Must(uuid.NewV7())}
			k.keep(rt)
			for range 3 {
				k.compare(rt)
			}
		})
	})
}

// kept are operations of a partner that lie in the store.
type kept struct {
	f       *fixture
	partner uuid.UUID
	ops     []operation.Operation
}

func (k *kept) keep(t *rapid.T) {
	lanes := make([]uuid.UUID, rapid.IntRange(1, 3).Draw(t, "connections"))
	for i := range lanes {
		lanes[i] = uuid.Must(uuid.NewV7())
	}
	tiny, long := rapid.Int64Range(0, 1000), rapid.Int64Range(0, int64(6*time.Hour/time.Microsecond))
	gap := rapid.SampledFrom([]*rapid.Generator[int64]{rapid.Int64Range(0, 2), tiny, rapid.OneOf(tiny, tiny, long), long}).Draw(t, "gaps")
	seq := time.Now().Add(-5 * 24 * time.Hour).UnixMicro()
	late := rapid.SampledFrom([]int{0, 1, 9}).Draw(t, "late of ten")
	for i := range rapid.IntRange(0, 80).Draw(t, "operations") {
		seq += gap.Draw(t, "gap")
		a := k.f.accepted(uuid.New())
		a.PartnerID, a.ConnectionID = k.partner, rapid.SampledFrom(lanes).Draw(t, "connection")
		op := operation.Operation{Accepted: a, Status: operation.Succeeded}
		if op.Seq = seq; i > 0 && rapid.IntRange(0, 9).Draw(t, "late") < late {
			op.Seq = k.ops[rapid.IntRange(0, i-1).Draw(t, "after")].Seq + gap.Draw(t, "by")
		}
		op.UpdatedAt, op.Deadline = op.CreatedAt(), op.CreatedAt()
		require.NoError(t, k.f.store.Keep(k.f.t.Context(), op))
		k.ops = append(k.ops, op)
	}
}

// compare draws a query and reads all its pages.
func (k *kept) compare(t *rapid.T) {
	q := operation.Query{
		PartnerID: k.partner, From: k.edge(t, "from"), To: k.edge(t, "to"), Limit: rapid.SampledFrom([]int{1, 2, 7, 30, 300}).Draw(t, "limit"),
		Backwards: rapid.Bool().Draw(t, "backwards"),
	}
	if len(k.ops) > 0 && rapid.Bool().Draw(t, "one connection") {
		q.ConnectionID = k.ops[0].ConnectionID
	}
	want := slices.DeleteFunc(slices.Clone(k.ops), func(op operation.Operation) bool {
		return !q.Matches(op.Accepted) || op.CreatedAt().Before(q.From) || !op.CreatedAt().Before(q.To)
	})
	slices.SortFunc(want, func(a, b operation.Operation) int {
		return operation.Position{Seq: a.Seq, ID: a.ID}.Compare(operation.Position{Seq: b.Seq, ID: b.ID})
	})
	got := []operation.Operation{}
	for more := true; more; {
		page, further, err := k.f.store.List(k.f.t.Context(), q)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), q.Limit)
		require.True(t, !further || len(page) == q.Limit, "only the last page is not full")
		if more = further; q.Backwards {
			got = append(page, got...)
		} else {
			got = append(got, page...)
		}
		if len(page) > 0 {
			edge := page[len(page)-1]
			if q.Backwards {
				edge = page[0]
			}
			q.Position = operation.Position{Seq: edge.Seq, ID: edge.ID}
		}
	}
	require.Equal(t, idsOf(want), idsOf(got))
}

// edge is an end of a window: at one of the operations, beside it, or away from all.
func (k *kept) edge(t *rapid.T, name string) time.Time {
	if len(k.ops) == 0 || rapid.IntRange(0, 3).Draw(t, name+" away") == 0 {
		return time.Now().Add(time.Duration(rapid.IntRange(-150, 1).Draw(t, name+" hours")) * time.Hour)
	}
	seq := rapid.SampledFrom(k.ops).Draw(t, name).Seq + rapid.Int64Range(-1, 1).Draw(t, name+" beside")
	return time.UnixMicro(seq).UTC()
}

// TestList_RefusesWhatItCannotKnow: a shard without its data, or whose older history is on
// its way back, would make a list with holes.
func TestList_RefusesWhatItCannotKnow(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.accept(f.accepted(uuid.New()))
		list := func() error {
			_, _, err := f.store.List(t.Context(), f.query())
			return err
		}
		require.NoError(t, list())
		other := (operation.ShardOf(f.conn) + 1) % operation.Shards
		for _, change := range []struct {
			name string
			do   func(key string) error
			undo func(key string) error
		}{
			{
				"history",
				func(key string) error { return f.rdb.Set(t.Context(), key, "1", 0).Err() },
				func(key string) error { return f.rdb.Del(t.Context(), key).Err() },
			},
			{
				"gen",
				func(key string) error { return f.rdb.Rename(t.Context(), key, key+"-away").Err() },
				func(key string) error { return f.rdb.Rename(t.Context(), key+"-away", key).Err() },
			},
		} {
			key := "wb:{" + twoDigits(other) + "}:" + change.name
			require.NoError(t, change.do(key))
			require.ErrorIs(t, list(), redisstore.ErrStale, change.name)
			q := f.query()
			q.ConnectionID = f.conn
			ops, _, err := f.store.List(t.Context(), q)
			require.NoError(t, err, "a connection of another shard is not concerned")
			require.Len(t, ops, 1)
			require.NoError(t, change.undo(key))
			require.NoError(t, list())
		}
	})
}
