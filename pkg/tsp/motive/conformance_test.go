package motive_test

import (
	"encoding/json"
	"maps"
	"net/http"
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
	})
}

// store is a provider that keeps what is written to the user.
func store(t *testing.T, answer string) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	var held struct {
		User map[string]any `json:"user"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &held))
	held.User["id"] = json.Number(userID)
	return func(c tsptest.Call) tsptest.Reply {
		if c.Method == http.MethodPut {
			var body map[string]any
			if json.Unmarshal(c.Body, &body) != nil {
				return tsptest.Reply{Status: http.StatusBadRequest}
			}
			maps.Copy(held.User, body)
		}
		b, err := json.Marshal(held)
		if err != nil {
			return tsptest.Reply{Status: http.StatusInternalServerError}
		}
		return tsptest.Reply{Body: string(b)}
	}
}
