package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// fixed is the clock of tests with a window: an hour after the world's time.
func fixed() time.Time { return worldTime.Add(time.Hour) }

// fill stores n operations of partnerOne, a minute apart, over two connections,
// and some of the other partner in between. It gives the ids in order.
func (a *api) fill(n int) []string {
	var ids []string
	for i := range n {
		accepted := operation.Accepted{
			ID: uuid.Must(uuid.NewV7()), PartnerID: partnerOne, ConnectionID: connOne, FleetRef: "fleet-one", Provider: "samsara",
			Resource: operation.ResourceUser, ResourceID: userOne, SourceID: "src-" + strconv.Itoa(i%3), Type: operation.Update,
		}
		if i%2 == 1 {
			accepted.ConnectionID, accepted.FleetRef, accepted.Provider = connTwo, "fleet-two", "motive"
		}
		at := worldTime.Add(time.Duration(i) * time.Minute)
		a.memory.put(operation.Operation{Accepted: accepted, Place: operation.Place{Seq: at.UnixMicro()}, Status: operation.Pending})
		ids = append(ids, accepted.ID.String())
		accepted.ID, accepted.PartnerID = uuid.Must(uuid.NewV7()), partnerTwo
		a.memory.put(operation.Operation{Accepted: accepted, Place: operation.Place{Seq: at.UnixMicro() + 1}, Status: operation.Pending})
	}
	return ids
}

func TestListOperations_Filters(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: fixed})
	all := api.fill(6)
	pick := func(indexes ...int) []string {
		out := []string{}
		for _, i := range indexes {
			out = append(out, all[i])
		}
		return out
	}
	stamp := func(minutes int) string {
		return url.QueryEscape(worldTime.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339))
	}
	for _, row := range []struct {
		query string
		want  []string
	}{
		{"", all},
		{"resource=user", all},
		{"resource=vehicle", pick()},
		{"connection_id=" + connOne.String(), pick(0, 2, 4)},
		{"source_name=motive", pick(1, 3, 5)},
		{"fleet_refs=fleet-two", pick(1, 3, 5)},
		{"fleet_refs=fleet-two&fleet_refs=fleet-one", all},
		{"fleet_refs=none", pick()},
		{"operation=update", all},
		{"operation=create", pick()},
		{"resource=user&source_id=src-1", pick(1, 4)},
		{"from_datetime=" + stamp(2), pick(2, 3, 4, 5)},
		{"to_datetime=" + stamp(2), pick(0, 1)},
		{"from_datetime=" + stamp(1) + "&to_datetime=" + stamp(3), pick(1, 2)},
		{"source_name=samsara&fleet_refs=fleet-one&size=2", pick(0, 2)},
	} {
		require.Equal(t, row.want, api.get(operationsPath+"?"+row.query).ids(t), row.query)
	}
}

func TestListOperations_Faults(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: fixed})
	long := make(url.Values)
	for i := range 101 {
		long.Add("fleet_refs", strconv.Itoa(i))
	}
	for _, query := range []string{
		"size=0", "size=1001", "size=ten", "source_id=x", "resource=nonsense", "operation=delete", "connection_id=x",
		"from_datetime=yesterday", "from_datetime=2026-05-04T00:00:00Z&to_datetime=2026-05-03T00:00:00Z",
		"from_datetime=2026-01-01T00:00:00Z&to_datetime=2026-02-16T00:00:00Z", long.Encode(),
	} {
		got := api.get(operationsPath + "?" + query)
		require.Equal(t, 422, got.status, query)
		require.NotEmpty(t, got.body["detail"], query)
	}
	require.Equal(t, 200, api.get(operationsPath+"?from_datetime=2026-01-01T00:00:00Z&to_datetime=2026-02-15T00:00:00Z").status)
}

// walk follows the link from page to page and gives the pages' ids.
func (a *api) walk(t *testing.T, path, query, link string, cursor any) [][]string {
	t.Helper()
	pages := [][]string{}
	for cursor != nil {
		require.Less(t, len(pages), 50, "the walk does not end")
		got := a.get(path + "?" + query + "&cursor=" + cursor.(string))
		pages = append(pages, got.ids(t))
		cursor = got.body[link]
	}
	return pages
}

