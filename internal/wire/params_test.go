package wire_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

var now = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func query(t *testing.T, s string) url.Values {
	t.Helper()
	q, err := url.ParseQuery(s)
	require.NoError(t, err)
	return q
}

func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	e := asError(t, err)
	require.Equal(t, operation.CodeInvalid, e.Code)
	var out []string
	for _, f := range e.Faults {
		require.NotEmpty(t, f.Message)
		out = append(out, f.Path+"|"+f.Type)
	}
	return out
}

func TestParseListOperations_Accepts(t *testing.T) {
	t.Parallel()
	c1 := uuid.MustParse(connection)
	day := 24 * time.Hour
	cases := map[string]struct {
		query string
		want  operation.Query
	}{
		"defaults": {"", operation.Query{From: now.Add(-day), To: now.Add(time.Minute), Limit: 300}},
		"all filters": {
			"resource=user&connection_id=" + connection + "&source_name=new_one&fleet_refs=a&fleet_refs=b&operation=update&source_id=7&size=1",
			operation.Query{
				Resource: "user", ConnectionID: c1, Provider: "new_one", FleetRefs: []string{"a", "b"}, Type: operation.Update,
				SourceID: "7", From: now.Add(-day), To: now.Add(time.Minute), Limit: 1,
			},
		},
		"window": {
			"from_datetime=2026-01-01T01:00:00%2B01:00&to_datetime=2026-02-15t00:00:00z&size=1000",
			operation.Query{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 2, 15, 0, 0, 0, 0, time.UTC), Limit: 1000},
		},
		"plus sign not escaped": {
			"from_datetime=2026-03-02T01:00:00+01:00",
			operation.Query{From: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), To: now.Add(time.Minute), Limit: 300},
		},
		"from a store's clock that is ahead": {
			"from_datetime=" + now.Add(30*time.Second).Format(time.RFC3339),
			operation.Query{From: now.Add(30 * time.Second), To: now.Add(time.Minute), Limit: 300},
		},
		"45 days up to now": {
			"from_datetime=" + now.Add(-45*day).Format(time.RFC3339), operation.Query{From: now.Add(-45 * day), To: now.Add(time.Minute), Limit: 300},
		},
		"empty window": {
			"from_datetime=2026-03-02T00:00:00Z&to_datetime=2026-03-02T00:00:00Z",
			operation.Query{From: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Limit: 300},
		},
		"rounded up": {
			"from_datetime=2026-03-02T00:00:00.000000001Z&to_datetime=2026-03-02T00:00:00.0000019Z",
			operation.Query{From: time.Date(2026, 3, 2, 0, 0, 0, 1000, time.UTC), To: time.Date(2026, 3, 2, 0, 0, 0, 2000, time.UTC), Limit: 300},
		},
		"as many refs as may be": {
			strings.Repeat("fleet_refs=a&", 100), operation.Query{FleetRefs: slices.Repeat([]string{"a"}, 100), From: now.Add(-day), To: now.Add(time.Minute), Limit: 300},
		},
		"unknown ignored": {"status=failed&status=x", operation.Query{From: now.Add(-day), To: now.Add(time.Minute), Limit: 300}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, cursor, err := wire.ParseListOperations(query(t, c.query), now)
			require.NoError(t, err)
			require.Empty(t, cursor)
			require.Equal(t, c.want, got)
		})
	}
}

