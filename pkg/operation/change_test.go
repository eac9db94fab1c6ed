package operation_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

func TestValue_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		value operation.Value
		json  string
		any   any
		text  string
		flag  bool
		null  bool
	}{
		{name: "zero value is null", value: operation.Value{}, json: `null`, null: true},
		{name: "null", value: operation.Null(), json: `null`, null: true},
		{name: "text", value: operation.Text("Zoë"), json: `"Zoë"`, any: "Zoë", text: "Zoë"},
		{name: "empty text is not null", value: operation.Text(""), json: `""`, any: ""},
		{name: "text that looks like null", value: operation.Text("null"), json: `"null"`, any: "null", text: "null"},
		{name: "true", value: operation.Flag(true), json: `true`, any: true, flag: true},
		{name: "false is not null", value: operation.Flag(false), json: `false`, any: false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			raw, err := json.Marshal(tc.value)
			require.NoError(t, err)
			require.Equal(t, tc.json, string(raw))
			back := operation.Text("what was there before")
			require.NoError(t, json.Unmarshal(raw, &back))
			require.Equal(t, tc.value, back)
			require.Equal(t, tc.any, back.Any())
			require.Equal(t, tc.text, back.Text())
			require.Equal(t, tc.flag, back.Flag())
			require.Equal(t, tc.null, back.IsNull())
		})
	}
}

func TestValue_RefusesTheRest(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`1`, `0`, `-2.5`, `1e400`, `{}`, `{"a":"b"}`, `[]`, `["a"]`} {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			v := operation.Text("kept")
			require.Error(t, json.Unmarshal([]byte(raw), &v))
			require.Equal(t, operation.Text("kept"), v)
			var c operation.Changes
			require.Error(t, json.Unmarshal([]byte(`{"notes":`+raw+`}`), &c))
		})
	}
	var v operation.Value
	require.Error(t, v.UnmarshalJSON([]byte(`"open`)))
}

func TestChanges_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawChanges(t)
		raw, err := json.Marshal(c)
		require.NoError(t, err)
		var back operation.Changes
		require.NoError(t, json.Unmarshal(raw, &back))
		require.Equal(t, c, back)
	})
}

func TestChanges_NullIsNotAbsent(t *testing.T) {
	t.Parallel()
	c := operation.Changes{operation.FieldNotes: operation.Null()}
	v, ok := c.Get(operation.FieldNotes)
	require.True(t, ok)
	require.True(t, v.IsNull())
	require.True(t, c.Has(operation.FieldNotes))

	v, ok = c.Get(operation.FieldDOTID)
	require.False(t, ok)
	require.True(t, v.IsNull())
	require.False(t, c.Has(operation.FieldDOTID))
	require.False(t, operation.Changes(nil).Has(operation.FieldNotes))
}

func TestChanges_FieldsAreInTheContractsOrder(t *testing.T) {
	t.Parallel()
	require.Empty(t, operation.Changes(nil).Fields())
	require.Equal(t,
		[]operation.Field{operation.FieldIsActive, operation.FieldFirstName, operation.FieldNotes, operation.FieldHOSTrackingMethod},
		operation.Changes{
			operation.FieldHOSTrackingMethod: operation.Text(operation.Manual),
			operation.FieldNotes:             operation.Null(),
			operation.FieldIsActive:          operation.Flag(false),
			operation.FieldFirstName:         operation.Text("Ada"),
			"no such field":                  operation.Text("left out"),
		}.Fields())

	rapid.Check(t, func(t *rapid.T) {
		c := drawChanges(t)
		var want []operation.Field
		for _, spec := range operation.UserFields {
			if c.Has(spec.Name) {
				want = append(want, spec.Name)
			}
		}
		got := c.Fields()
		require.Len(t, got, len(c))
		require.True(t, slices.Equal(want, got))
	})
}

func drawChanges(t *rapid.T) operation.Changes {
	names := make([]operation.Field, 0, len(operation.UserFields))
	for _, spec := range operation.UserFields {
		names = append(names, spec.Name)
	}
	values := rapid.OneOf(
		rapid.Just(operation.Null()),
		rapid.Map(rapid.String(), operation.Text),
		rapid.Map(rapid.Bool(), operation.Flag),
	)
	return operation.Changes(rapid.MapOf(rapid.SampledFrom(names), values).Draw(t, "changes"))
}
