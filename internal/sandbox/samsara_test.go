package sandbox_test

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
)

const driver5 = "/fleet/drivers/494105"

func TestSamsara_Strict(t *testing.T) {
	t.Parallel()
	override := `{"usDriverRulesetOverride":{"cycle":"USA Property (8/70)","restart":"34-hour Restart","restbreak":"None","usStateToOverride":""}}`
	long := strings.Repeat("x", 256)
	tests := []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"wrong path", "GET", "/fleet/driver", "", 404, "Path not found"},
		{"trailing slash", "GET", "/fleet/drivers/", "", 404, "Path not found"},
		{"deeper path", "GET", driver5 + "/x", "", 404, "Path not found"},
		{"wrong method on one", "PUT", driver5, "{}", 405, "not allowed"},
		{"delete is not mapped", "DELETE", driver5, "", 405, "not allowed"},
		{"wrong method on all", "PATCH", "/fleet/drivers", "{}", 405, "not allowed"},
		{"unknown driver", "PATCH", "/fleet/drivers/1", "{}", 404, "Driver not found"},
		{"another connection's driver", "PATCH", "/fleet/drivers/494905", "{}", 404, "Driver not found"},
		{"another connection's driver read", "GET", "/fleet/drivers/494905", "", 404, "Driver not found"},
		{"not JSON", "PATCH", driver5, "{", 400, "Invalid JSON"},
		{"two values", "PATCH", driver5, "{} {}", 400, "Invalid JSON"},
		{"not an object", "PATCH", driver5, "[]", 400, "Invalid JSON"},
		{"null body", "PATCH", driver5, "null", 400, "Invalid JSON"},
		{"unknown key", "PATCH", driver5, `{"firstName":"A"}`, 400, `Unknown field "firstName"`},
		{"unknown nested key", "PATCH", driver5, `{"carrierSettings":{"dot":1}}`, 400, `Unknown field "carrierSettings.dot"`},
		{"wrong type", "PATCH", driver5, `{"eldPcEnabled":"true"}`, 400, "eldPcEnabled"},
		{"null string", "PATCH", driver5, `{"phone":null}`, 400, "phone"},
		{"dot number as string", "PATCH", driver5, `{"carrierSettings":{"dotNumber":"98231"}}`, 400, "carrierSettings.dotNumber"},
		{"dot number over int64", "PATCH", driver5, `{"carrierSettings":{"dotNumber":9223372036854775808}}`, 400, "carrierSettings.dotNumber"},
		{"bad enum", "PATCH", driver5, `{"driverActivationStatus":"Active"}`, 400, "Can only be 'active' or 'deactivated'"},
		{"bad locale", "PATCH", driver5, `{"locale":"xx"}`, 400, "locale"},
		{"empty name", "PATCH", driver5, `{"name":""}`, 400, "name"},
		{"long name", "PATCH", driver5, `{"name":"` + long + `"}`, 400, "at most 255"},
		{"long username", "PATCH", driver5, `{"username":"` + long[:190] + `"}`, 400, "at most 189"},
		{"long notes", "PATCH", driver5, `{"notes":"` + strings.Repeat("x", 4097) + `"}`, 400, "at most 4096"},
		{"username with space", "PATCH", driver5, `{"username":"a b"}`, 400, "username"},
		{"username with at", "PATCH", driver5, `{"username":"a@b"}`, 400, "username"},
		{"username taken", "PATCH", driver5, `{"username":"MARCUS.okafor.101"}`, 400, "Duplicate value for username"},
		{"licence taken", "PATCH", driver5, `{"licenseNumber":"W1100001","licenseState":"TX"}`, 400, "Duplicate value for licenseNumber"},
		{"external id taken", "PATCH", driver5, `{"externalIds":{"payrollId":"E10001"}}`, 400, "Duplicate value for externalIds"},
		{"external id not a string", "PATCH", driver5, `{"externalIds":{"payrollId":7}}`, 400, "externalIds.payrollId"},
		{"bad zone", "PATCH", driver5, `{"timezone":"Eastern Time (US & Canada)"}`, 400, "timezone"},
		{"bad state", "PATCH", driver5, `{"licenseState":"US-OH"}`, 400, "licenseState"},
		{"bad email", "PATCH", driver5, `{"email":"nobody"}`, 400, "email"},
		{"bad birth date", "PATCH", driver5, `{"dateOfBirth":"1/2/1980"}`, 400, "dateOfBirth"},
		{"deactivated time while active", "PATCH", driver5, `{"deactivatedAtTime":"2026-01-01T00:00:00Z"}`, 400, "deactivatedAtTime"},
		{"deactivated too long ago", "PATCH", driver5, `{"driverActivationStatus":"deactivated","deactivatedAtTime":"2020-01-01T00:00:00Z"}`, 400, "6 months"},
		{"unknown tag", "PATCH", driver5, `{"tagIds":["1"]}`, 400, "tagIds"},
		{"unknown group tag", "PATCH", driver5, `{"peerGroupTagId":"1"}`, 400, "peerGroupTagId"},
		{"ruleset without state", "PATCH", driver5, strings.Replace(override, `,"usStateToOverride":""`, "", 1), 400, `Missing required field "usDriverRulesetOverride.usStateToOverride"`},
		{"ruleset bad cycle", "PATCH", driver5, strings.Replace(override, "8/70", "70/8", 1), 400, "usDriverRulesetOverride.cycle"},
		{"ruleset null member", "PATCH", driver5, strings.Replace(override, `""`, `null`, 1), 400, "usStateToOverride"},
		{"ruleset", "PATCH", driver5, override, 200, "34-hour"},
		{"ruleset null deletes", "PATCH", driver5, `{"usDriverRulesetOverride":null}`, 200, "494105"},
		{"nothing changes", "PATCH", driver5, `{}`, 200, "494105"},
		{"create without password", "POST", "/fleet/drivers", `{"name":"A","username":"a"}`, 400, `"password`},
		{"create with status", "POST", "/fleet/drivers", `{"name":"A","username":"a","password":"p","driverActivationStatus":"active"}`, 400, "driverActivationStatus"},
		{"create with taken username", "POST", "/fleet/drivers", `{"name":"A","username":"marcus.okafor.101","password":"p"}`, 400, "Duplicate"},
		{"create with null ruleset", "POST", "/fleet/drivers", `{"name":"A","username":"a","password":"p","usDriverRulesetOverride":null}`, 400, "usDriverRulesetOverride"},
		{"list bad status", "GET", "/fleet/drivers?driverActivationStatus=Active", "", 400, "driverActivationStatus"},
		{"list status list", "GET", "/fleet/drivers?driverActivationStatus=active,deactivated", "", 400, "driverActivationStatus"},
		{"list status twice", "GET", "/fleet/drivers?driverActivationStatus=active&driverActivationStatus=deactivated", "", 400, "twice"},
		{"list limit 0", "GET", "/fleet/drivers?limit=0", "", 400, "limit"},
		{"list limit 513", "GET", "/fleet/drivers?limit=513", "", 400, "limit"},
		{"list bad cursor", "GET", "/fleet/drivers?after=*", "", 400, "after"},
		{"list unknown cursor", "GET", "/fleet/drivers?after=eHg=", "", 400, "after"},
		{"list bad time", "GET", "/fleet/drivers?updatedAfterTime=now", "", 400, "updatedAfterTime"},
		{"list unknown parameter", "GET", "/fleet/drivers?page=2", "", 400, "page"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Config{})
			r := b.samsara(tt.method, tt.path, tt.body)
			require.Equal(t, tt.status, r.status, r.body)
			require.NotEmpty(t, r.header.Get("Request-Id"))
			body := r.json(t)
			if tt.status == http.StatusOK {
				require.Contains(t, r.body, tt.says)
				return
			}
			require.Contains(t, body["message"], tt.says)
			require.Equal(t, r.header.Get("Request-Id"), body["requestId"])
			require.Len(t, body, 2)
		})
	}
}

