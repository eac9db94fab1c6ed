package dirsync

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

func TestWalk_LearnsEverybodyUnderStableIDs(t *testing.T) {
	t.Parallel()
	f := newFleet(5)
	r := newRig(t, "fake", f, "{id: 00000000-0000-7000-8000-00000000a100, source_id: u01}")
	p := r.walked()
	require.Equal(t, []string{"", "2", "4"}, f.pages())
	require.Equal(t, [5]int{3, 5, 4, 1, 0}, [5]int{p.Pages, p.Users, p.Created, p.Updated, p.Gone})
	ids := r.byID()
	require.Len(t, ids, 5)
	require.Equal(t, "u01", ids[uuid.MustParse("00000000-0000-7000-8000-00000000a100")], "the registry file's id stays")
	require.Equal(t, "u00", ids[directory.UserID(conn, "u00")])

	written := r.writes()
	r.advance(6 * time.Hour)
	p = r.walked()
	require.Equal(t, [3]int{0, 0, 0}, [3]int{p.Created, p.Updated, p.Gone})
	require.Equal(t, ids, r.byID())
	r.load("fake", "{id: 00000000-0000-7000-8000-00000000a100, source_id: u01}")
	require.Equal(t, written, r.writes(), "neither a second sync nor the same file writes")
}

func TestWalk_MarksWhoIsGoneAndTakesThemBack(t *testing.T) {
	t.Parallel()
	f := newFleet(5)
	r := newRig(t, "fake", f, "{id: 00000000-0000-7000-8000-00000000a100, source_id: u01}")
	r.walked()
	all := r.byID()

	f.set(nil, "u00", "u02", "u03")
	r.advance(6 * time.Hour)
	p := r.walked()
	require.Equal(t, 2, p.Gone)
	require.Len(t, r.lines(), 3)
	r.load("fake", "{id: 00000000-0000-7000-8000-00000000a100, source_id: u01}")
	require.Len(t, r.lines(), 3, "the same file does not bring back who is gone")

	f.set(nil, "u00", "u01", "u02", "u03", "u04")
	r.advance(6 * time.Hour)
	p = r.walked()
	require.Equal(t, [2]int{0, 2}, [2]int{p.Created, p.Updated})
	require.Equal(t, all, r.byID(), "under the same ids")
}

func TestWalk_LeavesAloneWhoCameMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	r.cfg.Settle = time.Millisecond
	f.set(func(call int) error {
		if call == 2 {
			_, err := r.d.Learn(context.Background(), conn, []tsp.ListedUser{{SourceID: "created"}})
			return err
		}
		return nil
	})
	require.Zero(t, r.walked().Gone)
	require.Len(t, r.lines(), 5)
}

func TestWalk_EmptyListMarksNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(3)
	r := newRig(t, "fake", f, "")
	r.walked()
	f.mu.Lock()
	f.users = nil
	f.mu.Unlock()
	r.advance(6 * time.Hour)
	p := r.walked()
	require.Zero(t, p.Gone)
	require.Contains(t, p.LastError, "listed nobody")
	require.Len(t, r.lines(), 3)
}

func TestWalk_WhoIsMissedIsNotGone(t *testing.T) {
	t.Parallel()
	f := newFleet(5)
	f.total = 5
	r := newRig(t, "fake", f, "")
	r.walked()
	f.set(func(call int) error {
		if call == 4 { // behind the first page
			f.set(nil, "u02", "u00", "u01", "u03", "u04")
		}
		return nil
	})
	r.advance(6 * time.Hour)
	stop := r.run(r.syncer())
	r.until(func() bool { return r.progress().Restart })
	p := r.progress()
	require.Equal(t, [2]int64{4, 5}, [2]int64{p.Seen, int64(p.Total)})
	require.Contains(t, p.LastError, "fewer users than it says")
	require.Len(t, r.lines(), 5)
	r.advance(3 * time.Hour)
	r.until(func() bool { return r.finished(p.Run) })
	stop()
	require.Empty(t, r.progress().LastError)
	require.Len(t, r.lines(), 5)

	f.mu.Lock()
	f.users, f.total = f.users[1:], 4
	f.mu.Unlock()
	r.advance(6 * time.Hour)
	require.Equal(t, 1, r.walked().Gone, "who has left is gone")
}

func TestWalk_ListThatStaysShortMarksNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(3)
	r := newRig(t, "fake", f, "")
	r.walked()
	f.mu.Lock()
	f.users, f.total, f.asked = f.users[1:], 3, nil
	f.mu.Unlock()
	r.advance(6 * time.Hour)
	before := r.progress().Run
	stop := r.run(r.syncer())
	for walks := 1; walks <= maxAnew; walks++ {
		r.until(func() bool { p := r.progress(); return p.Restart && p.GivenUp == walks })
		r.advance(3 * time.Hour)
	}
	r.until(func() bool { return r.finished(before) })
	stop()
	p := r.progress()
	require.Zero(t, p.Gone)
	require.Zero(t, p.Failures)
	require.Zero(t, p.GivenUp, "the next one has all its tries")
	require.Contains(t, p.LastError, "nobody was marked as gone")
	require.Len(t, f.pages(), 1+maxAnew)
	require.Len(t, r.lines(), 3)
}

func TestWalk_ForgottenPagesMarkNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	r := newRig(t, "fake", f, "")
	r.walked()
	for _, call := range []int{5, 6} { // before the second page, and before the last
		f.set(func(n int) error {
			if n == call {
				return r.rdb.FlushDB(context.Background()).Err()
			}
			return nil
		})
		f.mu.Lock()
		f.asked = f.asked[:3]
		f.mu.Unlock()
		r.advance(6 * time.Hour)
		before := r.progress().Run
		stop := r.run(r.syncer())
		r.until(func() bool { p := r.progress(); return p.Run != before && p.LastError != "" })
		stop()
		p := r.progress()
		require.True(t, p.Failures > 0 && !p.Asked(), "%+v", p)
		require.Len(t, r.lines(), 6, "nobody is marked from half of what was seen")
		f.set(nil)
		r.shards()
		r.advance(3 * time.Hour)
		require.Zero(t, r.walked().Gone)
		require.Len(t, r.lines(), 6)
	}
}

func TestWalk_KilledOneIsTakenOverAfterItsLease(t *testing.T) {
	t.Parallel()
	f := newFleet(10)
	r := newRig(t, "fake", f, "")
	c, _ := r.d.ConnectionByID(conn)
	killed := r.syncer()
	w := &walk{Syncer: killed, conn: c, provider: f, lister: f, limits: c.Limits.Over(f.Describe().Limits).WithDefaults()}
	taken, err := w.claim(t.Context())
	require.NoError(t, err)
	require.True(t, taken)
	for range 2 {
		require.NoError(t, w.page(t.Context()))
	}
	again, err := w.claim(t.Context())
	require.NoError(t, err)
	require.False(t, again, "it is leased")
	due, err := killed.due(t.Context())
	require.NoError(t, err)
	require.Empty(t, due)

	r.advance(killed.cfg.Lease + time.Second)
	run := w.p.Run
	r.until(func() bool { // a page may be written by the time that it is read
		due, err := killed.due(t.Context())
		return err == nil && len(due) == 1
	})
	stop := r.run(r.syncer())
	r.until(func() bool { return !r.progress().FinishedAt.IsZero() })
	stop()
	p := r.progress()
	require.Equal(t, run, p.Run)
	require.Equal(t, []string{"", "2", "4", "6", "8"}, f.pages(), "it goes on at the last page")
	require.Equal(t, 5, p.Pages)
	require.ErrorIs(t, w.keep(t.Context()), errTaken, "the one that was thought dead writes nothing down")
	require.Equal(t, p, r.progress())
}

// Who asks while a walk is under way is not answered by what that has read already: it goes
// on, also if it is put down meanwhile, and another follows.
func TestWalk_AskedForMeanwhileFollows(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"it walks on": false, "it is put down": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(6)
			r := newRig(t, "fake", f, "")
			c, _ := r.d.ConnectionByID(conn)
			w := &walk{Syncer: r.syncer(), conn: c, provider: f, lister: f, limits: c.Limits.Over(f.Describe().Limits).WithDefaults()}
			_, err := w.claim(t.Context())
			require.NoError(t, err)
			require.NoError(t, w.page(t.Context()))
			require.NoError(t, r.parts.Book.Want(t.Context(), conn, r.now()))
			require.NoError(t, w.page(t.Context()))
			first := w.p.Run
			if down {
				w.leave(t.Context(), &aside{})
			} else {
				w.leave(t.Context(), w.run(t.Context()))
				require.Equal(t, "waiting", r.progress().State(r.now()))
			}
			stop := r.run(r.syncer())
			r.until(func() bool { return r.finished(first) })
			stop()
			require.Equal(t, []string{"", "2", "4", "", "2", "4"}, f.pages())
			_, due := r.cfg.dueSince(r.progress(), r.now())
			require.False(t, due, "it was asked for once")
		})
	}
}

