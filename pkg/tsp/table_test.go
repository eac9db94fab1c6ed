package tsp_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

var table = tsp.Table{
	{Field: operation.FieldNotes, Target: "notes", Clear: tsp.ClearEmpty},
	{Field: operation.FieldUserEmail, Target: "email", Clear: tsp.ClearNull},
	{Field: operation.FieldAllowYardMove, Target: "yard", Clear: tsp.ClearFalse},
	{Field: operation.FieldUsername, Target: "login", Convert: func(v operation.Value) (any, error) {
		if v.Text() == "bad" {
			return nil, errors.New("not like this")
		}
		return "u:" + v.Text(), nil
	}},
	{Field: operation.FieldIsDriver, Note: "drivers only", Convert: func(v operation.Value) (any, error) {
		if v.Flag() {
			return tsp.Omit, nil
		}
		return nil, errors.New("drivers only")
	}},
	{Field: operation.FieldFirstName, Target: "name", Clear: tsp.ClearEmpty, Joint: true},
	{Field: operation.FieldCarrierNumber, Note: "it has none"},
	{Field: operation.FieldDOTID, Target: "nested", Convert: func(operation.Value) (any, error) { return map[string]any{"n": 1}, nil }},
}

func TestTable_Apply(t *testing.T) {
	t.Parallel()
	text, flag, null := operation.Text, operation.Flag, operation.Null()
	tests := []struct {
		field   operation.Field
		value   operation.Value
		want    map[string]any
		refusal string
	}{
		{field: operation.FieldNotes, value: text("n"), want: map[string]any{"notes": "n"}},
		{field: operation.FieldNotes, value: text(""), want: map[string]any{"notes": ""}},
		{field: operation.FieldNotes, value: null, want: map[string]any{"notes": ""}},
		{field: operation.FieldUserEmail, value: null, want: map[string]any{"email": nil}},
		{field: operation.FieldAllowYardMove, value: flag(true), want: map[string]any{"yard": true}},
		{field: operation.FieldAllowYardMove, value: null, want: map[string]any{"yard": false}},
		{field: operation.FieldUsername, value: text("a"), want: map[string]any{"login": "u:a"}},
		{field: operation.FieldUsername, value: text("bad"), refusal: "username: not like this"},
		{field: operation.FieldUsername, value: null, refusal: "username: the provider cannot clear this field (null)"},
		{field: operation.FieldIsDriver, value: flag(true)},
		{field: operation.FieldIsDriver, value: flag(false), refusal: "is_driver: drivers only"},
		{field: operation.FieldIsDriver, value: null, refusal: "is_driver: drivers only"},
		{field: operation.FieldFirstName, value: text("x")},
		{field: operation.FieldFirstName, value: null},
		{field: operation.FieldCarrierNumber, value: text("x"), refusal: "carrier_number: it has none"},
		{field: operation.FieldCarrierNumber, value: null, refusal: "carrier_number: it has none"},
		{field: operation.FieldDOTID, value: text("1"), want: map[string]any{"nested": map[string]any{"n": 1}}},
		{field: operation.FieldLastName, value: text("x"), refusal: "last_name: the provider has no such field"},
		{field: operation.FieldLastName, value: null, refusal: "last_name: the provider has no such field"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s=%v", tt.field, tt.value.Any()), func(t *testing.T) {
			t.Parallel()
			refused := tsp.NewRefusals("acme")
			got := table.Apply(operation.Changes{tt.field: tt.value}, refused)
			if tt.want == nil {
				tt.want = map[string]any{}
			}
			require.Equal(t, tt.want, got)
			f := refused.Failure()
			if tt.refusal == "" {
				require.Nil(t, f)
				return
			}
			require.NotNil(t, f)
			require.Equal(t, operation.ErrorValidation, f.Type)
			require.False(t, f.Retryable)
			require.Equal(t, "not sent to acme: "+tt.refusal, f.Detail)
		})
	}
}

func TestTable_ApplyReportsAllRefusalsInTheContractsOrder(t *testing.T) {
	t.Parallel()
	refused := tsp.NewRefusals("acme")
	got := table.Apply(operation.Changes{
		operation.FieldCarrierNumber: operation.Text("x"), operation.FieldUsername: operation.Text("bad"),
		operation.FieldNotes: operation.Text("n"),
	}, refused)
	refused.Add(operation.FieldNotes, "later, %d", 1)
	require.Equal(t, map[string]any{"notes": "n"}, got)
	require.Equal(t, "not sent to acme: username: not like this; carrier_number: it has none; notes: later, 1",
		refused.Failure().Detail)
}

