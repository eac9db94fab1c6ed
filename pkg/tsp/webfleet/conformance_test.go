package webfleet_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
	"writeback/pkg/tsp/webfleet"
)

type (
	changes  = operation.Changes
	settings = map[string]string
)

var (
	text = operation.Text
	flag = operation.Flag
)

const (
	uid   = "1-12345-ABCDEF"
	newID = "1-12345-NEW"
)

func connection() tsp.Connection {
	return tsp.Connection{
		Credentials: tsp.Credentials{"account": "planted-account", "username": "planted-user", "password": "planted-pw", "apikey": "planted-key/+&"},
		Settings:    settings{"driver_number": "true"},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	coded := changes{operation.FieldPhoneCountryCode: text("+52")}
	tsptest.Run(t, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return webfleet.New(call, webfleet.Config{BaseURL: url})
		},
		Connection: connection(),
		SourceID:   uid,
		Changes:    changes{operation.FieldFirstName: text("Ann"), operation.FieldNotes: text("night shift")},
		Healthy:    func() func(tsptest.Call) tsptest.Reply { return store(t) },
		ErrorBody:  func(m string) string { return failing(t, "40", m) },
		Answer:     func(o tsptest.Outcome) (tsptest.Reply, bool) { return ownAnswer(t, o) },
		Writes:     writes,
		// A success of a write says nothing, and a list of nobody is an answer.
		Fine: func(c tsptest.Call, row string) bool {
			return row == "200 list" || writes(c) && (row == "200 empty" || row == "own "+string(tsptest.OtherUser))
		},
		With: map[operation.Field]operation.Changes{
			operation.FieldPhoneNumber: coded, operation.FieldPhoneCountryCode: {operation.FieldPhoneNumber: text("5550100144")},
		},
		Written: written,
		Also:    map[operation.Field][]string{operation.FieldEmployeeNumber: {"driverno_old"}},
		Create: &tsptest.Create{
			Changes: changes{
				operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
				operation.FieldUserEmail: text("New@example.com"), operation.FieldCountryCode: text("MEX"),
			},
			SourceID: newID,
			Makes:    func(c tsptest.Call) bool { return params(c).Get("action") == "insertDriverExtern" },
			Lookup:   []string{"200 list"},
		},
		List: &tsptest.List{
			SourceIDs: []string{uid, "1-12345-000007"}, OnePage: true, Fine: []string{"200 list"},
			Empty: func() func(tsptest.Call) tsptest.Reply {
				return func(tsptest.Call) tsptest.Reply { return tsptest.Reply{Body: "[]"} }
			},
		},
		Read: &tsptest.Read{
			Want: changes{
				operation.FieldIsDriver: flag(true), operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"),
				operation.FieldUserEmail: text("dana@example.com"), operation.FieldPhoneNumber: text("5550100199"),
				operation.FieldPhoneCountryCode: text("+1"), operation.FieldCountryCode: text("DEU"),
				operation.FieldEmployeeNumber: text("10442"), operation.FieldNotes: text("day shift"),
			},
			Fields: []operation.Field{
				operation.FieldIsDriver, operation.FieldFirstName, operation.FieldLastName, operation.FieldUserEmail, operation.FieldPhoneNumber,
				operation.FieldPhoneCountryCode, operation.FieldCountryCode, operation.FieldEmployeeNumber, operation.FieldNotes,
			},
			Drops: func() func(tsptest.Call) tsptest.Reply {
				return func(c tsptest.Call) tsptest.Reply {
					if writes(c) {
						return tsptest.Reply{}
					}
					return store(t)(c)
				}
			},
		},
	})
}

func params(c tsptest.Call) url.Values {
	u, err := url.Parse(c.Path)
	if err != nil {
		return nil
	}
	return u.Query()
}

func writes(c tsptest.Call) bool { return !strings.HasPrefix(params(c).Get("action"), "show") }

