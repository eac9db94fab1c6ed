package tsp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

func TestConvert_OnlyTrueAndFilled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		convert func(operation.Value) (any, error)
		value   operation.Value
		want    any
		refused bool
	}{
		{"true is nothing new", tsp.OnlyTrue("why"), operation.Flag(true), tsp.Omit, false},
		{"false", tsp.OnlyTrue("why"), operation.Flag(false), nil, true},
		{"null is not true", tsp.OnlyTrue("why"), operation.Null(), nil, true},
		{"a text as it is", tsp.Filled("why"), operation.Text(" Ada "), " Ada ", false},
		{"blanks", tsp.Filled("why"), operation.Text(" \t"), nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.convert(tt.value)
			if tt.refused {
				require.EqualError(t, err, "why")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}
