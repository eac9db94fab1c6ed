package directory

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func number(kind byte, n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-7000-80%02x-%012x", kind, n))
}

// A list that is walked while a sync adds users sorts those, and not all users again.
func TestTable_AddedUsersDoNotSortAllAgain(t *testing.T) {
	t.Parallel()
	tab := newTable(box{})
	partner, conn := number(1, 1), number(2, 1)
	tab.putConnection(&held{Connection: Connection{ID: conn, PartnerID: partner}})
	for n := range 100 {
		tab.putUser(User{ID: number(3, 2*n), ConnectionID: conn})
	}
	require.Len(t, tab.sort(partner), 100)
	before := tab.sorted[partner].ids
	tab.putUser(User{ID: number(3, 51), ConnectionID: conn})
	require.Equal(t, before, tab.sorted[partner].ids, "those are in order")
	require.Equal(t, []uuid.UUID{number(3, 51)}, tab.sorted[partner].since, "one is not")
	require.Len(t, tab.sort(partner), 101)
	require.True(t, slices.IsSortedFunc(tab.sort(partner), compareIDs))
	require.Len(t, before, 100, "a page that was begun has the list of then")
	require.Nil(t, tab.sort(number(1, 9)), "nobody's")
	require.NotContains(t, tab.sorted, number(1, 9))
}

// Whatever comes and goes, the indexes say what is there.
func TestTable_IndexesAreWhatIsThere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tab := newTable(box{})
		for revision := range rapid.IntRange(1, 60).Draw(t, "steps") {
			partner := number(1, rapid.IntRange(0, 2).Draw(t, "partner"))
			conn := number(2, rapid.IntRange(0, 3).Draw(t, "connection"))
			source := rapid.SampledFrom(sources).Draw(t, "source")
			user := rapid.SampledFrom([]uuid.UUID{
				number(3, 0), number(3, 1), number(3, 2), number(3, 3), number(3, 4), UserID(conn, source), UserID(conn, "a"), UserID(number(2, 0), source),
			}).Draw(t, "user")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				tab.putConnection(&held{Connection: Connection{ID: conn, PartnerID: partner}})
			case 1, 2:
				tab.putUser(User{ID: user, ConnectionID: conn, SourceID: source})
			case 3:
				tab.remove(userKey(conn, user), uint64(revision+1))
			case 4:
				tab.remove(connectionKey(conn), uint64(revision+1))
			}
			for n := range 3 {
				agrees(t, tab, number(1, n))
			}
			for n := range 4 {
				finds(t, tab, number(2, n))
			}
		}
	})
}

// sources are the provider's ids.
var sources = []string{"a", "b", "c"}

// finds requires that users are found by the provider's ids.
func finds(t *rapid.T, tab *table, connection uuid.UUID) {
	var want, got []uuid.UUID
	for id, u := range tab.users {
		if u.ConnectionID == connection && u.SourceID != "c" {
			want = append(want, id)
		}
	}
	for u := range tab.withSources(connection, map[string]bool{"a": true, "b": true}) {
		got = append(got, u.ID)
	}
	require.ElementsMatch(t, want, got)
}

func agrees(t *rapid.T, tab *table, partner uuid.UUID) {
	var owned, users []uuid.UUID
	of := func(connection uuid.UUID) bool {
		c := tab.connections[connection]
		return c != nil && c.PartnerID == partner
	}
	for id := range tab.connections {
		if of(id) {
			owned = append(owned, id)
		}
	}
	for id, u := range tab.users {
		if of(u.ConnectionID) {
			users = append(users, id)
		}
	}
	slices.SortFunc(owned, compareIDs)
	slices.SortFunc(users, compareIDs)
	require.ElementsMatch(t, owned, tab.ofPartner[partner])
	require.True(t, slices.IsSortedFunc(tab.ofPartner[partner], compareIDs))

	sorted := tab.sort(partner)
	require.True(t, slices.IsSortedFunc(sorted, compareIDs))
	require.Len(t, slices.Compact(slices.Clone(sorted)), len(sorted), "each once")
	there := slices.DeleteFunc(slices.Clone(sorted), func(id uuid.UUID) bool {
		u := tab.users[id]
		return u == nil || !of(u.ConnectionID)
	})
	require.ElementsMatch(t, users, there)
}

// What a process has written itself it has before the bucket tells it of what was there before.
func TestTable_AnOlderOneChangesNothing(t *testing.T) {
	t.Parallel()
	tab := newTable(box{})
	conn := number(2, 1)
	for kind, key := range map[string]string{
		kindPartner: partnerKey(number(1, 1)), kindFleet: fleetKey(number(4, 1)), kindConnection: connectionKey(conn), kindUser: userKey(conn, number(3, 1)),
	} {
		_, id, err := splitKey(key)
		require.NoError(t, err)
		entry := fmt.Sprintf(`{"id":%q,"connection_id":%q,"partner_id":%q,"credentials":{}}`, id, conn, number(1, 1))
		require.NoError(t, tab.put(key, []byte(entry), 5))
		require.NoError(t, tab.put(key, []byte(entry), 4))
		require.EqualValues(t, 5, tab.revision(kind, id), kind)
		tab.remove(key, 4)
		require.EqualValues(t, 5, tab.revision(kind, id), kind)
		tab.remove(key, 6)
		require.Zero(t, tab.revision(kind, id), kind)
	}
}

// A list of a partner may have been begun before a user came to another partner's connection,
// or was gone.
func TestUsersPage_GivesNobodyElses(t *testing.T) {
	t.Parallel()
	tab := newTable(box{})
	d := &Directory{copy: tab}
	mine, theirs, deleted := number(2, 1), number(2, 2), number(2, 3)
	tab.putConnection(&held{Connection: Connection{ID: mine, PartnerID: demo}})
	tab.putConnection(&held{Connection: Connection{ID: theirs, PartnerID: other}})
	tab.putConnection(&held{Connection: Connection{ID: deleted, PartnerID: demo, Status: ConnectionDeleted}})
	user := User{ID: number(3, 1), ConnectionID: mine}
	tab.putUser(user)
	tab.putUser(User{ID: number(3, 2), ConnectionID: deleted})
	require.Equal(t, []User{user}, d.UsersPage(demo, uuid.Nil, 10, UserFilter{}))
	user.ConnectionID = theirs
	tab.putUser(user)
	require.Empty(t, d.UsersPage(demo, uuid.Nil, 10, UserFilter{}))
	require.Equal(t, []User{user}, d.UsersPage(other, uuid.Nil, 10, UserFilter{}))
	gone := time.Now()
	user.DeletedAt = &gone
	tab.putUser(user)
	require.Empty(t, d.UsersPage(other, uuid.Nil, 10, UserFilter{}))
}

// A page of a sync looks at its own users, and at those that a registry file names.
func TestTable_OnlyUsersOfTheFileAreListedByName(t *testing.T) {
	t.Parallel()
	tab := newTable(box{})
	conn := number(2, 1)
	for n := range 100 {
		source := fmt.Sprint("s", n)
		tab.putUser(User{ID: UserID(conn, source), ConnectionID: conn, SourceID: source})
	}
	tab.putUser(User{ID: number(3, 1), ConnectionID: conn, SourceID: "s7"})
	require.Equal(t, []uuid.UUID{number(3, 1)}, tab.named[conn])
	tab.remove(userKey(conn, number(3, 1)), 1)
	require.Empty(t, tab.named)
}
