package directory

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

func names(sourceIDs ...string) []tsp.ListedUser {
	out := make([]tsp.ListedUser, len(sourceIDs))
	for i, s := range sourceIDs {
		out[i] = tsp.ListedUser{SourceID: s, Fields: operation.Changes{operation.FieldFirstName: operation.Text("N" + s)}}
	}
	return out
}

const named = old + ", users: [{id: 00000000-0000-7000-8000-00000000a100, source_id: x, fields: {first_name: File}}]"

func TestLearn_FileAndSyncDoNotUndoEachOther(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(named))
	n, err := d.Learn(t.Context(), id("c1"), names("x", "y"))
	require.NoError(t, err)
	require.Equal(t, Count{Created: 1, Updated: 1}, n)
	require.Zero(t, load(t, d, one(named)).Writes())
	u, _, _ := d.User(demo, id("a100"))
	require.Equal(t, "Nx", u.Fields.Changes()[operation.FieldFirstName].Text())
	n, err = d.Learn(t.Context(), id("c1"), names("x", "y"))
	require.NoError(t, err)
	require.Equal(t, Count{Unchanged: 2}, n)
	require.Zero(t, load(t, d, "prune: true\n"+one(named)).Writes(), "whom the file never named is not its to prune")
}

func TestLoadFile_NamesAUserThatASyncHadFound(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	_, err := d.Learn(t.Context(), id("c1"), names("x"))
	require.NoError(t, err)
	report := load(t, d, one(named))
	require.Equal(t, Count{Created: 1, Deleted: 1}, report.Users)
	require.Zero(t, load(t, d, one(named)).Writes())
	_, _, ok := d.User(demo, UserID(id("c1"), "x"))
	require.False(t, ok, "one user of the provider has one id")
	require.Empty(t, d.user(UserID(id("c1"), "x")).Fields)
	n, err := d.Learn(t.Context(), id("c1"), names("x"))
	require.NoError(t, err)
	require.Equal(t, Count{Updated: 1}, n)
	u, _, ok := d.User(demo, id("a100"))
	require.True(t, ok)
	require.Equal(t, "Nx", u.Fields.Changes()[operation.FieldFirstName].Text())
}

