package tsp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

func TestIsSourceID(t *testing.T) {
	t.Parallel()
	for id, is := range map[string]bool{
		"1": true, "b5CE1": true, "600123:7": true, "1-222-98": true, "Jürgen 7": true, strings.Repeat("9", 200): true,
		"": false, "\x00": false, "1\n": false, "7\x1b[2J": false, "a\u202eb": false, "\xff": false, strings.Repeat("9", 201): false,
	} {
		require.Equal(t, is, tsp.IsSourceID(id), "%q", id)
	}
}

func TestUnsaid(t *testing.T) {
	t.Parallel()
	told := operation.Changes{operation.FieldNotes: operation.Text("n")}
	shown := map[operation.Field]bool{operation.FieldNotes: true, operation.FieldUserEmail: true, operation.FieldDOTID: false}
	require.Equal(t, operation.Changes{operation.FieldNotes: operation.Text("n"), operation.FieldUserEmail: operation.Null()}, tsp.Unsaid(told, shown))
}

func TestNewPassword(t *testing.T) {
	t.Parallel()
	password := tsp.NewPassword()
	require.Regexp(t, `^aA1-[A-Z2-7]{20}$`, password)
	require.NotEqual(t, password, tsp.NewPassword())
}
