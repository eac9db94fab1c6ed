package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
)

const user5 = "/v1/users/800005"

func TestMotive_Strict(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"wrong path", "GET", "/v2/users", "", 404, "not found"},
		{"trailing slash", "GET", "/v1/users/", "", 404, "not found"},
		{"patch instead of put", "PATCH", user5, `{}`, 405, "not allowed"},
		{"delete", "DELETE", user5, "", 405, "not allowed"},
		{"put on all", "PUT", "/v1/users", `{}`, 405, "not allowed"},
		{"unknown user", "PUT", "/v1/users/1", `{}`, 404, "user not found"},
		{"not a number", "GET", "/v1/users/me", "", 404, "user not found"},
		{"not JSON", "PUT", user5, `{`, 400, "not a JSON object"},
		{"null body", "PUT", user5, `null`, 400, "not a JSON object"},
		{"wrong type text", "PUT", user5, `{"first_name":5}`, 422, "first_name"},
		{"wrong type flag", "PUT", user5, `{"yard_moves_enabled":"true"}`, 422, "yard_moves_enabled"},
		{"wrong type ints", "PUT", user5, `{"group_ids":["1"]}`, 422, "group_ids"},
		{"wrong type list", "PUT", user5, `{"external_ids_attributes":{}}`, 422, "external_ids_attributes"},
		{"null refused", "PUT", user5, `{"first_name":null}`, 422, "first_name"},
		{"null status", "PUT", user5, `{"status":null}`, 422, "status"},
		{"null flag", "PUT", user5, `{"yard_moves_enabled":null}`, 422, "yard_moves_enabled"},
		{"null accepted", "PUT", user5, `{"phone":null,"drivers_license_number":null}`, 200, ""},
		{"empty name", "PUT", user5, `{"first_name":""}`, 422, "first_name"},
		{"too long", "PUT", user5, `{"first_name":"` + strings.Repeat("x", 256) + `"}`, 422, "too long"},
		{"bad role", "PUT", user5, `{"role":"fleet_manager"}`, 422, "role"},
		{"bad status", "PUT", user5, `{"status":"inactive"}`, 422, "status"},
		{"bad cycle", "PUT", user5, `{"cycle":"8_70"}`, 422, "cycle"},
		{"cycle of the second jurisdiction", "PUT", user5, `{"cycle2":"70_8_2020"}`, 200, ""},
		{"bad eld mode", "PUT", user5, `{"eld_mode":"Logs"}`, 422, "eld_mode"},
		{"bad tracking", "PUT", user5, `{"time_tracking_mode":"manual"}`, 422, "time_tracking_mode"},
		{"bad alerts", "PUT", user5, `{"violation_alerts":"2_hours"}`, 422, "violation_alerts"},
		{"IANA zone", "PUT", user5, `{"time_zone":"America/New_York"}`, 422, "time_zone"},
		{"Rails zone", "PUT", user5, `{"time_zone":"Eastern Time (US \u0026 Canada)"}`, 200, "Eastern Time"},
		{"phone with separators", "PUT", user5, `{"phone":"555-010-0199"}`, 422, "phone"},
		{"country code without plus", "PUT", user5, `{"phone_country_code":"1"}`, 422, "phone_country_code"},
		{"state with prefix", "PUT", user5, `{"drivers_license_state":"US-OH"}`, 422, "drivers_license_state"},
		{"bad email", "PUT", user5, `{"email":"nobody"}`, 422, "email"},
		{"email taken", "PUT", user5, `{"email":"marcus.okafor.201@northwind.example"}`, 422, "email has already been taken"},
		{"username taken", "PUT", user5, `{"username":"marcus.okafor.201"}`, 422, "username has already been taken"},
		{"neither email nor username", "PUT", user5, `{"email":null,"username":null}`, 422, "email"},
		{"only email cleared", "PUT", user5, `{"email":null}`, 200, ""},
		{"exempt with logs", "PUT", user5, `{"eld_mode":"exempt"}`, 422, "time_tracking_mode"},
		{"exempt pair", "PUT", user5, `{"eld_mode":"exempt","time_tracking_mode":"not_required"}`, 200, ""},
		{"timecards pair", "PUT", user5, `{"eld_mode":"exempt","time_tracking_mode":"timecards"}`, 200, ""},
		{"none with logs", "PUT", user5, `{"eld_mode":"none","time_tracking_mode":"logs"}`, 200, ""},
		{"none with timecards", "PUT", user5, `{"eld_mode":"none","time_tracking_mode":"timecards"}`, 422, "time_tracking_mode"},
		{"wait time on property", "PUT", user5, `{"exception_wait_time":true}`, 422, "exception_wait_time"},
		{"wait time on oil", "PUT", user5, `{"cycle":"70_8_o","exception_wait_time":true}`, 200, ""},
		{"any exception on passenger", "PUT", user5, `{"cycle":"70_8_p","exception_24_hour_restart":true}`, 422, "exception_24_hour_restart"},
		{"school bus", "PUT", user5, `{"cycle":"80_8_p","exception_ca_farm_school_bus":true}`, 200, ""},
		{"adverse driving on any", "PUT", user5, `{"cycle":"Other","exception_adverse_driving":true}`, 200, ""},
		{"external id without name", "PUT", user5, `{"external_ids_attributes":[{"external_id":"1"}]}`, 422, "integration_name"},
		{"external id unknown", "PUT", user5, `{"external_ids_attributes":[{"id":1,"external_id":"1","integration_name":"tms"}]}`, 422, "not found"},
		{"external id taken", "PUT", user5, `{"external_ids_attributes":[{"external_id":"E20001","integration_name":"generic_tms"}]}`, 422, "already been taken"},
		{"external id changed", "PUT", user5, `{"external_ids_attributes":[{"id":70800005,"external_id":"Z","integration_name":"generic_tms"}]}`, 200, `"external_id":"Z"`},
		{"create without role", "POST", "/v1/users", `{"first_name":"A","last_name":"B","email":"a@b.example"}`, 422, "role"},
		{"create without login", "POST", "/v1/users", `{"first_name":"A","last_name":"B","role":"driver","username":"ab"}`, 422, "email"},
		{"create driver by username", "POST", "/v1/users", `{"first_name":"A","last_name":"B","role":"driver","username":"ab","password":"secret"}`, 201, `"username":"ab"`},
		{"per_page 101", "GET", "/v1/users?per_page=101", "", 400, "per_page"},
		{"page 0", "GET", "/v1/users?page_no=0", "", 400, "page_no"},
		{"lookup without key", "GET", "/v1/users/lookup", "", 400, "exactly one"},
		{"lookup with two", "GET", "/v1/users/lookup?email=a&phone=1", "", 400, "exactly one"},
		{"lookup nobody", "GET", "/v1/users/lookup?email=a", "", 404, "not found"},
		{"lookup", "GET", "/v1/users/lookup?driver_company_id=E20005", "", 200, "800005"},
		{"lookup external", "GET", "/v1/users/lookup_by_external_id?external_id=E20005&integration_name=generic_tms", "", 200, "800005"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Config{})
			r := b.motive(tt.method, tt.path, tt.body)
			require.Equal(t, tt.status, r.status, r.body)
			if tt.status < 300 {
				require.Contains(t, r.body, tt.says)
				return
			}
			body := r.json(t)
			require.Contains(t, body["error_message"], tt.says)
			require.Len(t, body, 1)
		})
	}
}

