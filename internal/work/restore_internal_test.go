package work

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// A row stands for a call, or explains an end without one.
func TestGone(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		attempted int
		attempt   operation.Attempt
		want      bool
	}{
		"counted":             {1, operation.Attempt{Status: operation.AttemptFailed}, true},
		"a success":           {0, operation.Attempt{Status: operation.AttemptSucceeded}, true},
		"an answer":           {0, operation.Attempt{Status: operation.AttemptFailed, StatusCode: 400}, true},
		"no answer to a call": {0, operation.Attempt{Status: operation.AttemptFailed, ErrorType: operation.ErrorNetwork}, true},
		"no call":             {0, operation.Attempt{Status: operation.AttemptFailed, Detail: "cancelled"}, false},
	} {
		require.Equal(t, row.want, gone(operation.Operation{Attempted: row.attempted, Attempts: []operation.Attempt{row.attempt}}), name)
	}
}