// A worker that is free takes the next walk at once: at so many connections the looks alone,
// a few walks each, would take longer than the time between two walks.
func TestRun_BeginsTheNextWithoutAnotherLook(t *testing.T) {
	t.Parallel()
	r := newRig(t, "fake", newFleet(3), "")
	var text strings.Builder
	fmt.Fprintf(&text, "partners: [{id: %s, name: P, connections: [", partner)
	const more = 12
	for i := range more {
		fmt.Fprintf(&text, "{id: 00000000-0000-7000-8000-0000000001%02d, provider: fake, credentials: {}},", i)
	}
	file := filepath.Join(t.TempDir(), "registry.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text.String()+"]}]"), 0o600))
	_, err := r.d.LoadFile(t.Context(), file)
	require.NoError(t, err)
	r.cfg.Walks, r.cfg.Poll = 2, 24*time.Hour // it looks once
	r.run(r.syncer())
	require.Eventually(t, func() bool {
		all, err := r.parts.Book.All(t.Context())
		require.NoError(t, err)
		finished := 0
		for _, p := range all {
			if !p.FinishedAt.IsZero() {
				finished++
			}
		}
		return finished == more+1
	}, soon, 5*time.Millisecond)
}

func TestWalk_OneWorkerAtATime(t *testing.T) {
	t.Parallel()
	f := newFleet(20)
	r := newRig(t, "fake", f, "")
	stops := []func(){r.run(r.syncer()), r.run(r.syncer()), r.run(r.syncer())}
	r.until(func() bool { return r.finished(uuid.Nil) })
	for _, stop := range stops {
		stop()
	}
	require.Len(t, f.pages(), 10)
	require.Equal(t, 20, r.progress().Created)
}

func TestWalk_RefusedCredentialIsRenewedOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	refused := &operation.Failure{Type: operation.ErrorAuth, StatusCode: 401, Refresh: true, Detail: "refused"}
	f.set(func(call int) error {
		if call == 2 {
			return refused
		}
		return nil
	})
	require.Equal(t, 2, r.walked().Pages)
	require.EqualValues(t, 1, f.token.Load())
	require.Equal(t, []string{"", "2", "2"}, f.pages())

	f.set(func(int) error { return refused })
	r.advance(6 * time.Hour)
	stop := r.run(r.syncer())
	r.until(func() bool { return r.progress().Failures == 1 })
	stop()
	require.EqualValues(t, 2, f.token.Load())
	require.Len(t, f.pages(), 5, "a fresh one that is refused is not tried again")
}

func TestWalk_WaitsAsTold(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	r := newRig(t, "fake", f, "")
	notes := &noted{rates: r.parts.Rates} // the store's clock does not go as fast as ours
	r.parts.Rates = notes
	full := &operation.Failure{Type: operation.ErrorTSP, StatusCode: 429, Retryable: true, RetryAfter: 10 * time.Minute, Detail: "slow down"}
	f.set(func(call int) error {
		switch call {
		case 2:
			soon := *full
			soon.RetryAfter = time.Millisecond
			return &soon
		case 4:
			return full
		}
		return nil
	})
	stop := r.run(r.syncer())
	r.until(func() bool { return r.progress().Told })
	p := r.progress()
	require.Equal(t, 2, p.Pages)
	require.Zero(t, p.Failures)
	require.Equal(t, uuid.Nil, p.Owner, "nobody holds the connection while it waits")
	require.NoError(t, r.parts.Book.Want(t.Context(), conn, time.Now()))
	_, due := r.cfg.dueSince(r.progress(), r.now())
	require.False(t, due, "not even when asked")
	require.Len(t, f.pages(), 4)
	r.advance(11 * time.Minute)
	r.until(func() bool { return r.finished(p.Run) })
	stop()
	require.Equal(t, []string{"", "2", "2", "4", "4", "", "2", "4"}, f.pages(), "and another follows, that was asked for")
	require.Equal(t, []time.Duration{time.Millisecond, 10 * time.Minute}, notes.waits)
}

