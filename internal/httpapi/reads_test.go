package httpapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/pkg/operation"
)

// texts gives the ids in their order as texts.
func texts(ids ...uuid.UUID) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

// mine are partnerOne's users that a list shows, by id.
var mine = []uuid.UUID{
	userOne, userOneB, userTwo, userPaused, userStale, userFailed, userCancelled, userReadOnly, userNoAdapter,
}

func TestListUsers_Filters(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, row := range []struct {
		query string
		want  []string
	}{
		{"", texts(mine...)},
		{"is_driver=false", texts(userOneB)},
		{"is_driver=true&connection_id=" + connOne.String(), texts(userOne)},
		{"connection_id=" + connOne.String(), texts(userOne, userOneB)},
		{"fleet_ids=" + fleetTwo.String(), texts(userTwo, userReadOnly)},
		{"fleet_refs=fleet-two", texts(userTwo, userReadOnly)},
		{"fleet_refs=fleet-two&fleet_refs=nowhere", texts(userTwo, userReadOnly)},
		{"user_ids=" + userOneB.String() + "&user_ids=" + userTwo.String(), texts(userOneB, userTwo)},
		{"source_ids=" + sourceOf(userOneB), texts(userOneB)},
		{"size=2", texts(mine[:2]...)},
		{"sort_order=desc&size=2", texts(userNoAdapter, userReadOnly)},
		{"sort_by=first_name", texts(mine...)},
	} {
		require.Equal(t, row.want, api.get("/v2/telematics/users?"+row.query).ids(t), row.query)
	}
	for _, query := range []string{"is_driver=maybe", "size=0", "sort_by=shoe_size", "sort_order=up", "user_ids=x", "connection_id=x"} {
		require.Equal(t, 422, api.get("/v2/telematics/users?"+query).status, query)
	}
}

func TestListUsers_ByName(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	people := [][3]string{{"Ann", "Lee", "al"}, {"Joann", "Öst", "x.leeman"}, {"Bo", "Annason", ""}}
	for i := range api.world.users {
		p := people[i%3]
		fields := operation.Changes{
			operation.FieldFirstName: operation.Text(p[0]), operation.FieldLastName: operation.Text(p[1]), operation.FieldUsername: operation.Text(p[2]),
		}
		if p[2] == "" {
			fields[operation.FieldUsername] = operation.Null()
		}
		api.world.users[i].Fields = directory.Pack(fields)
	}
	called := func(who ...string) []string {
		out := []string{}
		for _, id := range mine {
			u, _, _ := api.world.User(partnerOne, id)
			v, _ := u.Fields.Get(operation.FieldFirstName)
			if slices.Contains(who, v.Text()) {
				out = append(out, id.String())
			}
		}
		return out
	}
	for query, want := range map[string][]string{
		"name=ann+lee": called("Ann"), "name=LEE": called("Ann", "Joann"), "name=ann": called("Ann", "Joann", "Bo"),
		"name=%C3%B6st": called("Joann"), "name=nobody": {}, "name=an%25": {},
		"name=lee&connection_id=" + connOne.String(): slices.DeleteFunc(called("Ann", "Joann"), func(id string) bool {
			return id != userOne.String() && id != userOneB.String()
		}),
	} {
		require.Equal(t, want, api.get("/v2/telematics/users?"+query).ids(t), query)
	}
	require.Equal(t, 422, api.get("/v2/telematics/users?name=").status)

	var walked []string
	for next := "name=ann&size=2"; ; {
		r := api.get("/v2/telematics/users?" + next)
		walked = append(walked, r.ids(t)...)
		cursor, more := r.body["next_page"].(string)
		if !more {
			break
		}
		require.Equal(t, 400, api.get("/v2/telematics/users?name=lee&cursor="+cursor).status, "the cursor is bound to its filters")
		require.Equal(t, 400, api.get("/v2/telematics/users?cursor="+cursor).status)
		next = "name=ann&size=2&cursor=" + cursor
	}
	require.Equal(t, called("Ann", "Joann", "Bo"), walked)
}

