package dirsync

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// A worker that was thought dead goes no further than it is, and marks nobody.
func TestWalk_TakenOverGoesNoFurther(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	r := newRig(t, "fake", f, "")
	r.walked()
	f.set(nil, "u00", "u01", "u02")
	r.advance(6 * time.Hour)
	w := r.claimed(f)
	var other *walk
	overtake := func() {
		r.advance(w.cfg.Lease + time.Second)
		other = r.claimed(f)
	}
	asked := len(f.pages())
	f.set(func(int) error { overtake(); return nil })
	require.ErrorIs(t, w.run(t.Context()), errTaken)
	require.Len(t, f.pages(), asked+1)
	f.set(nil)

	w = other
	require.NoError(t, w.page(t.Context()))
	require.NoError(t, w.page(t.Context()))
	require.True(t, w.p.Listed)
	overtake()
	err := w.run(t.Context())
	require.ErrorIs(t, err, errTaken)
	require.Len(t, r.lines(), 6, "the other one says who is gone")
	before := r.progress()
	w.leave(t.Context(), err)
	require.Equal(t, before, r.progress())
	require.NoError(t, other.run(t.Context()))
	require.Len(t, r.lines(), 3)
}

// Each page is a sign of life.
func TestWalk_PagesExtendTheLease(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	r := newRig(t, "fake", f, "")
	w := r.claimed(f)
	r.advance(time.Hour)
	require.NoError(t, w.page(t.Context()))
	require.True(t, r.progress().LeaseUntil.After(r.now()))
	require.Positive(t, r.rdb.TTL(t.Context(), seenKey(conn, w.p.Run)).Val(), "what was seen ends by itself")
	w.leave(t.Context(), w.run(t.Context()))
	require.Empty(t, r.rdb.Keys(t.Context(), "wb:sync:*").Val(), "and with its walk")
	r.advance(6 * time.Hour)
	w = r.claimed(f)
	require.NoError(t, w.page(t.Context()))
	r.advance(13 * time.Hour)
	anew := r.claimed(f)
	require.NotEqual(t, w.p.Run, anew.p.Run)
	require.Empty(t, r.rdb.Keys(t.Context(), "wb:sync:*").Val(), "and with the one that begins anew")
}

// A worker that stops puts its walk down, and says of nothing that it went wrong.
func TestRun_StopsInAPage(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	r := newRig(t, "fake", f, "")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	f.set(func(call int) error {
		if call == 2 {
			stop()
			return context.Canceled
		}
		return nil
	})
	require.NoError(t, r.syncer().Run(ctx))
	p := r.progress()
	require.Equal(t, uuid.Nil, p.Owner)
	require.Equal(t, "paused", p.State(r.now()))
	require.Empty(t, p.LastError)
	_, due := r.cfg.dueSince(p, r.now())
	require.True(t, due, "another takes it at once")
}

// Who came just before the walk may not be on the provider's list yet.
func TestWalk_LeavesAloneWhoCameJustBefore(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	_, err := r.d.Learn(t.Context(), conn, []tsp.ListedUser{{SourceID: "created"}})
	require.NoError(t, err)
	require.Zero(t, r.walked().Gone)
	require.Len(t, r.lines(), 5)
}

// forgetful is a directory that cannot keep a page.
type forgetful struct {
	users
	err error
}

func (d forgetful) Learn(context.Context, uuid.UUID, []tsp.ListedUser) (directory.Count, error) {
	return directory.Count{}, d.err
}

// A page whose users could not be kept is listed again.
func TestWalk_PageThatIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	w := r.claimed(f)
	away := errors.New("away")
	w.parts.Directory = forgetful{r.d, away}
	require.ErrorIs(t, w.page(t.Context()), away)
	require.Empty(t, w.p.Cursor)
	require.Zero(t, w.p.Pages)
	w.parts.Directory = r.d
	require.NoError(t, w.run(t.Context()))
	require.Len(t, r.lines(), 4)
}

