package motive_test

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
	"writeback/pkg/tsp/motive"
	"writeback/pkg/tsp/tsptest"
)

var exceptions = []string{
	"exception_24_hour_restart", "exception_8_hour_break", "exception_wait_time",
	"exception_short_haul", "exception_ca_farm_school_bus",
}

const newID = "7000001"

func TestConformance(t *testing.T) {
	t.Parallel()
	tsptest.Run(t, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return motive.New(call, motive.Config{BaseURL: url})
		},
		Connection: tsp.Connection{Credentials: tsp.Credentials{"access_token": token}, Settings: everySwitch},
		SourceID:   userID,
		Changes: changes{
			operation.FieldFirstName: text("Ann"), operation.FieldHOSComplianceType: text(operation.NonExempt),
		},
		Healthy:   func() func(tsptest.Call) tsptest.Reply { return store(t, tsptest.File(t, "testdata/user.json")) },
		ErrorBody: func(m string) string { return `{"error_message":"` + m + `"}` },
		Answer: func(o tsptest.Outcome) (tsptest.Reply, bool) {
			return tsptest.Reply{Body: `{"user":{"id":800002,"role":"driver"}}`}, o == tsptest.OtherUser
		},
		With: map[operation.Field]operation.Changes{
			operation.FieldPhoneCountryCode: {operation.FieldPhoneNumber: text("5550100144")},
		},
		Also: map[operation.Field][]string{
			operation.FieldHOSRulesetCode:    exceptions,
			operation.FieldHOSComplianceType: {"time_tracking_mode"},
			operation.FieldHOSTrackingMethod: {"time_tracking_mode"},
		},
		Create: &tsptest.Create{
			Changes: changes{
				operation.FieldUserEmail: text("New@Example.com"), operation.FieldFirstName: text("New"),
				operation.FieldLastName: text("Driver"), operation.FieldHOSComplianceType: text(operation.NonExempt),
			},
			SourceID: newID,
		},
		List:    list(t),
		Read:    read(t),
		Refresh: renewal(t),
	})
}

func list(t *testing.T) *tsptest.List {
	page := func(c tsptest.Call) string { return c.Path }
	return &tsptest.List{
		SourceIDs: []string{"800001", "800002", "9007199254740993"},
		Healthy: tsptest.Pages(page, map[string]string{
			"/v1/users?per_page=100&page_no=1": tsptest.File(t, "testdata/users_1.json"),
			"/v1/users?per_page=100&page_no=2": tsptest.File(t, "testdata/users_2.json"),
		}),
		Empty: tsptest.Pages(page, map[string]string{
			"/v1/users?per_page=100&page_no=1": tsptest.File(t, "testdata/users_none.json"),
		}),
	}
}

func read(t *testing.T) *tsptest.Read {
	return &tsptest.Read{
		Want: changes{
			operation.FieldUsername: text("dwhitfield"), operation.FieldIsActive: flag(true), operation.FieldStatus: text("ACTIVE"),
			operation.FieldIsDriver: flag(true), operation.FieldUserEmail: text("dana@example.com"),
			operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"),
			operation.FieldPhoneNumber: text("5550100199"), operation.FieldPhoneCountryCode: text("+1"),
			operation.FieldLicenseRegion: text("OH"), operation.FieldLicenseNumber: text("W1234567"),
			operation.FieldEmployeeNumber: text("10442"), operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8"),
			operation.FieldAllowYardMove: flag(true), operation.FieldAllowPersonalConveyance: flag(true),
			operation.FieldAllowAdverseDriving: flag(true), operation.FieldHOSComplianceType: text(operation.NonExempt),
			operation.FieldHOSTrackingMethod: text(operation.Automatic), operation.FieldDefaultTimeZone: text("America/New_York"),
		},
		Fields: []operation.Field{
			operation.FieldUsername, operation.FieldIsActive, operation.FieldStatus, operation.FieldIsDriver, operation.FieldUserEmail,
			operation.FieldFirstName, operation.FieldLastName, operation.FieldPhoneNumber, operation.FieldPhoneCountryCode,
			operation.FieldLicenseRegion, operation.FieldLicenseNumber, operation.FieldEmployeeNumber, operation.FieldHOSRulesetCode,
			operation.FieldAllowYardMove, operation.FieldAllowPersonalConveyance, operation.FieldAllowAdverseDriving,
			operation.FieldHOSComplianceType, operation.FieldHOSTrackingMethod, operation.FieldDefaultTimeZone,
		},
		// An answer that shows nothing tells nothing; the read does.
		Drops: func() func(tsptest.Call) tsptest.Reply {
			return func(c tsptest.Call) tsptest.Reply {
				if c.Method == http.MethodPut {
					return tsptest.Reply{Body: `{"user":{"id":800001}}`}
				}
				return tsptest.Reply{Body: tsptest.File(t, "testdata/user.json")}
			}
		},
	}
}

func renewal(t *testing.T) *tsptest.Refresh {
	return &tsptest.Refresh{
		Credentials: oldTokens(),
		Healthy: func() func(tsptest.Call) tsptest.Reply {
			return func(c tsptest.Call) tsptest.Reply {
				if c.Path != "/oauth/token" {
					return tsptest.Reply{Status: http.StatusNotFound}
				}
				return tsptest.Reply{Body: tsptest.File(t, "testdata/token.json")}
			}
		},
		Changed:  []string{"access_token", "refresh_token", "expires_at"},
		Refusals: []tsptest.Reply{{Status: http.StatusBadRequest, Body: tsptest.File(t, "testdata/error_grant.json")}},
		Garbled:  []string{`{"access_token":""}`, `{"access_token":7}`, `{"error":"invalid_grant"}`},
		Secrets:  []string{"planted-old-token", "planted-old-refresh", "planted-secret", "planted-new-token", "planted-new-refresh"},
	}
}

// store is a provider that keeps what is written to the user, and one new user.
func store(t *testing.T, answer string) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	var held struct {
		User map[string]any `json:"user"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &held))
	held.User["id"] = json.Number(userID)
	users := map[string]map[string]any{userID: held.User}
	return func(c tsptest.Call) tsptest.Reply {
		var body map[string]any
		if len(c.Body) > 0 && json.Unmarshal(c.Body, &body) != nil {
			return tsptest.Reply{Status: http.StatusBadRequest}
		}
		var user map[string]any
		switch {
		case c.Method == http.MethodPost:
			user = map[string]any{"id": json.Number(newID), "status": "active"}
			users[newID] = user
		case strings.HasPrefix(c.Path, "/v1/users/lookup?"):
			user = found(users, c.Path)
		default:
			user = users[strings.TrimPrefix(c.Path, "/v1/users/")]
		}
		if user == nil {
			return tsptest.Reply{Status: http.StatusNotFound}
		}
		maps.Copy(user, body)
		delete(user, "password")
		if email, ok := user["email"].(string); ok {
			user["email"] = strings.ToLower(email)
		}
		b, err := json.Marshal(map[string]any{"user": user})
		if err != nil {
			return tsptest.Reply{Status: http.StatusInternalServerError}
		}
		return tsptest.Reply{Body: string(b)}
	}
}

// found is the user that a lookup names, by its one key.
func found(users map[string]map[string]any, path string) map[string]any {
	u, err := url.Parse(path)
	if err != nil {
		return nil
	}
	for key, values := range u.Query() {
		for _, user := range users {
			if s, ok := user[key].(string); ok && strings.EqualFold(s, values[0]) {
				return user
			}
		}
	}
	return nil
}