// testWalks walks a list forward, back from the last page, and checks that each
// page can be fetched again from both of its ends.
func testWalks(t *testing.T, a *api, path, query string, size int, want []string) {
	t.Helper()
	query += "&size=" + strconv.Itoa(size)
	first := a.get(path + "?" + query)
	require.Nil(t, first.body["previous_page"])
	pages := append([][]string{first.ids(t)}, a.walk(t, path, query, "next_page", first.body["next_page"])...)
	require.Equal(t, want, slices.Concat(pages...), "forward")
	require.Equal(t, slices.Collect(slices.Chunk(want, size)), pages, "every page but the last is full")

	page := first
	for i := range pages {
		require.Equal(t, pages[i], a.get(path+"?"+query+"&cursor="+page.body["current_page"].(string)).ids(t), "again")
		again := a.get(path + "?" + query + "&cursor=" + page.body["current_page_backwards"].(string))
		require.Equal(t, pages[i], again.ids(t)[len(again.ids(t))-len(pages[i]):], "again, from its end")
		require.Equal(t, page.body["next_page"] == nil, again.body["next_page"] == nil)
		if i == len(pages)-1 {
			require.Nil(t, page.body["next_page"])
			break
		}
		page = a.get(path + "?" + query + "&cursor=" + page.body["next_page"].(string))
	}
	back := a.walk(t, path, query, "previous_page", page.body["previous_page"])
	slices.Reverse(back)
	require.Equal(t, pages[:len(pages)-1], back, "backwards")
	if len(back) > 0 {
		start := a.get(path + "?" + query + "&cursor=" + a.get(path + "?" + query + "&cursor=" + page.body["previous_page"].(string)).body["next_page"].(string))
		require.Equal(t, pages[len(pages)-1], start.ids(t), "forward again after a step back")
	}
}

func TestListOperations_Walks(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: fixed})
	all := api.fill(12)
	for _, size := range []int{1, 5, 12, 13} {
		testWalks(t, api, operationsPath, "", size, all)
	}
	odd := []string{all[1], all[3], all[5], all[7], all[9], all[11]}
	for _, size := range []int{1, 2, 4, 6} {
		testWalks(t, api, operationsPath, "source_name=motive", size, odd)
	}
}

func TestListOperations_Empty(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: fixed})
	got := api.get(operationsPath)
	require.Equal(t, []string{}, got.ids(t))
	require.Nil(t, got.body["next_page"])
	require.Nil(t, got.body["previous_page"])
	for _, link := range []string{"current_page", "current_page_backwards"} {
		require.Empty(t, api.get(operationsPath+"?cursor="+got.body[link].(string)).ids(t))
	}
}

func TestListOperations_CursorKeepsItsWindow(t *testing.T) {
	t.Parallel()
	now := fixed()
	api := newAPI(t, Config{Now: func() time.Time { return now }})
	all := api.fill(4)
	first := api.get(operationsPath + "?size=2")
	// Half a day later the default window has moved over the items, and there is a
	// new one that the first page's window did not have.
	now = now.Add(30 * time.Hour)
	late := api.seed(partnerOne, connOne).String()
	second := api.get(operationsPath + "?size=2&cursor=" + first.body["next_page"].(string))
	require.Equal(t, all[2:], second.ids(t))
	require.Nil(t, second.body["next_page"])
	require.NotContains(t, second.ids(t), late)
	require.Empty(t, api.get(operationsPath+"?size=2").ids(t), "the default window has moved")
}

// TestListOperations_AWalkOutlastsTheDefaults: a bound that was in order with the first
// page's defaults is not judged again by those of the time of a later page.
func TestListOperations_AWalkOutlastsTheDefaults(t *testing.T) {
	t.Parallel()
	stamp := func(at time.Time) string { return url.QueryEscape(at.Format(time.RFC3339)) }
	for what, bound := range map[string]string{
		"45 days up to now":     "from_datetime=" + stamp(fixed().Add(-45*24*time.Hour)),
		"of the last 24 hours":  "to_datetime=" + stamp(fixed().Add(-24*time.Hour+time.Minute)),
		"the end is a day past": "to_datetime=" + stamp(fixed()),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			now := fixed()
			api := newAPI(t, Config{Now: func() time.Time { return now }})
			query := operationsPath + "?size=2&" + bound
			first := api.get(query)
			require.Equal(t, 200, first.status, first.text)
			here := first.body["current_page"].(string)
			now = now.Add(30 * time.Hour)
			next := api.get(query + "&cursor=" + here)
			require.Equal(t, 200, next.status, next.text)
			require.Equal(t, 422, api.get(operationsPath+"?from_datetime=yesterday&cursor="+here).status, "still read")
			other := api.get(operationsPath + "?from_datetime=" + stamp(fixed().Add(-time.Hour)) + "&cursor=" + here)
			require.Equal(t, 400, other.status, "still part of the filter")
		})
	}
}