func TestListUsers_Walks(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for i := range api.world.users {
		// Names with ties, and users whose name is not known.
		name := []string{"Zoe", "Ada", "", "Ada"}[i%4]
		api.world.users[i].Fields = directory.Pack(operation.Changes{operation.FieldFirstName: operation.Text(name)})
		if name == "" {
			api.world.users[i].Fields = ""
		}
	}
	byName := slices.Clone(mine)
	slices.SortStableFunc(byName, func(a, b uuid.UUID) int {
		ua, _, _ := api.world.User(partnerOne, a)
		ub, _, _ := api.world.User(partnerOne, b)
		va, _ := ua.Fields.Get(operation.FieldFirstName)
		vb, _ := ub.Fields.Get(operation.FieldFirstName)
		return strings.Compare(va.Text(), vb.Text())
	})
	require.NotEqual(t, mine, byName)
	down := func(ids []uuid.UUID) []string {
		out := texts(ids...)
		slices.Reverse(out)
		return out
	}
	for _, size := range []int{2, 4, 9} {
		testWalks(t, api, "/v2/telematics/users", "", size, texts(mine...))
		testWalks(t, api, "/v2/telematics/users", "sort_order=desc", size, down(mine))
		testWalks(t, api, "/v2/telematics/users", "sort_by=first_name", size, texts(byName...))
		testWalks(t, api, "/v2/telematics/users", "sort_by=first_name&sort_order=desc", size, down(byName))
		testWalks(t, api, "/v2/telematics/users", "sort_by=created_at", size, texts(mine...))
		testWalks(t, api, "/v2/telematics/users", "sort_by=source_id", size, texts(mine...))
	}
}

func TestListUsers_ByTime(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	began := time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC)
	at := map[uuid.UUID]time.Duration{}
	for i := range api.world.users {
		u := &api.world.users[i]
		// Neither the order of the ids, nor that of each other.
		at[u.ID] = time.Duration(i*7%len(api.world.users)) * time.Hour
		u.CreatedAt, u.UpdatedAt = began.Add(at[u.ID]), began.Add(-at[u.ID])
	}
	byTime := slices.SortedFunc(slices.Values(mine), func(a, b uuid.UUID) int { return cmp.Compare(at[a], at[b]) })
	require.NotEqual(t, mine, byTime)
	testWalks(t, api, "/v2/telematics/users", "sort_by=created_at", 4, texts(byTime...))
	slices.Reverse(byTime)
	testWalks(t, api, "/v2/telematics/users", "sort_by=updated_at", 4, texts(byTime...))
}

// TestListUsers_LongNames: names are ordered by their first 256 bytes, which need not end
// where a character does, and users who share those are told apart by their ids.
func TestListUsers_LongNames(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for i := range api.world.users {
		api.world.users[i].Fields = directory.Pack(operation.Changes{operation.FieldFirstName: operation.Text("x" + strings.Repeat("é", 200))})
	}
	testWalks(t, api, "/v2/telematics/users", "sort_by=first_name", 2, texts(mine...))
}

func TestGetUser(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.get(usersPath + userOne.String())
	require.Equal(t, 200, got.status, got.text)
	require.Equal(t, userOne.String(), got.body["id"])
	require.Equal(t, connOne.String(), got.body["connection_id"])
	require.Equal(t, fleetOne.String(), got.body["fleet_id"])
	require.Equal(t, "fleet-one", got.body["fleet_ref"])
	require.Equal(t, "samsara", got.body["source_name"])
	require.Equal(t, sourceOf(userOne), got.body["source_id"])
	require.Equal(t, api.get(tspsPath + "/" + got.body["tsp_id"].(string)).body["slug"], got.body["tsp_slug"])
	require.Equal(t, "samsara", got.body["tsp_slug"])
	require.Equal(t, "Ada", got.body["first_name"])
	require.Equal(t, true, got.body["is_driver"])
	require.Nil(t, got.body["last_name"])
	require.Len(t, got.body["source_data_hash"], 64)
	require.NotContains(t, got.body, "source_data")

	with := api.get(usersPath + userOne.String() + "?include_source_data=true")
	require.Equal(t, map[string]any{"first_name": "Ada", "is_driver": true}, with.body["source_data"])
	require.Equal(t, got.body["source_data_hash"], with.body["source_data_hash"])

	require.Equal(t, 404, api.get(usersPath+userDeleted.String()).status)
	bad := api.get(usersPath + "x?include_source_data=y")
	require.Equal(t, 422, bad.status)
	require.Len(t, bad.body["detail"], 2)
}

