package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

func TestMissing_NamesEveryRequiredField(t *testing.T) {
	t.Parallel()
	required := []operation.Field{operation.FieldUsername, operation.FieldFirstName, operation.FieldLastName, operation.FieldIsDriver}
	changes := operation.Changes{
		operation.FieldUsername: operation.Null(), operation.FieldLastName: operation.Text(""), operation.FieldIsDriver: operation.Flag(false),
		operation.FieldNotes: operation.Text("x"),
	}
	got := map[string]string{}
	for _, f := range wire.Missing(changes, required, nil) {
		require.Equal(t, "missing", f.Type)
		got[f.Path] = f.Input
	}
	require.Equal(t, map[string]string{"body.username": "null", "body.first_name": ""}, got)
	require.Empty(t, wire.Missing(changes, nil, nil))
	require.Len(t, wire.Missing(nil, required, nil), 4)
	instead := map[operation.Field]operation.Field{operation.FieldUsername: operation.FieldNotes, operation.FieldFirstName: operation.FieldUserEmail}
	require.Len(t, wire.Missing(changes, required, instead), 1, "notes stand for the username, no e-mail stands for the first name")
}

// Whatever a provider is sent, the answer stays JSON.
func TestNewDryRunRequest_BodyIsAlwaysJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                     `null`,
		`{"n": 1.10, "a": []}`: `{"n":1.10,"a":[]}`,
		`9007199254740993`:     `9007199254740993`,
		`{"n":*****}`:          `"{\"n\":*****}"`,
		"a=1&b=2":              `"a=1&b=2"`,
		"\xff{}":               "\"\ufffd{}\"",
	} {
		require.Equal(t, want, string(wire.NewDryRunRequest("POST", "/", body).Body), body)
	}
}
