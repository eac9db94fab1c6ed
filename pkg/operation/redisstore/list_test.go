package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// many accepts operations over several connections and gives them in list order.
func (f *fixture) many(connections, each int) []operation.Operation {
	f.t.Helper()
	var all []operation.Operation
	for c := range connections {
		f.conn = uuid.Must(uuid.NewV7())
		for i := range each {
			a := f.accepted(uuid.New())
			a.FleetRef = fmt.Sprintf("fleet-%d", c)
			a.SourceID = fmt.Sprintf("source-%d", i)
			if i%2 == 0 {
				a.Provider = "samsara"
			}
			f.accept(a)
			all = append(all, f.get(a.ID))
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
		for _, size := range []int{1, 4, 63, 64, 1000} {
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

// TestList_UnevenIndexes: what one index holds of a page may be all of it or nothing, and
// its end may be that of what is read at a time.
func TestList_UnevenIndexes(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		var all []operation.Operation
		for _, n := range []int{16, 1, 48, 15, 17, 150, 16} {
			all = append(all, f.many(1, n)...)
		}
		for _, size := range []int{7, 40, 200, 300} {
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
