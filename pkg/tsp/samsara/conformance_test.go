package samsara_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	"writeback/pkg/tsp/tsptest"
)

var everySwitch = settings{"employee_external_id": "payrollId", "write_locale": "true", "weak_rulesets": "true"}

func TestConformance(t *testing.T) {
	t.Parallel()
	driver := tsptest.File(t, "testdata/driver.json")
	tsptest.Run(t, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return samsara.New(call, samsara.Config{BaseURL: url})
		},
		Connection: connection(everySwitch),
		SourceID:   userID,
		Changes:    changes{operation.FieldFirstName: text("Ann"), operation.FieldNotes: text("night shift")},
		Healthy:    func() func(tsptest.Call) tsptest.Reply { return fleet(t, driver) },
		ErrorBody:  func(m string) string { return `{"message":"` + m + `","requestId":"8916e1c1"}` },
		Answer: func(o tsptest.Outcome) (tsptest.Reply, bool) {
			return tsptest.Reply{Body: strings.Replace(driver, userID, "494124", 1)}, o == tsptest.OtherUser
		},
		Values: values(),
		Also: map[operation.Field][]string{
			operation.FieldHOSRulesetCode: {"eldBigDayExemptionEnabled", "waitingTimeDutyStatusEnabled"},
		},
		Create: &tsptest.Create{
			Changes: changes{
				operation.FieldUsername: text("ann.lee"), operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee"),
				operation.FieldEmployeeNumber: text("E77"), operation.FieldIsDriver: flag(true),
			},
			SourceID: newID,
			Password: func(c tsptest.Call) string { return bodyOf(c)["password"].(string) },
			// A new driver is active.
			Unchanged: func(f operation.Field, v operation.Value) bool {
				return f == operation.FieldIsActive && v.Flag() || f == operation.FieldStatus && v.Text() == operation.StatusActive
			},
		},
		List: &tsptest.List{
			SourceIDs: []string{"1", "2", "3", "4"},
			Healthy:   pages,
			Empty: func() func(tsptest.Call) tsptest.Reply {
				return func(tsptest.Call) tsptest.Reply { return tsptest.Reply{Body: page("")} }
			},
		},
		Read: &tsptest.Read{
			Want: held(),
			Fields: []operation.Field{
				operation.FieldUsername, operation.FieldIsActive, operation.FieldStatus, operation.FieldUserEmail,
				operation.FieldPhoneNumber, operation.FieldLicenseNumber, operation.FieldLicenseRegion, operation.FieldNotes,
				operation.FieldEmployeeNumber, operation.FieldHOSRulesetCode, operation.FieldAllowYardMove,
				operation.FieldAllowPersonalConveyance, operation.FieldAllowAdverseDriving, operation.FieldDefaultTimeZone,
				operation.FieldDOTID, operation.FieldHOSComplianceType, operation.FieldCountryCode,
			},
			Drops: func() func(tsptest.Call) tsptest.Reply {
				return func(tsptest.Call) tsptest.Reply { return tsptest.Reply{Body: driver} }
			},
		},
		Refresh: &tsptest.Refresh{
			Credentials: oauth("2026-01-01T00:00:00Z"),
			Healthy: func() func(tsptest.Call) tsptest.Reply {
				return func(tsptest.Call) tsptest.Reply {
					return tsptest.Reply{Body: `{"access_token":"new-token","refresh_token":"new-refresh","expires_in":3600,"token_type":"bearer"}`}
				}
			},
			Changed:  []string{"access_token", "refresh_token", "expires_at"},
			Refusals: []tsptest.Reply{{Status: 400, Body: `{"error":"invalid_grant","error_description":"planted-refresh is spent"}`}},
			Garbled:  []string{`{"access_token":""}`, `{"access_token":7}`, `{"refresh_token":"r","expires_in":3600}`},
		},
	})
}

func values() map[operation.Field][]operation.Value {
	return map[operation.Field][]operation.Value{
		operation.FieldUsername:      {text("dana.w"), text("dana w"), text("dana@example.com"), text(strings.Repeat("d", 190))},
		operation.FieldDOTID:         {text("77123"), text("0077123"), text("US77123"), text("-1"), text("99999999999999999999")},
		operation.FieldNotes:         {text("short"), text(strings.Repeat("n", 4097))},
		operation.FieldFirstName:     {text("Ann"), text("Mary Ann"), text(strings.Repeat("a", 256))},
		operation.FieldPhoneNumber:   {text("+1 555 010 0144"), text("5550100144"), text("555 010 0144"), text(strings.Repeat("5", 256))},
		operation.FieldLicenseRegion: {text("PA"), text("US-PA"), text("ca-on"), text("Ohio")},
	}
}