// stuck gives the page after the first for ever.
type stuck struct{ *fleet }

func (s stuck) ListUsers(ctx context.Context, c tsp.Connection, _ string) (tsp.UserPage, error) {
	page, err := s.fleet.ListUsers(ctx, c, "")
	page.Next = "same"
	return page, err
}

func TestWalk_TheSamePageAgain(t *testing.T) {
	t.Parallel()
	s := stuck{newFleet(4)}
	r := newRig(t, "fake", s, "")
	w := r.claimed(s.fleet)
	w.lister = s
	require.ErrorContains(t, w.run(t.Context()), "same page again")
	require.Len(t, s.pages(), 2)
}

// What Redis loses after the last page says of nobody that they are gone.
func TestWalk_ForgottenAfterTheLastPage(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	r.walked()
	r.advance(6 * time.Hour)
	w := r.claimed(f)
	for !w.p.Listed {
		require.NoError(t, w.page(t.Context()))
	}
	require.NoError(t, r.rdb.FlushDB(t.Context()).Err())
	err := w.run(t.Context())
	require.ErrorIs(t, err, errForgotten)
	w.leave(t.Context(), err)
	require.True(t, r.progress().Restart)
	require.Len(t, r.lines(), 4)
}

// silent is a provider that does not answer.
type silent struct{ *fleet }

func (silent) ListUsers(ctx context.Context, _ tsp.Connection, _ string) (tsp.UserPage, error) {
	<-ctx.Done()
	return tsp.UserPage{}, context.Cause(ctx)
}

func TestWalk_PageHasADeadline(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	w := r.claimed(f)
	w.lister, w.limits.Call = silent{f}, time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	require.ErrorContains(t, w.page(ctx), "the call deadline passed")
}

// spending keeps the limits by which each call was taken from the rate.
type spending struct {
	noted
	limits []redisstore.Limits
}

func (s *spending) Spend(_ context.Context, _ uuid.UUID, l redisstore.Limits) (time.Duration, error) {
	s.limits = append(s.limits, l)
	return 0, nil
}

// Each page is a call of the connection, by its limits, and what is said with a page holds for
// writes as well.
func TestWalk_KeepsToTheConnectionsRate(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	f.wait = 10 * time.Minute
	r := newRig(t, "fake", f, "")
	s := &spending{}
	r.parts.Rates = s
	w := r.claimed(f)
	require.Equal(t, &aside{wait: f.wait, told: true}, w.page(t.Context()), "not before the next page")
	f.wait = time.Millisecond
	require.NoError(t, w.page(t.Context()))
	f.wait = time.Hour
	require.NoError(t, w.page(t.Context()), "there is no next page")
	require.Equal(t, []time.Duration{10 * time.Minute, time.Millisecond, time.Hour}, s.waits)
	require.Len(t, s.limits, 3)
	for _, l := range s.limits {
		require.Equal(t, [3]any{100_000.0, 1000, 5 * time.Second}, [3]any{l.PerSecond, l.Burst, l.Call})
	}

	w.parts.Rates = &metered{waits: []time.Duration{time.Hour}}
	require.Equal(t, &aside{wait: time.Hour}, w.page(t.Context()))
	require.Len(t, f.pages(), 3, "nothing is called that may not be")
}

func TestDistinct(t *testing.T) {
	t.Parallel()
	named := func(id, name string) tsp.ListedUser {
		return tsp.ListedUser{SourceID: id, Fields: operation.Changes{operation.FieldFirstName: operation.Text(name)}}
	}
	users, ids := distinct([]tsp.ListedUser{named("a", "first"), named("", "nobody"), named("b", "b"), named("\x00", "odd"), named("a", "last")})
	require.Equal(t, []tsp.ListedUser{named("a", "last"), named("b", "b")}, users)
	require.Equal(t, []string{"a", "b"}, ids)
}
