package sandbox_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	geotab "writeback/pkg/tsp/geotab/box"
)

const geotab5 = "b6"

// entity reads user 5 as a careful client does.
func (b *box) entity(session string) map[string]any {
	b.t.Helper()
	r := b.geotab(session, "Get", `"typeName":"User","search":{"id":"`+geotab5+`"}`)
	list, ok := r.json(b.t)["result"].([]any)
	require.True(b.t, ok, r.body)
	require.Len(b.t, list, 1)
	return list[0].(map[string]any)
}

func (b *box) setEntity(session string, entity map[string]any) result {
	b.t.Helper()
	raw, err := json.Marshal(entity)
	require.NoError(b.t, err)
	return b.geotab(session, "Set", `"typeName":"User","entity":`+string(raw))
}

func TestGeotab_StrictEnvelope(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	session := b.login()
	full := func(method, params string) string {
		return `{"method":"` + method + `","params":{"credentials":` + session + `,` + params + `}}`
	}
	tests := []struct{ name, body, want string }{
		{"not JSON", `{`, "JsonSerializerException"},
		{"two values", `{} {}`, "JsonSerializerException"},
		{"unknown member", `{"method":"Get","params":{},"extra":1}`, "ArgumentException"},
		{"no method", `{"params":{}}`, "ArgumentNullException"},
		{"no params", `{"method":"Get"}`, "ArgumentNullException"},
		{"unknown method", full("Frobnicate", `"typeName":"User"`), "MissingMethodException"},
		{"multi call", full("ExecuteMultiCall", `"calls":[]`), "MissingMethodException"},
		{"unknown type", full("Set", `"typeName":"Trip","entity":{}`), "ArgumentException"},
		{"remove", full("Remove", `"typeName":"User","entity":{"id":"b6"}`), "InvalidPermissionsException"},
		{"no session", `{"method":"Get","params":{"typeName":"User"}}`, "InvalidUserException"},
		{"wrong session", `{"method":"Get","params":{"typeName":"User","credentials":{"database":"sandbox_c3","userName":"service@northwind.example","sessionId":"x"}}}`, "InvalidUserException"},
		{"session of another database", strings.Replace(full("Get", `"typeName":"User"`), "sandbox_c3", "other", 1), "InvalidUserException"},
		{"unknown credential member", strings.Replace(full("Get", `"typeName":"User"`), `"database"`, `"server":"x","database"`, 1), "ArgumentException"},
		{"unknown parameter", full("Get", `"typeName":"User","filter":1`), "ArgumentException"},
		{"unknown search member", full("Get", `"typeName":"User","search":{"userName":"x"}`), "ArgumentException"},
		{"search type", full("Get", `"typeName":"User","search":{"id":5}`), "ArgumentException"},
		{"search not an object", full("Get", `"typeName":"User","search":"b6"`), "ArgumentException"},
		{"limit 0", full("Get", `"typeName":"User","resultsLimit":0`), "ArgumentException"},
		{"limit text", full("Get", `"typeName":"User","resultsLimit":"5"`), "ArgumentException"},
		{"sort with lastId", full("Get", `"typeName":"User","sort":{"sortBy":"id","sortDirection":"asc","offset":"b6","lastId":"b6"}`), "ArgumentException"},
		{"sort by name", full("Get", `"typeName":"User","sort":{"sortBy":"name"}`), "ArgumentException"},
		{"offset unknown", full("Get", `"typeName":"User","sort":{"sortBy":"id","offset":"zz"}`), "ArgumentException"},
		{"unknown id is an empty list", full("Get", `"typeName":"User","search":{"id":"zz"}`), ""},
		{"id and version members", strings.Replace(full("GetCountOf", `"typeName":"User"`), `{"method"`, `{"id":-1,"jsonrpc":"2.0","method"`, 1), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := b.rpc(tt.body)
			require.Equal(t, tt.want, exception(t, r), r.body)
			require.Equal(t, "1m", r.header.Get("X-Rate-Limit-Limit"))
			require.NotEmpty(t, r.header.Get("X-Rate-Limit-Remaining"))
			require.NotEmpty(t, r.header.Get("X-Rate-Limit-Reset"))
		})
	}
	require.Equal(t, "JsonSerializerException", exception(t, b.call("POST", "/geotab/apiv1", full("GetCountOf", `"typeName":"User"`), "Content-Type", "text/plain")))
	require.Equal(t, http.StatusNotFound, b.call("POST", "/geotab/apiv2", "{}").status)
	require.Equal(t, http.StatusMethodNotAllowed, b.call("GET", "/geotab/apiv1", "").status)
	require.Equal(t, http.StatusOK, b.call("POST", "/geotab/apiv1/", full("GetCountOf", `"typeName":"User"`), "Content-Type", jsonType).status)
}