func TestMotive_Token(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	for _, token := range []string{"", "nobody", samsaraToken} {
		r := b.call("GET", "/motive"+user5, "", "Authorization", "Bearer "+token)
		require.Equal(t, http.StatusUnauthorized, r.status)
		require.NotEmpty(t, r.json(t)["error_message"])
	}
	require.Equal(t, 200, b.call("GET", "/motive"+user5, "", "X-Api-Key", motiveToken).status)
	r := b.call("PUT", "/motive"+user5, `{}`, "Authorization", "Bearer "+motiveToken, "Content-Type", "text/plain")
	require.Equal(t, http.StatusBadRequest, r.status)
}

func TestMotive_UnknownKeysAreIgnoredAndRecorded(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	before := b.motive("GET", user5, "").body
	r := b.motive("PUT", user5, `{"user":{"first_name":"Wrapped"},"nickname":"D"}`)
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, []string{"nickname", "user"}, b.last().Ignored)
	require.Equal(t, person(t, before)["first_name"], person(t, r.body)["first_name"])
}

func person(t *testing.T, body string) map[string]any {
	t.Helper()
	return result{body: body}.json(t)["user"].(map[string]any)
}

func TestMotive_DriverBlockFollowsTheRole(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	for id, role := range map[string]string{"800098": "admin", "800099": "fleet_user"} {
		r := b.motive("PUT", "/v1/users/"+id, `{"first_name":"New","drivers_license_number":"X1","cycle":"70_8"}`)
		require.Equal(t, http.StatusOK, r.status, r.body)
		u := person(t, r.body)
		require.Equal(t, role, u["role"])
		require.Equal(t, "New", u["first_name"])
		for _, key := range []string{"drivers_license_number", "cycle", "username", "eld_mode", "driver_company_id"} {
			require.NotContains(t, u, key)
		}
		require.Equal(t, []string{"cycle", "drivers_license_number"}, b.last().Ignored)
	}
	u := person(t, b.motive("GET", user5, "").body)
	require.Equal(t, "logs", u["eld_mode"])
	require.NotContains(t, u, "time_tracking_mode", "it is never read back")
	require.NotContains(t, u, "dot_id", "it is never read back")
	u = person(t, b.motive("PUT", user5, `{"role":"fleet_user","carrier_name":"C"}`).body)
	require.NotContains(t, u, "cycle")
	require.NotContains(t, u, "carrier_name")
}

func TestMotive_PutChangesOnlyKeysPresent(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	before := person(t, b.motive("GET", user5, "").body)
	after := person(t, b.motive("PUT", user5, `{"last_name":"Changed","status":"deactivated"}`).body)
	require.Equal(t, "Changed", after["last_name"])
	for _, key := range []string{"updated_at", "last_name", "status"} {
		delete(before, key)
		delete(after, key)
	}
	require.Equal(t, before, after)
	require.Equal(t, json.Number("9223372036854775807"), after["safety_program"].(map[string]any)["program_ref"])
}

func TestMotive_ListPages(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{UsersPerConnection: 230})
	seen := map[json.Number]bool{}
	for page := 1; page <= 4; page++ {
		list := b.motive("GET", fmt.Sprintf("/v1/users?per_page=100&page_no=%d", page), "").json(t)
		items := list["users"].([]any)
		require.Len(t, items, []int{100, 100, 30, 0}[page-1])
		for _, item := range items {
			seen[item.(map[string]any)["user"].(map[string]any)["id"].(json.Number)] = true
		}
		require.Equal(t, json.Number("230"), list["pagination"].(map[string]any)["total"])
	}
	require.Len(t, seen, 230)
	require.Len(t, b.motive("GET", "/v1/users", "").json(t)["users"].([]any), 25)
	require.Len(t, b.motive("GET", "/v1/users?role=admin", "").json(t)["users"].([]any), 1)
}