// TestGetUser_ShowsEachFieldAsItIs, under the name under which it is written.
func TestGetUser_ShowsEachFieldAsItIs(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	i := slices.IndexFunc(api.world.users, func(u directory.User) bool { return u.ID == userOne })
	known, want := operation.Changes{}, map[string]any{}
	for n, spec := range operation.UserFields {
		text := fmt.Sprintf("v%02d", n)
		switch spec.Kind {
		case operation.KindBool:
			known[spec.Name], want[string(spec.Name)] = operation.Flag(n%2 == 0), n%2 == 0
			continue
		case operation.KindDate:
			text = "2030-05-31"
		case operation.KindEnum:
			text = spec.Enum[0]
		}
		known[spec.Name], want[string(spec.Name)] = operation.Text(text), text
	}
	for _, notShown := range []operation.Field{
		operation.FieldDOTID, operation.FieldPhoneCountryCode, operation.FieldHOSComplianceType, operation.FieldHOSTrackingMethod,
	} { // the contract's answer has no place for them but the source data
		delete(want, string(notShown))
	}
	u := &api.world.users[i]
	u.Fields, u.CreatedAt, u.UpdatedAt = directory.Pack(known), time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC), time.Date(2026, 5, 4, 11, 0, 0, 0, time.UTC)
	want["created_at"], want["updated_at"] = "2026-05-03T10:00:00Z", "2026-05-04T11:00:00Z"
	got := api.get(usersPath + userOne.String())
	for name, value := range want {
		require.Equal(t, value, got.body[name], name)
	}
	for name := range known {
		known[name] = operation.Null()
	}
	u.Fields = directory.Pack(known)
	delete(want, "created_at")
	delete(want, "updated_at")
	got = api.get(usersPath + userOne.String())
	for name := range want {
		require.Contains(t, got.body, name)
		require.Nil(t, got.body[name], name)
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	all := texts(connOne, connTwo, connDeleted, connPaused, connStale, connFailed, connCancelled, connReadOnly, connNoAdapter)
	for _, row := range []struct {
		query string
		want  []string
	}{
		{"", all},
		{"tsp_id=" + directory.TSPID("motive").String(), texts(connTwo)},
		{"fleet_ids=" + fleetTwo.String(), texts(connTwo, connReadOnly)},
		{"fleet_refs=fleet-two", texts(connTwo, connReadOnly)},
		{"fleet_refs=fleet-two&tsp_id=" + directory.TSPID("samsara").String(), texts(connReadOnly)},
		{"fleet_refs=none", texts()},
	} {
		require.Equal(t, row.want, api.get("/v2/integrations/connections?"+row.query).ids(t), row.query)
	}
	for _, size := range []int{1, 4, 9, 20} {
		testWalks(t, api, "/v2/integrations/connections", "", size, all)
	}
	got := api.get(connectionsPath + connOne.String())
	require.Equal(t, "active", got.body["status"])
	require.Equal(t, map[string]any{"client_id": "seen", "client_secret": "*****"}, got.body["credentials"])
	require.NotContains(t, api.get("/v2/integrations/connections").text, "hush-hush")
	require.Equal(t, 404, api.get(connectionsPath+uuid.NewString()).status)
	require.Equal(t, 422, api.get(connectionsPath+"x").status)
}

func TestTSPs(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	var all []string
	for _, p := range api.world.tsps {
		all = append(all, p.ID.String())
	}
	for _, size := range []int{1, 2, 3, 4} {
		testWalks(t, api, tspsPath, "", size, all)
	}
	for name, status := range map[string]string{"samsara": "implemented", "wialon": "not_implemented"} {
		got := api.get(tspsPath + "/" + directory.TSPID(name).String())
		require.Equal(t, name, got.body["source_name"])
		integrations := got.body["integrations"].(map[string]any)
		require.Equal(t, status, integrations["user"])
		require.Len(t, integrations, 32)
		require.EqualValues(t, 32, got.body["implemented_count"].(float64)+got.body["not_implemented_count"].(float64)+got.body["not_supported_count"].(float64))
	}
	require.Equal(t, 404, api.get(tspsPath+"/"+uuid.NewString()).status)
	require.Equal(t, 422, api.get(tspsPath+"/samsara").status)
}