func TestGeotab_StrictSet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(e map[string]any)
		want   string
	}{
		{"as read", func(map[string]any) {}, ""},
		{"no id", func(e map[string]any) { delete(e, "id") }, "ArgumentNullException"},
		{"unknown id", func(e map[string]any) { e["id"] = "zz" }, "ArgumentException"},
		{"no name", func(e map[string]any) { delete(e, "name") }, "ArgumentNullException"},
		{"unknown key", func(e map[string]any) { e["licenseCountry"] = "US" }, "ArgumentException"},
		{"null", func(e map[string]any) { e["comment"] = nil }, "ArgumentNullException"},
		{"wrong type text", func(e map[string]any) { e["comment"] = 5 }, "ArgumentException"},
		{"wrong type flag", func(e map[string]any) { e["isYardMoveEnabled"] = "true" }, "ArgumentException"},
		{"wrong type refs", func(e map[string]any) { e["companyGroups"] = []any{"GroupCompanyId"} }, "ArgumentException"},
		{"end before beginning", func(e map[string]any) {
			e["activeFrom"], e["activeTo"] = "2026-08-20T12:00:00Z", "2026-07-20T12:00:00Z"
		}, "ArgumentException"},
		{"wrong type time", func(e map[string]any) { e["activeTo"] = "2026-01-01" }, "ArgumentException"},
		{"employeeNo 51", func(e map[string]any) { e["employeeNo"] = strings.Repeat("x", 51) }, "ArgumentException"},
		{"designation 51", func(e map[string]any) { e["designation"] = strings.Repeat("x", 51) }, "ArgumentException"},
		{"comment 1025", func(e map[string]any) { e["comment"] = strings.Repeat("x", 1025) }, "ArgumentException"},
		{"phone 21", func(e map[string]any) { e["phoneNumber"] = "+1 555555555555555555" }, "ArgumentException"},
		{"phone without space", func(e map[string]any) { e["phoneNumber"] = "+15550100199" }, "ArgumentException"},
		{"country alpha-3", func(e map[string]any) { e["countryCode"] = "USA" }, "ArgumentException"},
		{"name with space", func(e map[string]any) { e["name"] = "a b" }, "ArgumentException"},
		{"name taken", func(e map[string]any) { e["name"] = "marcus.okafor.301@northwind.example" }, "DuplicateException"},
		{"zone", func(e map[string]any) { e["timeZoneId"] = "Eastern Time (US & Canada)" }, "ArgumentException"},
		{"authentication type", func(e map[string]any) { e["userAuthenticationType"] = "Basic" }, "ArgumentException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Config{})
			session := b.login()
			e := b.entity(session)
			tt.change(e)
			r := b.setEntity(session, e)
			require.Equal(t, tt.want, exception(t, r), r.body)
			require.Equal(t, tt.want == "", b.last().AppliedSeq == 1)
		})
	}
}

func TestGeotab_SetReplacesTheWholeEntity(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	session := b.login()
	before := b.entity(session)
	require.Equal(t, json.Number("9223372036854775807"), before["scoreTicks"])

	careful := maps.Clone(before)
	careful["comment"] = "night shift"
	r := b.setEntity(session, careful)
	require.Empty(t, exception(t, r))
	require.Contains(t, r.body, `"result":null`)
	require.Equal(t, careful, b.entity(session), "a read entity comes back to the digit")

	r = b.setEntity(session, map[string]any{"id": geotab5, "name": before["name"], "comment": "alone"})
	require.Empty(t, exception(t, r))
	after := b.entity(session)
	require.Equal(t, "alone", after["comment"])
	require.Equal(t, "", after["firstName"])
	require.Equal(t, "", after["employeeNo"])
	require.Equal(t, false, after["isDriver"])
	require.Equal(t, []any{}, after["companyGroups"])
	require.Equal(t, "America/New_York", after["timeZoneId"])
	require.Equal(t, "America8Day", after["hosRuleSet"], "the ruleset has rows of its own")
	require.Equal(t, before["lastAccessDate"], after["lastAccessDate"], "computed by the server")
	for _, gone := range []string{"tags", "scoreTicks", "coachingPlan", "language", "licenseNumber", "driverGroups"} {
		require.NotContains(t, after, gone)
	}
}

func TestGeotab_DriverKeysFollowIsDriver(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	session := b.login()
	e := b.entity(session)
	e["isDriver"] = false
	require.Empty(t, exception(t, b.setEntity(session, e)))
	require.Contains(t, b.last().Ignored, "licenseNumber")
	plain := b.entity(session)
	require.NotContains(t, plain, "licenseNumber")
	plain["isDriver"] = true
	require.Equal(t, "ArgumentException", exception(t, b.setEntity(session, plain)))
	plain["driverGroups"] = plain["companyGroups"]
	require.Empty(t, exception(t, b.setEntity(session, plain)))
}

