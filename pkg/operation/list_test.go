package operation_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

func TestQuery_Matches(t *testing.T) {
	t.Parallel()
	connection, other := uuid.MustParse("00000000-0000-7000-8000-0000000000c1"), uuid.MustParse("00000000-0000-7000-8000-0000000000c2")
	a := operation.Accepted{
		Resource: operation.ResourceUser, ConnectionID: connection, Provider: "samsara",
		FleetRef: "fleet-1", Type: operation.Update, SourceID: "s-1",
	}
	for _, tc := range []struct {
		name  string
		query operation.Query
		want  bool
	}{
		{"nothing asked", operation.Query{}, true},
		{"resource", operation.Query{Resource: "user"}, true},
		{"other resource", operation.Query{Resource: "vehicle"}, false},
		{"connection", operation.Query{ConnectionID: connection}, true},
		{"other connection", operation.Query{ConnectionID: other}, false},
		{"provider", operation.Query{Provider: "samsara"}, true},
		{"other provider", operation.Query{Provider: "Samsara"}, false},
		{"type", operation.Query{Type: operation.Update}, true},
		{"other type", operation.Query{Type: operation.Create}, false},
		{"source id", operation.Query{SourceID: "s-1"}, true},
		{"other source id", operation.Query{SourceID: "s-"}, false},
		{"fleet", operation.Query{FleetRefs: []string{"fleet-1"}}, true},
		{"one of the fleets", operation.Query{FleetRefs: []string{"fleet-0", "fleet-1"}}, true},
		{"other fleets", operation.Query{FleetRefs: []string{"fleet-0", ""}}, false},
		{"no fleets is no filter", operation.Query{FleetRefs: []string{}}, true},
		{"all", operation.Query{
			Resource: "user", ConnectionID: connection, Provider: "samsara", FleetRefs: []string{"fleet-1"},
			Type: operation.Update, SourceID: "s-1",
		}, true},
		{"all but one", operation.Query{
			Resource: "user", ConnectionID: connection, Provider: "samsara", FleetRefs: []string{"fleet-1"},
			Type: operation.Update, SourceID: "s-2",
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, tc.query.Matches(a))
		})
	}
}

func TestQuery_FleetsLeaveOutWhatHasNone(t *testing.T) {
	t.Parallel()
	require.False(t, operation.Query{FleetRefs: []string{"fleet-1"}}.Matches(operation.Accepted{}))
	require.True(t, operation.Query{FleetRefs: []string{""}}.Matches(operation.Accepted{}))
}

func TestPosition_Compare(t *testing.T) {
	t.Parallel()
	low, high := uuid.UUID{15: 1}, uuid.UUID{0: 1}
	for _, tc := range []struct {
		name string
		a, b operation.Position
		want int
	}{
		{"zero", operation.Position{}, operation.Position{}, 0},
		{"seq first", operation.Position{Seq: 1, ID: high}, operation.Position{Seq: 2, ID: low}, -1},
		{"seq first, the other way", operation.Position{Seq: 2, ID: low}, operation.Position{Seq: 1, ID: high}, 1},
		{"then the id, its first byte first", operation.Position{Seq: 1, ID: low}, operation.Position{Seq: 1, ID: high}, -1},
		{"the same", operation.Position{Seq: 1, ID: low}, operation.Position{Seq: 1, ID: low}, 0},
		{"bytes have no sign", operation.Position{ID: uuid.UUID{0: 0x7f}}, operation.Position{ID: uuid.UUID{0: 0x80}}, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, tc.a.Compare(tc.b))
			require.Equal(t, -tc.want, tc.b.Compare(tc.a))
			require.Equal(t, tc.a == operation.Position{}, tc.a.IsZero())
		})
	}
}

// TestPosition_CompareIsAnOrder sorts positions that share seqs and id bytes, and
// expects every pair in order.
func TestPosition_CompareIsAnOrder(t *testing.T) {
	t.Parallel()
	positions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) operation.Position {
		id := rapid.SliceOfN(rapid.ByteRange(0, 2), 16, 16).Draw(t, "id")
		return operation.Position{Seq: rapid.Int64Range(-1, 1).Draw(t, "seq"), ID: uuid.UUID(id)}
	}), 2, 20)
	rapid.Check(t, func(t *rapid.T) {
		p := positions.Draw(t, "positions")
		slices.SortFunc(p, operation.Position.Compare)
		for i := range p {
			for j := range p[i:] {
				c := p[i].Compare(p[i+j])
				require.LessOrEqual(t, c, 0)
				require.Equal(t, p[i] == p[i+j], c == 0)
				require.Equal(t, -c, p[i+j].Compare(p[i]))
			}
		}
	})
}