// noted keeps the blocks instead of passing them on.
type noted struct {
	rates
	waits []time.Duration
}

func (n *noted) Block(_ context.Context, _ uuid.UUID, wait time.Duration) error {
	n.waits = append(n.waits, wait)
	return nil
}

// What the provider says to a sync, it says to the account: a write that comes
// meanwhile waits too, and costs no attempt.
func TestWalk_RetryAfterHoldsWritesBack(t *testing.T) {
	t.Parallel()
	f := newFleet(2)
	f.set(func(int) error {
		return &operation.Failure{Type: operation.ErrorTSP, StatusCode: 429, Retryable: true, RetryAfter: 10 * time.Minute, Detail: "slow down"}
	})
	r := newRig(t, "fake", f, "")
	began := time.Now()
	stop := r.run(r.syncer())
	r.until(func() bool { return r.progress().Told })
	stop()

	store := redisstore.New(r.rdb, redisstore.Config{})
	limits := redisstore.Limits{InFlight: 8, Life: time.Hour, Call: time.Second}
	write := operation.Accepted{
		ID: uuid.Must(uuid.NewV7()), PartnerID: partner, ConnectionID: conn, Provider: "fake", Type: operation.Update,
		Resource: operation.ResourceUser, ResourceID: uuid.New(), SourceID: "u00",
		Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
	}
	_, err := store.Accept(t.Context(), write, limits)
	require.NoError(t, err)
	h, err := store.Next(t.Context(), conn, limits, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(t, err)
	require.Empty(t, h.Leases, "no call is handed out")
	op, err := store.Get(t.Context(), conn, write.ID)
	require.NoError(t, err)
	require.Equal(t, operation.WaitProviderBackoff, op.Wait.Reason)
	require.WithinRange(t, op.Wait.Until, began.Add(10*time.Minute).Add(-time.Second), time.Now().Add(10*time.Minute))
	require.Empty(t, op.Attempts)

	require.NoError(t, store.Block(t.Context(), conn, time.Millisecond), "a shorter one")
	lane, err := store.Lane(t.Context(), conn)
	require.NoError(t, err)
	require.WithinRange(t, lane.Blocked, began.Add(9*time.Minute), time.Now().Add(10*time.Minute), "the longer one stays")
}

func TestWalk_FailureWaitsUntilSomebodyAsks(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	f.set(func(call int) error {
		if call == 2 {
			return &operation.Failure{Type: operation.ErrorTSP, StatusCode: 500, Retryable: true, Detail: "broken"}
		}
		return nil
	})
	r.run(r.syncer())
	r.until(func() bool { return r.progress().Failures == 1 })
	p := r.progress()
	require.Equal(t, "tsp: broken", p.LastError)
	require.Equal(t, "failing", p.State(r.now()))
	require.Len(t, f.pages(), 2)
	require.NoError(t, r.parts.Book.Want(t.Context(), conn, time.Now()))
	r.until(func() bool { return r.finished(p.Run) })
	require.Equal(t, []string{"", "2", "2", "", "2"}, f.pages(), "it goes on where it was, and another follows")
	require.Empty(t, r.progress().LastError)
}

func TestWalk_RefusedCursorBeginsAnew(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	f.set(func(call int) error {
		if call == 2 {
			return operation.Refuse("no such cursor")
		}
		return nil
	})
	stop := r.run(r.syncer())
	r.until(func() bool { return r.progress().Restart })
	run := r.progress().Run
	r.advance(3 * time.Hour)
	r.until(func() bool { return r.finished(run) })
	stop()
	require.Equal(t, []string{"", "2", "", "2"}, f.pages())
}

func TestDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	run, ago := uuid.New(), func(d time.Duration) time.Time { return now.Add(-d) }
	every, never := Config{Every: time.Hour}, Config{}
	for name, tc := range map[string]struct {
		cfg  Config
		p    Progress
		want bool
	}{
		"never walked":              {every, Progress{}, true},
		"never walked, on demand":   {never, Progress{}, false},
		"asked for":                 {never, Progress{WantedAt: now}, true},
		"asked for and answered":    {never, Progress{WantedAt: now, AnsweredAt: now, Run: run, StartedAt: ago(2), FinishedAt: ago(1)}, false},
		"asked for during the walk": {never, Progress{WantedAt: now, AnsweredAt: ago(9), Run: run, StartedAt: ago(2), FinishedAt: ago(1)}, true},
		"walked lately":             {every, Progress{Run: run, StartedAt: ago(time.Minute), FinishedAt: ago(1)}, false},
		"walked long ago":           {every, Progress{Run: run, StartedAt: ago(time.Hour), FinishedAt: ago(1)}, true},
		"unfinished":                {never, Progress{Run: run, StartedAt: ago(1)}, true},
		"leased":                    {every, Progress{Run: run, StartedAt: ago(1), LeaseUntil: now.Add(1), WantedAt: now}, false},
		"told to wait":              {every, Progress{Run: run, ResumeAt: now.Add(1), Told: true, WantedAt: now}, false},
		"pausing":                   {every, Progress{Run: run, ResumeAt: now.Add(1)}, false},
		"pausing, but asked for":    {every, Progress{Run: run, ResumeAt: now.Add(1), WantedAt: now}, true},
		"given up":                  {never, Progress{Run: run, Restart: true}, true},
		"given up, pausing":         {never, Progress{Run: run, Restart: true, ResumeAt: now.Add(1)}, false},
	} {
		_, due := tc.cfg.dueSince(tc.p, now)
		require.Equal(t, tc.want, due, name)
	}
}

