package directory

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

func TestKnown_GivesBackWhatWasPacked(t *testing.T) {
	t.Parallel()
	names := []operation.Field{"of_a_newer_version", "another"}
	for _, spec := range operation.UserFields {
		names = append(names, spec.Name)
	}
	value := rapid.OneOf(
		rapid.Just(operation.Null()),
		rapid.Map(rapid.Bool(), operation.Flag),
		rapid.Map(rapid.String(), operation.Text),
		rapid.Map(rapid.IntRange(120, 20_000), func(n int) operation.Value { return operation.Text(strings.Repeat("x", n)) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		fields := operation.Changes(rapid.MapOf(rapid.SampledFrom(names), value).Draw(t, "fields"))
		known := Pack(fields)
		for _, name := range names {
			want, there := fields.Get(name)
			got, found := known.Get(name)
			require.Equal(t, there, found, name)
			require.Equal(t, want, got, name)
		}
		require.Len(t, known.Changes(), len(fields))

		// What is stored is what it was when the fields were a map.
		stored, err := json.Marshal(userRecord{Fields: known})
		require.NoError(t, err)
		asMap, err := json.Marshal(struct {
			Fields operation.Changes `json:"fields,omitempty"`
		}{fields})
		require.NoError(t, err)
		if len(fields) > 0 {
			require.Contains(t, string(stored), strings.Trim(string(asMap), "{}"))
		} else {
			require.NotContains(t, string(stored), "fields")
		}
		var back userRecord
		require.NoError(t, json.Unmarshal(stored, &back))
		require.Equal(t, known.Changes(), back.Fields.Changes())
	})
}

// Every process holds every user, so what one takes is what an installation takes.
func TestKnown_TakesLittleMoreThanItsTexts(t *testing.T) { // not parallel: it counts allocations
	fields := operation.Changes{
		operation.FieldUsername: operation.Text("ada.lovelace"), operation.FieldIsActive: operation.Flag(true),
		operation.FieldIsDriver: operation.Flag(false), operation.FieldPhoneNumber: operation.Text("5550100"),
	}
	require.Len(t, Pack(fields), len("ada.lovelace")+len("5550100")+2*len(fields))
	known := Pack(fields)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		if v, ok := known.Get(operation.FieldPhoneNumber); !ok || v.Text() != "5550100" {
			t.Error("not found")
		}
	}), "a look-up of one field copies nothing")
}