func TestGeotab_RulesetRows(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Now: clock.now})
	session := b.login()
	row := func(from, user, name string) result {
		return b.geotab(session, "Add", `"typeName":"UserHosRuleSet","entity":{"dateTime":"`+from+`","user":{"id":"`+user+`"},"hosRuleSet":{"id":"`+name+`"}}`)
	}
	require.Equal(t, "ArgumentException", exception(t, row("2026-07-01T12:00:00Z", geotab5, "America7Day")), "no prefix")
	require.Equal(t, "ArgumentException", exception(t, row("2026-07-01T12:00:00Z", geotab5, "HosRuleSetUSA")))
	require.Equal(t, "ArgumentException", exception(t, row("today", geotab5, "HosRuleSetAmerica7Day")))
	require.Equal(t, "ArgumentNullException", exception(t, row("2026-07-01T12:00:00Z", "", "HosRuleSetAmerica7Day")))
	require.Equal(t, "RelationViolatedException", exception(t, row("2026-07-01T12:00:00Z", "zz", "HosRuleSetAmerica7Day")))

	require.Empty(t, exception(t, row("2026-07-01T13:00:00.000Z", geotab5, "HosRuleSetNone")), "later")
	r := row("2026-07-01T12:00:00.000Z", geotab5, "HosRuleSetAmerica7Day")
	require.Empty(t, exception(t, r))
	require.IsType(t, "", r.json(t)["result"])
	require.Equal(t, int64(2), b.last().AppliedSeq)
	require.Equal(t, "America7Day", b.entity(session)["hosRuleSet"])
	require.Empty(t, exception(t, row("2021-01-01T00:00:00Z", geotab5, "HosRuleSetOregon7day")), "older than the one in force")
	require.Equal(t, "America7Day", b.entity(session)["hosRuleSet"])

	e := b.entity(session)
	e["hosRuleSet"] = "America8DayBig"
	require.Empty(t, exception(t, b.setEntity(session, e)))
	require.Equal(t, []string{"hosRuleSet"}, b.last().Ignored)
	require.Equal(t, "America7Day", b.entity(session)["hosRuleSet"], "Set does not write it")

	clock.add(time.Hour)
	require.Equal(t, "None", b.entity(session)["hosRuleSet"])
}

func TestGeotab_LoginLimit(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Now: clock.now})
	login := func(database, password string) result {
		return b.rpc(`{"method":"Authenticate","params":{"database":"` + database + `","userName":"service@northwind.example","password":"` + password + `"}}`)
	}
	for range 9 {
		require.Equal(t, "InvalidUserException", exception(t, login("sandbox_c3", "wrong")))
	}
	require.Empty(t, exception(t, login("sandbox_c3", "sandbox-geotab-c3")))
	clock.add(1500 * time.Millisecond)
	r := login("sandbox_c3", "sandbox-geotab-c3")
	require.Equal(t, "OverLimitException", exception(t, r))
	require.Equal(t, "59", r.header.Get("Retry-After"))
	require.Equal(t, "0", r.header.Get("X-Rate-Limit-Remaining"))
	unknown := login("nowhere", "x")
	require.Equal(t, "DbUnavailableException", exception(t, unknown), "each database has its own limit")
	require.Contains(t, unknown.body, "UnknownDatabase")
	clock.add(time.Minute)
	require.Empty(t, exception(t, login("sandbox_c3", "sandbox-geotab-c3")))
}

func TestGeotab_CallLimitWhenAsked(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Geotab: geotab.Config{CallsPerMinute: 2}}), Now: newClock().now})
	session := b.login()
	count := func() result { return b.geotab(session, "GetCountOf", `"typeName":"User"`) }
	require.Equal(t, "1", count().header.Get("X-Rate-Limit-Remaining"))
	require.Empty(t, exception(t, count()))
	require.Equal(t, "OverLimitException", exception(t, count()))
	require.NotEmpty(t, b.entity(session), "another method has its own limit")
}

func TestGeotab_SessionsEnd(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Geotab: geotab.Config{SessionLife: time.Hour, Path: "my3.geotab.example"}}), Now: clock.now})
	session := b.login()
	count := func(session string) string {
		return exception(t, b.geotab(session, "GetCountOf", `"typeName":"User"`))
	}
	require.Empty(t, count(session))
	clock.add(50 * time.Minute)
	require.Empty(t, exception(t, b.rpc(`{"method":"ExtendSession","params":`+session+`}`)))
	clock.add(50 * time.Minute)
	require.Empty(t, count(session), "extended")
	clock.add(10 * time.Minute)
	require.Equal(t, "InvalidUserException", count(session))
	require.Equal(t, "InvalidUserException", exception(t, b.rpc(`{"method":"ExtendSession","params":`+session+`}`)))

	session = b.login()
	require.Equal(t, http.StatusNoContent, b.call("DELETE", "/_control/sessions?connection="+sandbox.ConnectionID(1), "").status)
	require.Empty(t, count(session), "not this connection's")
	require.Equal(t, http.StatusNoContent, b.call("DELETE", "/_control/sessions", "").status)
	require.Equal(t, "InvalidUserException", count(session))

	r := b.rpc(`{"method":"Authenticate","params":{"database":"sandbox_c3","userName":"service@northwind.example","password":"sandbox-geotab-c3"}}`)
	require.Equal(t, "my3.geotab.example", r.json(t)["result"].(map[string]any)["path"])
}

