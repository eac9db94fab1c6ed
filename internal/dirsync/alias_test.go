package dirsync

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/sandbox"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	samsarabox "writeback/pkg/tsp/samsara/box"
)

// A driver whom the registry file names by an external id is listed under Samsara's own:
// it is one user all the same, and there.
func TestSync_FileNamesADriverByAnExternalID(t *testing.T) {
	t.Parallel()
	p, box := samsaraBox(t)
	box.Store(sandbox.New(sandbox.Config{Parts: []sandbox.Part{samsarabox.Part(samsarabox.Config{})}, UsersPerConnection: 100}))
	id := uuid.MustParse("00000000-0000-7000-8000-00000000a101")
	r := newRig(t, "samsara", p, "{id: "+id.String()+", source_id: 'payrollId:E10001'}")
	second := samsarabox.UserID(1, 1)
	_, err := r.d.Learn(t.Context(), conn, []tsp.ListedUser{{SourceID: second}})
	require.NoError(t, err)
	r.advance(time.Hour)
	done := r.walked()
	require.Equal(t, [2]int{100, 1}, [2]int{done.Users, done.Gone}, "the second id of the driver is gone")
	users := r.byID()
	require.Len(t, users, 100)
	require.Equal(t, "payrollId:E10001", users[id], "the file's name stays")
	require.NotContains(t, users, directory.UserID(conn, second))
	u, _, found := r.d.User(partner, id)
	require.True(t, found)
	_, known := u.Fields.Get(operation.FieldUsername)
	require.True(t, known, "it has the driver's fields")

	r.advance(6 * time.Hour)
	again := r.walked()
	require.Equal(t, [3]int{0, 0, 0}, [3]int{again.Created, again.Updated, again.Gone})
}