func TestSamsara_TokenAndContentType(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	for _, authorization := range []string{"", "Bearer", "Bearer nobody", samsaraToken, "Basic " + samsaraToken, "Bearer " + motiveToken} {
		r := b.call("PATCH", "/samsara"+driver5, `{}`, "Authorization", authorization, "Content-Type", jsonType)
		require.Equal(t, http.StatusUnauthorized, r.status, authorization)
		require.NotEmpty(t, r.json(t)["message"])
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		r := b.call("PATCH", "/samsara"+driver5, `{}`, "Authorization", "Bearer "+samsaraToken, "Content-Type", kind)
		require.Equal(t, http.StatusBadRequest, r.status, kind)
	}
	r := b.call("PATCH", "/samsara"+driver5, `{}`, "Authorization", "Bearer "+samsaraToken, "Content-Type", "application/json; charset=utf-8")
	require.Equal(t, http.StatusOK, r.status)
	r = b.call("GET", "/samsara/fleet/drivers/494905", "", "Authorization", "Bearer sandbox-samsara-c9")
	require.Equal(t, http.StatusOK, r.status, "the other partner sees its own driver")
}

func TestSamsara_PatchChangesOnlyKeysPresent(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	before := b.samsara("GET", driver5, "").json(t)["data"].(map[string]any)
	r := b.samsara("PATCH", driver5, `{"notes":"night","driverActivationStatus":"deactivated","carrierSettings":{"dotNumber":7},"tagIds":["3920"],"password":"topsecret"}`)
	require.Equal(t, http.StatusOK, r.status, r.body)
	after := r.json(t)["data"].(map[string]any)
	require.Equal(t, after, b.samsara("GET", driver5, "").json(t)["data"])
	require.Equal(t, "night", after["notes"])
	require.Equal(t, true, after["isDeactivated"])
	require.Equal(t, "3920", after["tags"].([]any)[0].(map[string]any)["id"])
	require.Equal(t, "", after["carrierSettings"].(map[string]any)["carrierName"], "a nested object is replaced")
	require.NotContains(t, after, "password")
	for _, kept := range []string{"name", "username", "phone", "externalIds", "coachingAssignment", "timezone"} {
		require.Equal(t, before[kept], after[kept], kept)
	}
	byExternal := b.samsara("GET", "/fleet/drivers/"+url.PathEscape("payrollId:E10005"), "")
	require.Equal(t, "494105", byExternal.json(t)["data"].(map[string]any)["id"])
}

