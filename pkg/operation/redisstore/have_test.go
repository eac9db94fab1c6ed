package redisstore_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation/redisstore"
)

func TestHave_SaysWhatALookWouldFind(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		ask := func(id uuid.UUID, wantHave, wantDue bool) {
			t.Helper()
			have, due, err := f.store.Have(t.Context(), f.conn, id)
			require.NoError(t, err)
			require.Equal(t, wantHave, have, "have")
			require.Equal(t, wantDue, due, "due")
		}
		ask(uuid.Must(uuid.NewV7()), false, false)
		a := f.accepted(uuid.New())
		f.accept(a)
		ask(a.ID, true, true)
		lease := f.next(1).Leases[0]
		ask(a.ID, true, false)
		rec := f.record(lease, succeed)
		require.NoError(t, ackAll(t.Context(), f.store, rec.Record))
		ask(a.ID, true, false) // in its page
		require.NoError(t, f.rdb.Del(t.Context(), f.key("gen")).Err())
		_, _, err := f.store.Have(t.Context(), f.conn, a.ID)
		require.ErrorIs(t, err, redisstore.ErrStale)
	})
}
