package newer_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/newer"
)

type record struct {
	Name   string            `json:"name,omitempty"`
	Limits limits            `json:"limits"`
	Claim  *limits           `json:"claim,omitempty"`
	Free   map[string]string `json:"free,omitempty"`
}

type limits struct {
	Rate float64 `json:"rate,omitempty"`
}

func TestKeep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stored string
		change       func(*record)
		want         string
	}{
		{"a member", `{"limits":{},"later":[12345678901234567890]}`, func(r *record) { r.Name = "n" },
			`{"name":"n","limits":{},"later":[12345678901234567890]}`},
		{"within an object", `{"limits":{"rate":1,"later":null}}`, func(r *record) { r.Limits.Rate = 2 },
			`{"limits":{"rate":2,"later":null}}`},
		{"what was taken away stays away", `{"name":"n","limits":{},"claim":{"rate":1,"later":1},"free":{"a":"b"},"later":1}`,
			func(r *record) { *r = record{} }, `{"limits":{},"later":1}`},
		{"what is written wins", `{"name":"","limits":{},"later":1}`, func(r *record) { r.Name = "n" },
			`{"name":"n","limits":{},"later":1}`},
		{"null is no object", `{"limits":{"later":1}}`, nil, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r record
			value := []byte(c.stored)
			e, err := newer.Read(value, &r)
			require.NoError(t, err)
			require.NotNil(t, e)
			clear(value) // its owner may use it again
			now := []byte("null")
			if c.change != nil {
				c.change(&r)
				now, err = json.Marshal(r)
				require.NoError(t, err)
			}
			require.JSONEq(t, c.want, string(e.Keep(now)))
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	var r record
	e, err := newer.Read([]byte(`{"name":"n","limits":{"rate":1}}`), &r)
	require.NoError(t, err)
	require.Nil(t, e, "nothing is remembered of what is known")
	require.Equal(t, record{Name: "n", Limits: limits{Rate: 1}}, r)
	require.Equal(t, "x", string(e.Keep([]byte("x"))))
	_, err = newer.Read([]byte(`{"later":1,"name":1}`), &r)
	require.Error(t, err)
	_, err = newer.Read([]byte(`{"later":1`), &r)
	require.Error(t, err)
}