func TestSamsara_FreedUsernameCanBeTaken(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	require.Equal(t, 200, b.samsara("PATCH", "/fleet/drivers/494101", `{"username":"renamed"}`).status)
	require.Equal(t, 200, b.samsara("PATCH", driver5, `{"username":"marcus.okafor.101"}`).status)
	require.Equal(t, 400, b.samsara("PATCH", driver5, `{"username":"renamed"}`).status)
}

func TestSamsara_ListWalksBothStatuses(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{UsersPerConnection: 250})
	for _, id := range []string{"494107", "494142"} {
		require.Equal(t, 200, b.samsara("PATCH", "/fleet/drivers/"+id, `{"driverActivationStatus":"deactivated"}`).status)
	}
	walk := func(query string) map[string]bool {
		seen := map[string]bool{}
		for after, more := "", true; more; {
			r := b.samsara("GET", "/fleet/drivers?limit=60&after="+url.QueryEscape(after)+query, "").json(t)
			for _, d := range r["data"].([]any) {
				id := d.(map[string]any)["id"].(string)
				require.False(t, seen[id], "%s twice", id)
				seen[id] = true
			}
			page := r["pagination"].(map[string]any)
			after, more = page["endCursor"].(string), page["hasNextPage"].(bool)
			require.Equal(t, more, after != "")
		}
		return seen
	}
	require.Len(t, walk(""), 248)
	require.Len(t, walk("&driverActivationStatus=deactivated"), 2)
	require.Len(t, walk("&tagIds=3914,3920"), 248)
	require.Empty(t, walk("&tagIds=3920"))
	require.Len(t, walk("&updatedAfterTime=2020-11-20T17:05:22.587Z"), 248, "the lower bound is inclusive")
	require.Empty(t, walk("&createdAfterTime=2021-01-01T00:00:00Z"))
}

func TestSamsara_Create(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	r := b.samsara("POST", "/fleet/drivers", `{"name":"New One","username":"new.one","password":"secret1","externalIds":{"payrollId":"N1"}}`)
	require.Equal(t, http.StatusOK, r.status, r.body)
	made := r.json(t)["data"].(map[string]any)
	require.NotContains(t, made, "password")
	require.Equal(t, made, b.samsara("GET", "/fleet/drivers/"+made["id"].(string), "").json(t)["data"])
	require.Equal(t, made, b.samsara("GET", "/fleet/drivers/payrollId:N1", "").json(t)["data"])
}

func TestSamsara_AnswersFollowTheVendorDocument(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../pkg/tsp/samsara/box/samsara-drivers.openapi.json")
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("samsara.json", doc))
	b := newBox(t, sandbox.Config{})
	for schema, r := range map[string]result{
		"DriverResponse": b.samsara("PATCH", driver5, `{"carrierSettings":{"dotNumber":7},"peerGroupTagId":"3914",
			"usDriverRulesetOverride":{"cycle":"Texas (7/70)","restart":"34-hour Restart","restbreak":"None","usStateToOverride":"TX"}}`),
		"ListDriversResponse":   b.samsara("GET", "/fleet/drivers?limit=3", ""),
		"standardErrorResponse": b.samsara("GET", "/fleet/drivers/1", ""),
	} {
		answer, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body))
		require.NoError(t, err)
		require.NoError(t, compiler.MustCompile("samsara.json#/components/schemas/"+schema).Validate(answer), schema)
	}
}