func TestRule_WritableAndClearable(t *testing.T) {
	t.Parallel()
	for field, want := range map[operation.Field][2]bool{
		operation.FieldNotes: {true, true}, operation.FieldUsername: {true, false},
		operation.FieldCarrierNumber: {false, false}, operation.FieldLastName: {false, false},
	} {
		rule := table.Rule(field)
		require.Equal(t, field, rule.Field)
		require.Equal(t, want, [2]bool{rule.Writable(), rule.Clearable()}, field)
	}
}

// TestRule_Same: what is read back after a write is what was sent, in the provider's form.
func TestRule_Same(t *testing.T) {
	t.Parallel()
	text, yes, no, null := operation.Text, operation.Flag(true), operation.Flag(false), operation.Null()
	for _, tt := range []struct {
		field      operation.Field
		sent, held operation.Value
		want       bool
	}{
		{operation.FieldNotes, text("n"), text("n"), true},
		{operation.FieldNotes, text("n"), text("m"), false},
		{operation.FieldNotes, text(""), null, true},
		{operation.FieldNotes, text("n"), null, false},
		{operation.FieldNotes, null, null, true},
		{operation.FieldNotes, null, text(""), true},
		{operation.FieldNotes, null, text("n"), false},
		{operation.FieldUserEmail, null, text(""), false},
		{operation.FieldAllowYardMove, null, no, true},
		{operation.FieldAllowYardMove, null, yes, false},
		{operation.FieldNotes, null, no, false},
		{operation.FieldUsername, text("bad"), text("bad"), true},
		{operation.FieldUsername, text("bad"), text("a"), false},
		{operation.FieldUsername, text("a"), text("bad"), false},
		{operation.FieldUsername, text("a"), text("b"), false},
		{operation.FieldDOTID, text("1"), text("01"), true}, // both become the same
	} {
		require.Equal(t, tt.want, table.Rule(tt.field).Same(tt.sent, tt.held), "%s: %v as %v", tt.field, tt.sent.Any(), tt.held.Any())
	}
}

func TestLimits_WithDefaults(t *testing.T) {
	t.Parallel()
	require.Equal(t, tsp.Limits{
		InFlight: 8, Burst: 1, Call: 20 * time.Second, MaxAttempts: operation.DefaultMaxAttempts, Deadline: operation.DefaultDeadline,
	}, tsp.Limits{}.WithDefaults())
	own := tsp.Limits{InFlight: 1, PerSecond: 0.5, Burst: 2, Call: time.Second, MaxAttempts: 1, Deadline: time.Minute}
	require.Equal(t, own, own.WithDefaults())
	long := tsp.Limits{Call: time.Hour, Deadline: 1000 * time.Hour}.WithDefaults()
	require.Equal(t, tsp.MaxCall, long.Call)
	require.Equal(t, operation.MaxDeadline, long.Deadline)
}

type named struct {
	tsp.Provider
	name string
}

func (n named) Describe() tsp.Description { return tsp.Description{Name: n.name} }

func TestRegistry(t *testing.T) {
	t.Parallel()
	r, err := tsp.NewRegistry(named{name: "b"}, named{name: "a"})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, r.Names())
	p, ok := r.Get("a")
	require.True(t, ok)
	require.Equal(t, "a", p.Describe().Name)
	_, ok = r.Get("c")
	require.False(t, ok)
	_, err = tsp.NewRegistry(named{name: "a"}, named{name: "a"})
	require.Error(t, err)
}

func TestCredentials_DoNotPrint(t *testing.T) {
	t.Parallel()
	conn := tsp.Connection{Credentials: tsp.Credentials{"access_token": "planted"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, conn), "planted", verb)
		require.NotContains(t, fmt.Sprintf(verb, conn.Credentials), "planted", verb)
	}
	require.NotContains(t, conn.Credentials.LogValue().String(), "planted")
	require.NotContains(t, conn.Credentials.Mark(), "planted")
	require.Equal(t, tsp.Credentials{"b": "2", "a": "1"}.Mark(), tsp.Credentials{"a": "1", "b": "2"}.Mark())
	require.NotEqual(t, tsp.Credentials{"a": "1"}.Mark(), tsp.Credentials{"a": "2"}.Mark())
	require.NotEqual(t, tsp.Credentials{"a": "1\n\"b\"=\"2"}.Mark(), tsp.Credentials{"a": "1", "b": "2"}.Mark())
}