func TestGeotab_SeekPaging(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Geotab: geotab.Config{PlainGet: 50}}), UsersPerConnection: 510})
	session := b.login()
	list := func(params string) []any {
		return b.geotab(session, "Get", `"typeName":"User"`+params).json(t)["result"].([]any)
	}
	require.Equal(t, 5000, geotab.DefaultPlainGet, "as the provider has it")
	require.Len(t, list(""), 50, "cut without a sign")
	require.Equal(t, json.Number("510"), b.geotab(session, "GetCountOf", `"typeName":"User"`).json(t)["result"])
	seen, offset := 0, ""
	for {
		page := list(`,"resultsLimit":200,"sort":{"sortBy":"id","sortDirection":"asc","offset":"` + offset + `"}`)
		if len(page) == 0 {
			break
		}
		seen += len(page)
		offset = page[len(page)-1].(map[string]any)["id"].(string)
	}
	require.Equal(t, 510, seen)
	require.Len(t, list(`,"search":{"name":"DANA.whitfield.300@northwind.example"}`), 1)
	require.Empty(t, list(`,"search":{"isDriver":false}`))
}

func TestGeotab_AddUser(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	session := b.login()
	entity := `{"name":"new@northwind.example","firstName":"N","lastName":"O","password":"secret1","isDriver":true,
		"companyGroups":[{"id":"GroupCompanyId"}],"securityGroups":[{"id":"GroupDriveUserSecurityId"}],
		"driverGroups":[{"id":"GroupCompanyId"}],"keys":[],"userAuthenticationType":"BasicAuthentication","sendWelcomeEmail":false}`
	add := func(entity string) result { return b.geotab(session, "Add", `"typeName":"User","entity":`+entity) }
	for _, tt := range []struct{ name, from, to, want string }{
		{"no password", `"password":"secret1",`, "", "ArgumentNullException"},
		{"short password", "secret1", "abc", "ArgumentException"},
		{"name taken", "new@", "dana.whitfield.300@", "DuplicateException"},
		{"no first name", `"firstName":"N",`, "", "ArgumentNullException"},
		{"no company groups", `"companyGroups":[{"id":"GroupCompanyId"}],`, "", "ArgumentNullException"},
		{"empty company groups", `"companyGroups":[{"id":"GroupCompanyId"}]`, `"companyGroups":[]`, "ArgumentNullException"},
		{"no authentication type", `"userAuthenticationType":"BasicAuthentication",`, "", "ArgumentNullException"},
		{"unknown authentication type", "BasicAuthentication", "Basic", "ArgumentException"},
		{"unknown rights", "GroupDriveUserSecurityId", "GroupDriversId", "RelationViolatedException"},
		{"driver without groups", `"driverGroups":[{"id":"GroupCompanyId"}],`, "", "ArgumentNullException"},
		{"driver without keys", `"keys":[],`, "", "ArgumentNullException"},
		{"driver's keys of an office user", `"isDriver":true`, `"isDriver":false`, "ArgumentException"},
		{"null", `"firstName":"N"`, `"firstName":null`, "ArgumentNullException"},
		{"phone without space", `"firstName":"N"`, `"firstName":"N","phoneNumber":"+15550100"`, "ArgumentException"},
	} {
		broken := strings.Replace(entity, tt.from, tt.to, 1)
		require.NotEqual(t, entity, broken, tt.name)
		require.Equal(t, tt.want, exception(t, add(broken)), tt.name)
	}
	require.Equal(t, "ArgumentException", exception(t, add(strings.Replace(entity, `{"name"`, `{"id":"b1","name"`, 1))))
	require.Equal(t, "ArgumentException", exception(t, add(strings.Replace(entity, `{"name"`, `{"nickName":"b1","name"`, 1))))
	r := add(entity)
	require.Empty(t, exception(t, r))
	id := r.json(t)["result"].(string)
	got := b.geotab(session, "Get", `"typeName":"User","search":{"id":"`+id+`"}`)
	require.NotContains(t, got.body, "secret1")
	made := got.json(t)["result"].([]any)[0].(map[string]any)
	require.Equal(t, "None", made["hosRuleSet"])
	require.Equal(t, "2050-01-01T00:00:00.000Z", made["activeTo"])
}