// held is what testdata/driver.json says in unified fields, as it is read back.
func held() changes {
	return changes{
		operation.FieldUsername: text("dwhitfield"), operation.FieldIsActive: flag(true), operation.FieldStatus: text("ACTIVE"),
		operation.FieldIsDriver: flag(true), operation.FieldUserEmail: null(),
		operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"),
		operation.FieldCountryCode: text("USA"), operation.FieldLicenseRegion: text("OH"), operation.FieldLicenseNumber: text("W1234567"),
		operation.FieldEmployeeNumber: text("ABFS18600"), operation.FieldNotes: null(),
		operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8"), operation.FieldAllowYardMove: flag(true),
		operation.FieldAllowPersonalConveyance: flag(true), operation.FieldAllowAdverseDriving: flag(true),
		operation.FieldDefaultTimeZone: text("America/New_York"), operation.FieldDOTID: text("98231"),
		operation.FieldHOSComplianceType: text("non_exempt"),
	}
}

// oauth are the credentials of a connection that was made with OAuth.
func oauth(expires string) tsp.Credentials {
	return tsp.Credentials{
		"access_token": token, "refresh_token": "planted-refresh", "client_id": "client-1",
		"client_secret": "planted-secret", "expires_at": expires,
	}
}

const newID = "52000000001"

// fleet is a provider that keeps what is written to its drivers: the one of the
// fixture, and one that may be made.
func fleet(t *testing.T, fixture string) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	var first struct {
		Data map[string]any `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(fixture), &first))
	drivers := map[string]map[string]any{userID: first.Data}
	return func(c tsptest.Call) tsptest.Reply {
		id, err := url.PathUnescape(strings.TrimPrefix(c.Path, "/fleet/drivers/"))
		if err != nil {
			return tsptest.Reply{Status: http.StatusBadRequest}
		}
		if c.Method == http.MethodPost {
			id = newID
			drivers[id] = map[string]any{"id": id}
		}
		d := find(drivers, id)
		if d == nil {
			return tsptest.Reply{Status: http.StatusNotFound, Body: `{"message":"Driver not found","requestId":"1"}`}
		}
		body := bodyOf(c)
		delete(body, "password")
		maps.Copy(d, body)
		return answer(d)
	}
}

func find(drivers map[string]map[string]any, id string) map[string]any {
	key, value, external := strings.Cut(id, ":")
	for _, d := range drivers {
		ids, _ := d["externalIds"].(map[string]any)
		if external && ids[key] == value {
			return d
		}
	}
	return drivers[id]
}

func bodyOf(c tsptest.Call) map[string]any {
	var body map[string]any
	if json.Unmarshal(c.Body, &body) != nil {
		return nil
	}
	return body
}

func answer(d map[string]any) tsptest.Reply {
	b, err := json.Marshal(map[string]any{"data": d})
	if err != nil {
		return tsptest.Reply{Status: http.StatusInternalServerError}
	}
	return tsptest.Reply{Body: string(b)}
}

// page is an answer of a list; next is empty on the last one.
func page(next string, ids ...string) string {
	data := []map[string]any{}
	for _, id := range ids {
		data = append(data, map[string]any{
			"id": id, "name": "Mary Ann Lee", "username": "u" + id, "phone": "+1 5550100144", "timezone": "Nowhere/Else",
			"driverActivationStatus": "active", "locale": "us", "carrierSettings": map[string]any{"dotNumber": 0},
		})
	}
	b, _ := json.Marshal(map[string]any{
		"data": data, "pagination": map[string]any{"endCursor": next, "hasNextPage": next != ""},
	})
	return string(b)
}

// pages is a fleet of three active drivers and one that is not.
func pages() func(tsptest.Call) tsptest.Reply {
	const base = "/fleet/drivers?"
	bodies := map[string]string{
		base + "driverActivationStatus=active&limit=200":                 page("Mj:k=", "1", "2"),
		base + "after=Mj%3Ak%3D&driverActivationStatus=active&limit=200": page("", "3"),
		base + "driverActivationStatus=deactivated&limit=200":            page("", "4"),
	}
	return tsptest.Pages(func(c tsptest.Call) string { return c.Path }, bodies)()
}