func TestParseListOperations_Faults(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		query string
		want  []string
	}{
		"resource":             {"resource=nothing", []string{"query.resource|enum"}},
		"connection":           {"connection_id=x", []string{"query.connection_id|uuid_parsing"}},
		"nil connection":       {"connection_id=" + uuid.Nil.String(), []string{"query.connection_id|uuid_parsing"}},
		"empty connection":     {"connection_id=", []string{"query.connection_id|uuid_parsing"}},
		"empty source name":    {"source_name=", []string{"query.source_name|string_too_short"}},
		"operation":            {"operation=delete", []string{"query.operation|enum"}},
		"empty operation":      {"operation=", []string{"query.operation|enum"}},
		"source id alone":      {"source_id=7", []string{"query.resource|missing"}},
		"too many refs":        {strings.Repeat("fleet_refs=a&", 101), []string{"query.fleet_refs|too_long"}},
		"empty ref":            {"fleet_refs=", []string{"query.fleet_refs|string_too_short"}},
		"size 0":               {"size=0", []string{"query.size|greater_than_equal"}},
		"size 1001":            {"size=1001", []string{"query.size|less_than_equal"}},
		"size text":            {"size=many", []string{"query.size|int_parsing"}},
		"size huge":            {"size=99999999999999999999", []string{"query.size|int_parsing"}},
		"size twice":           {"size=1&size=2", []string{"query.size|repeated"}},
		"empty cursor":         {"cursor=", []string{"query.cursor|string_too_short"}},
		"no offset":            {"from_datetime=2026-01-01T00:00:00", []string{"query.from_datetime|datetime_parsing"}},
		"day only":             {"to_datetime=2026-01-01", []string{"query.to_datetime|datetime_parsing"}},
		"before there was any": {"from_datetime=0001-01-01T00:00:00Z", []string{"query.from_datetime|datetime_parsing"}},
		"backwards": {
			"from_datetime=2026-03-02T00:00:01Z&to_datetime=2026-03-02T00:00:00Z", []string{"query.from_datetime|datetime_order"},
		},
		"from the future":    {"from_datetime=2026-04-01T00:00:00Z", []string{"query.from_datetime|datetime_order"}},
		"to before the rest": {"to_datetime=2025-04-01T00:00:00Z", []string{"query.to_datetime|datetime_order"}},
		"45 days up to now":  {"from_datetime=2025-01-01T00:00:00Z", []string{"query.from_datetime|window_too_long"}},
		"45 days and a bit": {
			"from_datetime=2026-01-01T00:00:00Z&to_datetime=2026-02-15T00:00:00.000001Z", []string{"query.to_datetime|window_too_long"},
		},
		"all at once": {
			"resource=x&connection_id=y&operation=z&size=0&from_datetime=q",
			[]string{
				"query.resource|enum", "query.connection_id|uuid_parsing", "query.operation|enum",
				"query.from_datetime|datetime_parsing", "query.size|greater_than_equal",
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := wire.ParseListOperations(query(t, c.query), now)
			require.Equal(t, c.want, faultsOf(t, err))
			for _, f := range asError(t, err).Faults {
				if strings.HasSuffix(f.Path, "_datetime") {
					require.NotEmpty(t, f.Input, "what is blamed was sent")
				}
				if f.Type == "datetime_parsing" {
					require.Contains(t, f.Message, "of 1970 or later with an offset", "all that is asked of a time")
				}
			}
		})
	}
}

func TestParseListUsers(t *testing.T) {
	t.Parallel()
	got, cursor, err := wire.ParseListUsers(query(t, ""))
	require.NoError(t, err)
	require.Empty(t, cursor)
	require.Equal(t, wire.ListUsers{SortBy: "id", Size: 300}, got)

	c1, yes := uuid.MustParse(connection), true
	got, cursor, err = wire.ParseListUsers(query(t, "is_driver=True&fleet_ids="+connection+"&fleet_refs=a&connection_id="+connection+
		"&user_ids="+connection+"&source_ids=7&name=ann+l&include_source_data=1&sort_by=username&sort_order=desc&size=5&cursor=abc"))
	require.NoError(t, err)
	require.Equal(t, "abc", cursor)
	require.Equal(t, wire.ListUsers{
		IsDriver: &yes, FleetIDs: []uuid.UUID{c1}, FleetRefs: []string{"a"}, ConnectionID: c1, UserIDs: []uuid.UUID{c1},
		SourceIDs: []string{"7"}, Name: "ann l", IncludeSourceData: true, SortBy: "username", Descending: true, Size: 5,
	}, got)

	for _, key := range []string{"id", "source_id", "username", "first_name", "last_name", "created_at", "updated_at"} {
		got, _, err = wire.ParseListUsers(query(t, "sort_by="+key))
		require.NoError(t, err)
		require.Equal(t, wire.ListUsers{SortBy: key, Size: 300}, got)
	}
	_, _, err = wire.ParseListUsers(query(t, "is_driver=yes&fleet_ids=1&fleet_ids=&user_ids="+uuid.Nil.String()+"&name=&sort_by=notes&sort_order=up&size=x"))
	require.Equal(t, []string{
		"query.is_driver|bool_parsing", "query.fleet_ids|string_too_short", "query.fleet_ids|uuid_parsing", "query.user_ids|uuid_parsing",
		"query.name|string_too_short", "query.sort_by|enum", "query.sort_order|enum", "query.size|int_parsing",
	}, faultsOf(t, err))
}

