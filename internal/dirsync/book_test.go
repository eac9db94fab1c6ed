package dirsync

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
)

func openBook(t *testing.T) (jetstream.JetStream, *Book) {
	t.Helper()
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	book, err := OpenBook(t.Context(), js, 1, nil)
	require.NoError(t, err)
	return js, book
}

// Of two who write at the same time one has the walk, also the first of a connection; and a walk
// is kept by its own worker alone.
func TestBook_OneOfTwoWrites(t *testing.T) {
	t.Parallel()
	_, book := openBook(t)
	id, mine := uuid.New(), Progress{Run: uuid.New(), Owner: uuid.New()}
	kept, err := book.write(t.Context(), id, mine)
	require.NoError(t, err)
	_, err = book.write(t.Context(), id, mine)
	require.ErrorIs(t, err, errTaken)
	next, err := book.keep(t.Context(), id, kept, mine.Owner)
	require.NoError(t, err)
	_, err = book.write(t.Context(), id, kept)
	require.ErrorIs(t, err, errTaken)
	_, err = book.keep(t.Context(), id, kept, uuid.New())
	require.ErrorIs(t, err, errTaken)
	next.Run = uuid.New()
	_, err = book.write(t.Context(), id, next)
	require.NoError(t, err)
	_, err = book.keep(t.Context(), id, kept, mine.Owner)
	require.ErrorIs(t, err, errTaken, "another walk")
}

func TestBook_ManyWantAtOnce(t *testing.T) {
	t.Parallel()
	_, book := openBook(t)
	id := uuid.New()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if err := book.Want(t.Context(), id, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	p, err := book.Get(t.Context(), id)
	require.NoError(t, err)
	require.True(t, p.Asked())
}

func TestBook_ForgetsWhatIsDeleted(t *testing.T) {
	t.Parallel()
	_, book := openBook(t)
	id := uuid.New()
	require.NoError(t, book.Want(t.Context(), id, time.Now()))
	all, err := book.All(t.Context())
	require.NoError(t, err)
	require.Contains(t, all, id)
	require.NoError(t, book.kv.Delete(t.Context(), id.String()))
	all, err = book.All(t.Context())
	require.NoError(t, err)
	require.NotContains(t, all, id)
}

func TestProgress_State(t *testing.T) {
	t.Parallel()
	now := time.Now()
	walks := Progress{Run: uuid.New(), StartedAt: now, WantedAt: now, Failures: 1, LeaseUntil: now.Add(time.Second)}
	failing, asked := walks, walks
	failing.LeaseUntil = now
	asked.FinishedAt = now
	for want, p := range map[string]Progress{
		"never": {}, "walking": walks, "failing": failing, "paused": {Run: walks.Run}, "waiting": {WantedAt: now}, "finished": {Run: walks.Run, FinishedAt: now},
	} {
		require.Equal(t, want, p.State(now))
	}
	require.Equal(t, "waiting", asked.State(now.Add(time.Minute)))
}

// TestBook_MakesItsBucketAnew: NATS came back without it, or somebody has deleted it. Syncs go
// on, from the start.
func TestBook_MakesItsBucketAnew(t *testing.T) {
	t.Parallel()
	js, book := openBook(t)
	before, after := uuid.New(), uuid.New()
	require.NoError(t, book.Want(t.Context(), before, time.Now()))
	all, err := book.All(t.Context())
	require.NoError(t, err)
	require.Contains(t, all, before)

	require.NoError(t, js.DeleteKeyValue(t.Context(), Bucket))
	all, err = book.All(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	require.NoError(t, book.Want(t.Context(), after, time.Now()))
	all, err = book.All(t.Context())
	require.NoError(t, err)
	require.Contains(t, all, after)
}