// own are the parameters that are no part of a driver.
var own = []string{"lang", "account", "apikey", "action", "outputformat", "useUTF8", "useISO8601", "driveruid"}

func written(calls []tsptest.Call) []string {
	var names []string
	for _, c := range calls {
		if !writes(c) {
			continue
		}
		for name := range params(c) {
			if name == "name" {
				name = "name1"
			}
			if !slices.Contains(own, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// store is a provider that keeps what is written, and one new driver.
func store(t *testing.T) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	var rows []map[string]any
	require.NoError(t, json.Unmarshal([]byte(tsptest.File(t, "testdata/drivers.json")), &rows))
	return func(c tsptest.Call) tsptest.Reply {
		q := params(c)
		if c.Method != http.MethodGet || !strings.HasPrefix(c.Path, "/extern?") || q.Get("apikey") != "planted-key/+&" || strings.Contains(c.Path, "+") {
			return tsptest.Reply{Status: http.StatusNotFound}
		}
		switch q.Get("action") {
		case "showDriverReportExtern":
			found := []map[string]any{}
			for _, row := range rows {
				if (!q.Has("driveruid") || q.Get("driveruid") == row["driveruid"]) && (!q.Has("driverno") || q.Get("driverno") == row["driverno"]) {
					found = append(found, row)
				}
			}
			b, err := json.Marshal(found)
			if err != nil {
				t.Errorf("marshal: %v", err)
			}
			return tsptest.Reply{Body: string(b)}
		case "insertDriverExtern":
			rows = append(rows, map[string]any{"driveruid": newID})
			q.Set("driveruid", newID)
		}
		for _, row := range rows {
			if row["driveruid"] == q.Get("driveruid") {
				maps.Copy(row, fieldsOf(q))
			}
		}
		return tsptest.Reply{}
	}
}

func fieldsOf(q url.Values) map[string]any {
	fields := map[string]any{}
	for name := range q {
		switch {
		case name == "name":
			fields["name1"] = q.Get(name)
		case !slices.Contains(own, name) && name != "driverno_old":
			fields[name] = q.Get(name)
		}
	}
	return fields
}

func failing(t *testing.T, code, message string) string {
	t.Helper()
	return strings.NewReplacer("CODE", code, "MESSAGE", message).Replace(tsptest.File(t, "testdata/error_object.json"))
}

// ownAnswer are the errors that come with status 200, in their three forms.
func ownAnswer(t *testing.T, o tsptest.Outcome) (tsptest.Reply, bool) {
	t.Helper()
	switch o {
	case tsptest.Forbidden:
		return tsptest.Reply{Body: tsptest.File(t, "testdata/error_text.csv")}, true
	case tsptest.BadRequest:
		return tsptest.Reply{Body: failing(t, "40", "no planted-key/+&")}, true
	case tsptest.Conflict:
		return tsptest.Reply{Header: map[string]string{
			"X-Webfleet-Errorcode": "1143", "X-Webfleet-Errormessage": "in use, planted-user",
		}}, true
	case tsptest.RateLimited:
		return tsptest.Reply{Body: "8011,quota", Header: map[string]string{"Retry-After": "60"}}, true
	case tsptest.OtherUser:
		return tsptest.Reply{Body: `[{"driveruid":"1-0-OTHER","driverno":"x","name1":"A B"}]`}, true
	}
	return tsptest.Reply{}, false
}

func FuzzAnswers(f *testing.F) {
	tsptest.Fuzz(f, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return webfleet.New(call, webfleet.Config{BaseURL: url})
		},
		Connection: connection(), SourceID: uid,
		Changes: changes{operation.FieldFirstName: text("Ann"), operation.FieldNotes: text("night shift")},
		Create: &tsptest.Create{Changes: changes{
			operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
		}},
	}, `[{"driveruid":"2","driverno":"N1","name1":"New Driver"}]`, `[{"driveruid":"2\u001b[2J","driverno":"N1","name1":"New Driver"}]`)
}
