package httpcall_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/tsp/httpcall"
)

func TestRows(t *testing.T) {
	t.Parallel()
	read := 0
	rows := func(body string) ([]map[string]any, bool) {
		read = 0
		return httpcall.Rows([]byte(body), func(row map[string]any) bool { read++; return row["id"] != nil })
	}
	got, ok := rows(" [{\"id\":9007199254740993},{\"id\":\"b\"}]\n")
	require.True(t, ok)
	require.Equal(t, []map[string]any{{"id": json.Number("9007199254740993")}, {"id": "b"}}, got)
	got, ok = rows(`[]`)
	require.True(t, ok)
	require.Empty(t, got)
	require.NotNil(t, got)
	for _, body := range []string{
		``, `null`, `{}`, `7`, `"x"`, `[`, `[{"id":1}`, `[{"id":1},]`, `[{"id":1}]x`, `[{"id":1}][]`, `[null]`, `[{"id":1},{}]`, `[7]`, `[{"id":1}}`,
	} {
		_, ok := rows(body)
		require.False(t, ok, body)
	}

	_, ok = rows(`[` + strings.Repeat(`{},`, 1<<20) + `{}]`)
	require.False(t, ok)
	require.Equal(t, 1, read, "what follows garbage is not read")
	const most = 100_000
	got, ok = rows(`[` + strings.Repeat(`{"id":1},`, most-1) + `{"id":1}]`)
	require.True(t, ok)
	require.Len(t, got, most)
	_, ok = rows(`[` + strings.Repeat(`{"id":1},`, 2*most) + `{"id":1}]`)
	require.False(t, ok)
	require.Equal(t, most+1, read)
}