func TestRetire(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	_, err := d.Learn(t.Context(), id("c1"), names("a", "b"))
	require.NoError(t, err)
	knowsA := func(_ context.Context, ids []string) ([]bool, error) {
		out := make([]bool, len(ids))
		for i, s := range ids {
			out[i] = s == "a"
		}
		return out, nil
	}
	n, err := d.Retire(t.Context(), id("c1"), time.Now().Add(-time.Hour), knowsA)
	require.NoError(t, err)
	require.Zero(t, n, "they came later")
	broken := errors.New("broken")
	_, err = d.Retire(t.Context(), id("c1"), time.Now().Add(time.Hour), func(context.Context, []string) ([]bool, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
	n, err = d.Retire(t.Context(), id("c1"), time.Now().Add(time.Hour), knowsA)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = d.Retire(t.Context(), id("c1"), time.Now().Add(time.Hour), knowsA)
	require.NoError(t, err)
	require.Zero(t, n, "who is gone is not marked again by every walk")
	_, _, ok := d.User(demo, UserID(id("c1"), "b"))
	require.False(t, ok)
	require.Empty(t, d.user(UserID(id("c1"), "b")).Fields, "nothing personal is kept of who is gone")
	got, err := d.Learn(t.Context(), id("c1"), names("b"))
	require.NoError(t, err)
	require.Equal(t, Count{Updated: 1}, got)
	u, _, ok := d.User(demo, UserID(id("c1"), "b"))
	require.True(t, ok, "who is listed again is back")
	require.Equal(t, "Nb", u.Fields.Changes()[operation.FieldFirstName].Text())
}

// Whom somebody has written since then is there: a create, or a walk that found them again.
func TestRetire_LeavesAloneWhoChanged(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	late := time.Duration(0)
	d.now = func() time.Time { return time.Now().Add(late) }
	_, err := d.Learn(t.Context(), id("c1"), names("a", "b"))
	require.NoError(t, err)
	late = 2 * time.Hour
	_, err = d.Learn(t.Context(), id("c1"), []tsp.ListedUser{{SourceID: "a", Fields: operation.Changes{operation.FieldNotes: operation.Text("since")}}})
	require.NoError(t, err)
	nobody := func(_ context.Context, ids []string) ([]bool, error) { return make([]bool, len(ids)), nil }
	since := time.Now().Add(time.Hour)

	_, err = d.Retire(t.Context(), id("c1"), since, func(context.Context, []string) ([]bool, error) { return nil, nil })
	require.ErrorContains(t, err, "0 answers for 1")
	ended, end := context.WithCancel(t.Context())
	end()
	n, err := d.Retire(ended, id("c1"), since, nobody)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	n, err = d.Retire(t.Context(), id("c1"), since, nobody)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, _, ok := d.User(demo, UserID(id("c1"), "a"))
	require.True(t, ok)
}

// What another process has written meanwhile is learned on top of, and is not gone; what could
// not be written is an error, since the walk would go on without it.
func TestLearn_OnTopOfWhatOthersWrote(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	peer := open(t, url)
	load(t, peer, one(old))
	late, err := Open(t.Context(), streams(t, url), Config{}) // follows nothing
	require.NoError(t, err)
	_, err = peer.Learn(t.Context(), id("c1"), names("a", "b"))
	require.NoError(t, err)
	n, err := late.Learn(t.Context(), id("c1"), names("a", "b"))
	require.NoError(t, err)
	require.Equal(t, Count{Unchanged: 2}, n)

	_, err = peer.Learn(t.Context(), id("c1"), []tsp.ListedUser{{SourceID: "a", Fields: operation.Changes{operation.FieldNotes: operation.Text("peer")}}})
	require.NoError(t, err)
	gone, err := late.Retire(t.Context(), id("c1"), time.Now().Add(time.Hour), func(_ context.Context, ids []string) ([]bool, error) {
		return make([]bool, len(ids)), nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, gone, "b: a was written meanwhile")
	n, err = late.Learn(t.Context(), id("c1"), []tsp.ListedUser{{SourceID: "a", Fields: operation.Changes{operation.FieldLastName: operation.Text("late")}}})
	require.NoError(t, err)
	require.Equal(t, Count{Updated: 1}, n)
	u := late.user(UserID(id("c1"), "a"))
	require.Equal(t, "peer", u.Fields.Changes()[operation.FieldNotes].Text())
	require.Equal(t, "late", u.Fields.Changes()[operation.FieldLastName].Text())

	ended, end := context.WithCancel(t.Context())
	end()
	_, err = late.Learn(ended, id("c1"), names("c"))
	require.ErrorIs(t, err, context.Canceled)
}

// TestRetire_KeepsWhatTheFileSays: it does not say it again.
func TestRetire_KeepsWhatTheFileSays(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(named))
	_, err := d.Learn(t.Context(), id("c1"), []tsp.ListedUser{{SourceID: "x", Fields: operation.Changes{operation.FieldPhoneNumber: operation.Text("5550100")}}})
	require.NoError(t, err)
	n, err := d.Retire(t.Context(), id("c1"), time.Now().Add(time.Hour), func(_ context.Context, ids []string) ([]bool, error) {
		return make([]bool, len(ids)), nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, operation.Changes{operation.FieldFirstName: operation.Text("File")}, d.user(id("a100")).Fields.Changes(), "what a sync found is not kept")
	require.Zero(t, load(t, d, one(named)).Writes())
	_, err = d.Learn(t.Context(), id("c1"), []tsp.ListedUser{{SourceID: "x"}})
	require.NoError(t, err)
	u, _, ok := d.User(demo, id("a100"))
	require.True(t, ok)
	require.Equal(t, "File", u.Fields.Changes()[operation.FieldFirstName].Text())
	load(t, d, "prune: true\n"+one(old))
	require.NotNil(t, d.user(id("a100")).DeletedAt)
	require.Empty(t, d.user(id("a100")).Fields, "the file has taken it back")
}

// Two partners' providers may number their users alike.
func TestLoadFile_NamesNobodyOfAnotherConnection(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, two())
	_, err := d.Learn(t.Context(), id("c2"), names("x"))
	require.NoError(t, err)
	require.Equal(t, Count{Created: 1}, load(t, d, one(named)).Users)
	_, _, ok := d.User(other, UserID(id("c2"), "x"))
	require.True(t, ok)
}

func TestLearn_NeedsAConnection(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	_, err := d.Learn(t.Context(), id("c1"), names("x"))
	require.ErrorContains(t, err, "no connection")
	require.Nil(t, d.user(UserID(id("c1"), "x")))
}

// Two processes may have written one user of a provider under two ids. All go on with the same.
func TestBySource_OneOfTwoStands(t *testing.T) {
	t.Parallel()
	gone := time.Now()
	conn := number(2, 1)
	for name, users := range map[string][2]User{ // the second one stands
		"the file's":   {{ID: number(3, 1)}, {ID: number(3, 2), Given: "mark", DeletedAt: &gone}},
		"who is there": {{ID: number(3, 1), DeletedAt: &gone}, {ID: number(3, 2)}},
		"the lower":    {{ID: number(3, 2)}, {ID: number(3, 1)}},
	} {
		for _, first := range []int{0, 1} {
			tab := newTable(box{})
			for i := range users {
				u := users[(first+i)%2]
				u.ConnectionID, u.SourceID = conn, "x"
				tab.putUser(u)
			}
			got := (&Directory{copy: tab}).bySource(conn, names("x"))
			require.Equal(t, users[1].ID, got["x"], name)
		}
	}
}

func TestNamed_ByAnAliasOfTheFile(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old+`, users: [{id: 00000000-0000-7000-8000-00000000a100, source_id: "badge:A"},
		{id: 00000000-0000-7000-8000-00000000a101, source_id: "badge:B"}, {id: 00000000-0000-7000-8000-00000000a102, source_id: "2"}]`))
	_, err := d.Learn(t.Context(), id("c1"), names("badge:D"))
	require.NoError(t, err)
	listed := names("1", "2", "3", "4", "5")
	for i, alias := range []string{"badge:A", "badge:B", "badge:C", "badge:D"} {
		listed[i].Aliases = []string{"other:" + listed[i].SourceID, alias}
	}
	var ids []string
	for _, u := range d.Named(id("c1"), listed) {
		ids = append(ids, u.SourceID)
	}
	require.Equal(t, []string{"badge:A", "badge:B", "2", "3", "4", "5"}, ids, "only the file's names count")
	require.Equal(t, names("x"), d.Named(id("c1"), names("x")))
}