func TestParseListConnections(t *testing.T) {
	t.Parallel()
	c1 := uuid.MustParse(connection)
	got, _, err := wire.ParseListConnections(query(t, "tsp_id="+connection+"&fleet_ids="+connection+"&fleet_refs=a&size=2"))
	require.NoError(t, err)
	require.Equal(t, wire.ListConnections{TSPID: c1, FleetIDs: []uuid.UUID{c1}, FleetRefs: []string{"a"}, Size: 2}, got)
	_, _, err = wire.ParseListConnections(query(t, "tsp_id=&size=0"))
	require.Equal(t, []string{"query.tsp_id|uuid_parsing", "query.size|greater_than_equal"}, faultsOf(t, err))
}

func TestParseSmallOnes(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]wire.Mode{
		"": {}, "is_sync=true": {Sync: true}, "is_sync=FALSE": {}, "is_sync=1": {Sync: true}, "is_sync=0": {},
		"dry_run=true": {Dry: true}, "dry_run=0&is_sync=true": {Sync: true}, "dry_run=1&is_sync=false": {Dry: true},
	} {
		got, err := wire.ParseMode(query(t, s))
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"is_sync=", "is_sync=yes", "is_sync=2"} {
		_, err := wire.ParseMode(query(t, s))
		require.Equal(t, []string{"query.is_sync|bool_parsing"}, faultsOf(t, err), s)
	}
	_, err := wire.ParseMode(query(t, "is_sync=true&dry_run=true"))
	require.Equal(t, []string{"query.dry_run|conflict"}, faultsOf(t, err))
	_, err = wire.ParseMode(query(t, "is_sync=true&dry_run=x"))
	require.Equal(t, []string{"query.dry_run|bool_parsing"}, faultsOf(t, err))
	require.NoError(t, wire.ParsePlainMode(query(t, "is_sync=false&dry_run=0"), "a batch"))
	require.Equal(t, []string{"query.is_sync|extra_forbidden", "query.dry_run|extra_forbidden"},
		faultsOf(t, wire.ParsePlainMode(query(t, "is_sync=true&dry_run=1"), "a batch")))
	include, err := wire.ParseGetUser(query(t, "include_source_data=true"))
	require.NoError(t, err)
	require.True(t, include)
	size, cursor, err := wire.ParsePage(query(t, "size=7&cursor=c"))
	require.NoError(t, err)
	require.Equal(t, 7, size)
	require.Equal(t, "c", cursor)
}

func TestParseUUID(t *testing.T) {
	t.Parallel()
	for _, s := range []string{connection, strings.ToUpper(connection)} {
		got, fault := wire.ParseUUID("path.user_id", s)
		require.Nil(t, fault)
		require.Equal(t, connection, got.String())
	}
	for _, s := range []string{"", "x", connection + " ", "{" + connection + "}", "urn:uuid:" + connection, strings.ReplaceAll(connection, "-", "")} {
		_, fault := wire.ParseUUID("path.user_id", s)
		require.NotNil(t, fault, s)
		require.Equal(t, operation.Fault{Path: "path.user_id", Input: s, Message: "must be a UUID", Type: "uuid_parsing"}, *fault)
	}
}

func TestInvalid_JoinsFaults(t *testing.T) {
	t.Parallel()
	require.NoError(t, wire.Invalid())
	require.NoError(t, wire.Invalid(nil, nil))
	_, one := wire.ParseUUID("path.user_id", "x")
	_, two := wire.ParseUUID("path.other_id", "y")
	require.Equal(t, []string{"path.user_id|uuid_parsing", "path.other_id|uuid_parsing"}, faultsOf(t, wire.Invalid(one, nil, two)))
}