// TestListOperations_ClockBehind: accept times are of the store's clock, and an operation
// that was answered is in the list also if that is a little ahead of ours.
func TestListOperations_ClockBehind(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: func() time.Time { return worldTime.Add(-10 * time.Second) }})
	op := api.seed(partnerOne, connOne)
	require.Equal(t, []string{op.String()}, api.get(operationsPath).ids(t))
}

func TestLists_CursorsThatDoNotBelong(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: fixed})
	api.fill(3)
	cursor := api.get(operationsPath + "?size=1").body["next_page"].(string)
	users := api.get("/v2/telematics/users?size=1").body["next_page"].(string)
	require.Equal(t, 200, api.get(operationsPath+"?size=2&cursor="+cursor).status, "another size is fine")
	for _, path := range []string{
		operationsPath + "?source_name=motive&cursor=" + cursor,
		operationsPath + "?from_datetime=2026-05-04T00:00:00Z&cursor=" + cursor,
		operationsPath + "?cursor=" + users,
		operationsPath + "?cursor=nonsense",
		operationsPath + "?cursor=" + cursor[:len(cursor)-1],
		"/v2/telematics/users?cursor=" + cursor,
		"/v2/telematics/users?is_driver=true&cursor=" + users,
		"/v2/telematics/users?sort_order=desc&cursor=" + users,
		"/v2/integrations/connections?cursor=" + users,
		tspsPath + "?cursor=" + users,
	} {
		got := api.get(path)
		require.Equal(t, 400, got.status, path)
		require.EqualValues(t, 400, got.body["code"], path)
	}
	require.Equal(t, 422, api.get(operationsPath+"?cursor=").status, "an empty cursor")
}

func TestGetOperation(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: fixed})
	for _, row := range []struct {
		status     operation.Status
		until      time.Time
		retryAfter string
	}{
		{operation.Pending, time.Time{}, "1"},
		{operation.Pending, fixed().Add(-time.Minute), "1"},
		{operation.Pending, fixed().Add(1500 * time.Millisecond), "2"},
		{operation.Pending, fixed().Add(time.Hour), "3600"},
		{operation.Succeeded, time.Time{}, ""},
		{operation.Failed, time.Time{}, ""},
	} {
		id := uuid.Must(uuid.NewV7())
		api.memory.put(operation.Operation{
			Accepted: operation.Accepted{
				ID: id, PartnerID: partnerOne, ConnectionID: connOne, Provider: "samsara", Resource: operation.ResourceUser, Type: operation.Update,
			},
			Status: row.status, Wait: operation.Wait{Until: row.until},
		})
		got := api.get(connectionsPath + connOne.String() + "/resource-operations/" + id.String())
		require.Equal(t, 200, got.status, got.text)
		require.Equal(t, string(row.status), got.body["status"])
		require.Equal(t, "samsara", got.body["source_name"])
		require.Equal(t, row.retryAfter, got.header.Get("Retry-After"))
	}
	got := api.get(connectionsPath + "x/resource-operations/y")
	require.Equal(t, 422, got.status)
	require.Len(t, got.body["detail"], 2)
	require.Equal(t, http.StatusNotFound, api.get(connectionsPath+connOne.String()+"/resource-operations/"+uuid.NewString()).status)
}

// TestListOperations_LiteralSegmentWins: the list's last segment is no connection.
func TestListOperations_LiteralSegmentWins(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.send(request{path: operationsPath, token: token(partnerOne, "resource_operation:read")})
	require.Equal(t, []string{}, got.ids(t))
}