// endless is a provider whose pages go on for ever.
type endless struct {
	*fleet
	circle bool // of two pages
}

func (e endless) ListUsers(ctx context.Context, c tsp.Connection, cursor string) (tsp.UserPage, error) {
	page, err := e.fleet.ListUsers(ctx, c, "")
	at, _ := strconv.Atoi(cursor)
	page.Next = strconv.Itoa(at + 1)
	if e.circle {
		page.Next = strconv.Itoa(1 + at%2)
		return page, err
	}
	for i := range page.Users {
		page.Users[i].SourceID += "-" + cursor
	}
	return page, err
}

func TestWalk_ListWithoutAnEndIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		circle bool
		cfg    Config
		pages  int
	}{
		"in a circle":       {circle: true, pages: 1 + maxStale},
		"always new users":  {cfg: Config{MaxUsers: 9}, pages: 5},
		"older than it may": {cfg: Config{MaxAge: time.Nanosecond}, pages: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := endless{newFleet(2), tt.circle}
			r := newRig(t, "fake", e, "{id: 00000000-0000-7000-8000-00000000a100, source_id: other}")
			r.cfg.MaxUsers, r.cfg.MaxAge = tt.cfg.MaxUsers, tt.cfg.MaxAge
			stop := r.run(r.syncer())
			r.until(func() bool { return r.progress().Restart })
			stop()
			p := r.progress()
			require.Equal(t, tt.pages, p.Pages)
			require.Contains(t, p.LastError, "does not end")
			require.True(t, p.FinishedAt.IsZero())
			require.Contains(t, r.byID(), uuid.MustParse("00000000-0000-7000-8000-00000000a100"), "nobody is marked as gone")
			require.Equal(t, 1, p.GivenUp, "the pause before the next grows")
		})
	}
}

// locking is a directory whose connections this process can open until they are sealed
// under a key that it does not have.
type locking struct {
	users
	sealed atomic.Bool
}

func (l *locking) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	c, ok := l.users.ConnectionByID(id)
	if c.Locked = l.sealed.Load(); c.Locked {
		c.Credentials = nil
	}
	return c, ok
}

func TestWalk_OfALockedConnectionIsLeftToAnother(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	r := newRig(t, "fake", f, "")
	l := &locking{users: r.d}
	old := r.syncer()
	old.parts.Directory = l
	f.set(func(call int) error {
		l.sealed.Store(call == 2)
		return nil
	})
	stop := r.run(old)
	r.until(func() bool { p := r.progress(); return p.Pages == 2 && p.Owner == uuid.Nil })
	stop()
	p := r.progress()
	require.Empty(t, p.LastError)
	require.Zero(t, p.Failures)
	_, due := r.cfg.dueSince(p, r.now())
	require.True(t, due, "at once")
	f.set(nil)
	stop = r.run(r.syncer())
	r.until(func() bool { return r.finished(uuid.Nil) })
	stop()
	require.Equal(t, []string{"", "2", "4"}, f.pages(), "it goes on where it was")
}
