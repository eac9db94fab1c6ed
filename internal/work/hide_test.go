package work_test

import (
	"maps"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// acquainted is a directory that knows what its users were called before.
type acquainted struct{ exchanged }

func (acquainted) User(_, id uuid.UUID) (directory.User, directory.Connection, bool) {
	return directory.User{ID: id, Fields: directory.Pack(operation.Changes{operation.FieldLastName: operation.Text("Beforename")})}, directory.Connection{}, true
}

// A provider may repeat anything that it knows of a user. What is our own text is shown as it is.
func TestAttempt_HidesWhatTheProviderRepeats(t *testing.T) {
	t.Parallel()
	const said = "planted is no token of Aftername, who is Beforename here"
	for name, row := range map[string]struct {
		status int
		want   string
	}{
		"an answer": {409, "[hidden] is no token of [hidden], who is [hidden] here"},
		"no answer": {0, said},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := operation.Failure{Type: operation.ErrorTSP, StatusCode: row.status, Detail: said, Header: map[string]string{"X-Said": said}}
			r := rigOn(t, &provider{answer: flaky(1, answer)})
			r.parts.Directory = acquainted{}
			change := r.change(uuid.New(), "x")
			change.Changes[operation.FieldLastName] = operation.Text("Aftername")
			before := maps.Clone(answer.Header)
			got := work.NewAttempter(r.parts, r.cfg).Attempt(t.Context(), redisstore.Lease{Accepted: change, AttemptID: uuid.New(), Number: 1, Left: 1})
			require.Contains(t, got.Attempt.Detail, row.want)
			require.Equal(t, map[string]string{"X-Said": row.want}, got.Attempt.Header)
			require.Equal(t, before, answer.Header, "what the adapter holds is its own")
		})
	}
}
