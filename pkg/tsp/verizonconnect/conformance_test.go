package verizonconnect_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
	"writeback/pkg/tsp/verizonconnect"
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
	number   = "05201977"
	newID    = "00/77"
	newToken = "planted-new-token-of-some-length"
)

func connection() tsp.Connection {
	return tsp.Connection{
		Credentials: tsp.Credentials{
			"username": "planted-user", "password": "planted-pw", "app_id": "planted-app",
			"access_token": "planted-token", "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		},
		Settings: settings{"accept_partial_contract": "true"},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	old := connection().Credentials
	delete(old, "access_token")
	tsptest.Run(t, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return verizonconnect.New(call, verizonconnect.Config{BaseURL: url})
		},
		Connection: connection(),
		Secrets:    []string{"planted-user", "planted-pw", "planted-app", "planted-token"},
		SourceID:   number,
		Changes:    changes{operation.FieldFirstName: text("Ann"), operation.FieldPhoneNumber: text("5550100144")},
		Healthy:    func() func(tsptest.Call) tsptest.Reply { return store(t) },
		ErrorBody:  func(m string) string { return `{"Message":"` + m + `"}` },
		Answer: func(o tsptest.Outcome) (tsptest.Reply, bool) {
			return tsptest.Reply{Body: `{"Driver":{"DriverNumber":"5201977","FirstName":"B"}}`}, o == tsptest.OtherUser
		},
		// What a success of a write answers is not known: what it says is not read.
		Fine: func(c tsptest.Call, row string) bool {
			return c.Method != http.MethodGet && (strings.HasPrefix(row, "200 ") || row == "own "+string(tsptest.OtherUser))
		},
		Written: func(calls []tsptest.Call) []string { return written(t, calls) },
		Create: &tsptest.Create{
			Changes: changes{
				operation.FieldEmployeeNumber: text(newID), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
				operation.FieldUserEmail: text("new@example.com"),
			},
			SourceID: newID,
			Lookup:   []string{"404", "404 text"},
		},
		List: &tsptest.List{
			SourceIDs: []string{number, "a/b"}, OnePage: true, Fine: []string{"200 list"},
			Healthy: tsptest.Pages(path, map[string]string{"/cmd/v1/drivers": tsptest.File(t, "testdata/drivers.json")}),
			Empty:   tsptest.Pages(path, map[string]string{"/cmd/v1/drivers": "[]"}),
		},
		Read: &tsptest.Read{
			Want: changes{
				operation.FieldIsDriver: flag(true), operation.FieldEmployeeNumber: text(number), operation.FieldFirstName: text("Dana"),
				operation.FieldLastName: text("Whitfield"), operation.FieldUserEmail: text("dana.w@example.com"), operation.FieldPhoneNumber: text("5550100199"),
			},
			Fields: []operation.Field{
				operation.FieldIsDriver, operation.FieldFirstName, operation.FieldLastName, operation.FieldUserEmail, operation.FieldPhoneNumber,
			},
		},
		Refresh: &tsptest.Refresh{
			Credentials: old,
			Healthy:     tsptest.Pages(path, map[string]string{"/token": newToken}),
			Changed:     []string{"access_token", "expires_at"},
			Refusals:    []tsptest.Reply{{Status: http.StatusBadRequest, Body: `{"Message":"no planted-pw"}`}},
			Garbled:     []string{`"no token"`, `{"token":""}`, "short"},
			Secrets:     []string{"planted-user", "planted-pw", newToken},
		},
	})
}

func path(c tsptest.Call) string { return c.Path }

func decode(t *testing.T, s string) map[string]any {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

// written are the keys that a PUT changed or lost; a POST writes all that it has.
func written(t *testing.T, calls []tsptest.Call) []string {
	t.Helper()
	var names []string
	for _, c := range calls {
		if c.Method == http.MethodGet {
			continue
		}
		body, present := decode(t, string(c.Body)), map[string]any{}
		if c.Method == http.MethodPut {
			present = decode(t, tsptest.File(t, "testdata/driver.json"))["Driver"].(map[string]any)
		}
		for key := range present {
			if _, kept := body[key]; !kept {
				t.Errorf("the PUT loses %s", key)
			}
		}
		for key, v := range body {
			if !reflect.DeepEqual(v, present[key]) {
				names = append(names, key)
			}
		}
	}
	return names
}

// store is a provider that keeps what is written, and one new driver.
func store(t *testing.T) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	drivers := map[string]any{"/cmd/v1/drivers/" + number: decode(t, tsptest.File(t, "testdata/driver.json"))["Driver"]}
	return func(c tsptest.Call) tsptest.Reply {
		if c.Header.Get("Authorization") != "Atmosphere atmosphere_app_id=planted-app, Bearer planted-token" {
			return tsptest.Reply{Status: http.StatusUnauthorized}
		}
		switch {
		case c.Method == http.MethodPost && c.Path == "/cmd/v1/drivers":
			drivers["/cmd/v1/drivers/00%2F77"] = decode(t, string(c.Body))
			return tsptest.Reply{Status: http.StatusCreated}
		case drivers[c.Path] == nil:
			return tsptest.Reply{Status: http.StatusNotFound}
		case c.Method == http.MethodPut:
			drivers[c.Path] = decode(t, string(c.Body))
			return tsptest.Reply{}
		}
		b, err := json.Marshal(map[string]any{"Driver": drivers[c.Path]})
		require.NoError(t, err)
		return tsptest.Reply{Body: string(b)}
	}
}

func FuzzAnswers(f *testing.F) {
	tsptest.Fuzz(f, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return verizonconnect.New(call, verizonconnect.Config{BaseURL: url})
		},
		Connection: connection(), SourceID: number,
		Changes: changes{operation.FieldFirstName: text("Ann")},
		Create: &tsptest.Create{Changes: changes{
			operation.FieldEmployeeNumber: text(number), operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"),
		}},
	}, `{"token":"planted-token-of-twenty-characters"}`, `{"Message":"no planted-pw"}`)
}
