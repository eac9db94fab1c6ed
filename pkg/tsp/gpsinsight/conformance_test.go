package gpsinsight_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/gpsinsight"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
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
	driverID = "4551485"
	newID    = "4551486"
)

func connection() tsp.Connection {
	return tsp.Connection{Credentials: tsp.Credentials{
		"username": "planted-user", "password": "planted-pw", "session_token": "planted-session",
	}}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]settings{"query": nil, "form": {"form_post": "true"}} {
		t.Run(name, func(t *testing.T) { t.Parallel(); tsptest.Run(t, suite(t, own)) })
	}
}

func suite(t *testing.T, own settings) tsptest.Suite {
	t.Helper()
	conn, old := connection(), connection().Credentials
	conn.Settings = own
	delete(old, "session_token")
	none := `{"head":{"status":"OK"},"errors":[],"data":[]}`
	return tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return gpsinsight.New(call, gpsinsight.Config{BaseURL: url})
		},
		Connection: conn,
		SourceID:   driverID,
		Changes:    changes{operation.FieldFirstName: text("Ann"), operation.FieldUserEmail: text("ann@example.com")},
		Healthy:    func() func(tsptest.Call) tsptest.Reply { return store(t) },
		ErrorBody:  func(m string) string { return failing(t, "400", m) },
		Answer:     func(o tsptest.Outcome) (tsptest.Reply, bool) { return ownAnswer(t, o) },
		Writes:     writes,
		With: map[operation.Field]operation.Changes{
			operation.FieldPhoneCountryCode: {operation.FieldPhoneNumber: text("5550100144")},
		},
		Written: written,
		Create: &tsptest.Create{
			Changes: changes{
				operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"), operation.FieldPhoneNumber: text("5550100144"),
			},
			SourceID: newID,
			Makes:    func(c tsptest.Call) bool { return method(c) == "/driver/create" },
			Lookup:   []string{},
		},
		List: &tsptest.List{
			SourceIDs: []string{driverID, "2"}, OnePage: true,
			Empty: func() func(tsptest.Call) tsptest.Reply {
				return func(tsptest.Call) tsptest.Reply { return tsptest.Reply{Body: none} }
			},
		},
		Read: &tsptest.Read{
			Want: changes{
				operation.FieldIsDriver: flag(true), operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"),
				operation.FieldUserEmail: text("dana@example.com"), operation.FieldPhoneNumber: text("5550100199"),
			},
			Fields: []operation.Field{
				operation.FieldIsDriver, operation.FieldFirstName, operation.FieldLastName, operation.FieldUserEmail, operation.FieldPhoneNumber,
			},
			Drops: func() func(tsptest.Call) tsptest.Reply {
				return func(c tsptest.Call) tsptest.Reply {
					if writes(c) {
						return tsptest.Reply{Body: tsptest.File(t, "testdata/update.json")}
					}
					return store(t)(c)
				}
			},
		},
		Refresh: &tsptest.Refresh{
			Credentials: old,
			Healthy:     func() func(tsptest.Call) tsptest.Reply { return login(t) },
			Changed:     []string{"session_token"},
			Refusals:    []tsptest.Reply{{Body: failing(t, "401", "no planted-pw")}, {Body: failing(t, "403", "")}, {Body: failing(t, "400", "")}},
			Garbled:     []string{`{"head":{},"data":{"token":""}}`, `{"head":{},"data":[]}`},
			Secrets:     []string{"planted-user", "planted-pw", "planted-new-session"},
		},
	}
}

func login(t *testing.T) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	return func(c tsptest.Call) tsptest.Reply {
		if q := params(c); method(c) != "/userauth/login" || q.Get("username") != "planted-user" || q.Get("password") != "planted-pw" {
			return tsptest.Reply{Status: http.StatusNotFound}
		}
		return tsptest.Reply{Body: tsptest.File(t, "testdata/login.json")}
	}
}

func method(c tsptest.Call) string {
	path, _, _ := strings.Cut(c.Path, "?")
	return path
}

func writes(c tsptest.Call) bool {
	return method(c) != "/driver/list" && method(c) != "/userauth/login"
}

func params(c tsptest.Call) url.Values {
	_, raw, _ := strings.Cut(c.Path, "?")
	if c.Method == http.MethodPost {
		raw = string(c.Body)
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil
	}
	return q
}

func written(calls []tsptest.Call) []string {
	var names []string
	for _, c := range calls {
		for name := range params(c) {
			if writes(c) && !slices.Contains([]string{"driver", "session_token", "reference_tag"}, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// store is a provider that keeps what is written, and one new driver.
func store(t *testing.T) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	var list map[string]any
	require.NoError(t, json.Unmarshal([]byte(tsptest.File(t, "testdata/drivers.json")), &list))
	held, made := list["data"].([]any)[0].(map[string]any), false
	return func(c tsptest.Call) tsptest.Reply {
		q := params(c)
		switch method(c) {
		case "/driver/list":
			b, err := json.Marshal(list)
			require.NoError(t, err)
			return tsptest.Reply{Body: string(b)}
		case "/driver/update":
			for name := range q {
				held[name] = q.Get(name)
			}
			return tsptest.Reply{Body: tsptest.File(t, "testdata/update.json")}
		case "/driver/create":
			if made {
				t.Error("a second driver was made")
			}
			made = true
			row := map[string]any{"id": newID}
			for name := range q {
				row[name] = q.Get(name)
			}
			list["data"] = append(list["data"].([]any), row)
			return tsptest.Reply{Body: tsptest.File(t, "testdata/create.json")}
		}
		return tsptest.Reply{Status: http.StatusNotFound}
	}
}

func failing(t *testing.T, code, message string) string {
	t.Helper()
	return strings.NewReplacer("CODE", code, "MESSAGE", message).Replace(tsptest.File(t, "testdata/error.json"))
}

// ownAnswer are the errors that come with status 200. A 403 of that kind is a dead
// session, so there is no plain refusal.
func ownAnswer(t *testing.T, o tsptest.Outcome) (tsptest.Reply, bool) {
	t.Helper()
	code, ok := map[tsptest.Outcome]string{
		tsptest.Unauthorized: "403", tsptest.BadRequest: "400", tsptest.NotFound: "404", tsptest.Conflict: "409",
		tsptest.RateLimited: "429", tsptest.ServerFault: "500",
	}[o]
	return tsptest.Reply{Body: failing(t, code, "for planted-session")}, ok
}

func FuzzAnswers(f *testing.F) {
	tsptest.Fuzz(f, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return gpsinsight.New(call, gpsinsight.Config{BaseURL: url})
		},
		Connection: connection(), SourceID: driverID,
		Changes: changes{operation.FieldFirstName: text("Ann"), operation.FieldPhoneNumber: text("5550100144")},
		Create:  &tsptest.Create{Changes: changes{operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver")}},
	})
}
