package operation_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

func TestAccepted_KnownIsWhatThisProgramCanWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*operation.Accepted)
		known  bool
	}{
		"as it is":           {func(*operation.Accepted) {}, true},
		"an older version":   {func(a *operation.Accepted) { a.Version-- }, true},
		"a newer version":    {func(a *operation.Accepted) { a.Version++ }, false},
		"another type":       {func(a *operation.Accepted) { a.Type = "remove" }, false},
		"another resource":   {func(a *operation.Accepted) { a.Resource = "vehicle" }, false},
		"one field too many": {func(a *operation.Accepted) { a.Changes["middle_name"] = operation.Text("x") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := operation.Accepted{
				Version: operation.Version, Resource: operation.ResourceUser, Type: operation.Update,
				Changes: operation.Changes{operation.FieldNotes: operation.Null()},
			}
			c.change(&a)
			require.Equal(t, c.known, a.Known())
		})
	}
}
