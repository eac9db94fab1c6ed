package wialon_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
	"writeback/pkg/tsp/wialon"
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
	driverID = "600123:7"
	newID    = "600123:9"
)

func connection() tsp.Connection {
	return tsp.Connection{
		Credentials: tsp.Credentials{
			"token": "planted-token", "sid": "planted-sid", "sid_until": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		},
		Settings: settings{
			"resource_id": "600123", "email_field": "E-mail", "license_number_field": "CDL",
			"license_region_field": "State", "license_expiration_field": "Valid until",
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	old := connection().Credentials
	delete(old, "sid")
	tsptest.Run(t, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return wialon.New(call, wialon.Config{BaseURL: url})
		},
		Connection: connection(),
		Secrets:    []string{"planted-token", "planted-sid", "planted-pwd"},
		SourceID:   driverID,
		Changes:    changes{operation.FieldFirstName: text("Ann"), operation.FieldUserEmail: text("ann@example.com")},
		Healthy:    func() func(tsptest.Call) tsptest.Reply { return store(t) },
		ErrorBody:  func(m string) string { return failing(t, "4", m) },
		Answer:     func(o tsptest.Outcome) (tsptest.Reply, bool) { return ownAnswer(t, o) },
		Writes:     writes,
		With: map[operation.Field]operation.Changes{
			operation.FieldPhoneNumber:      {operation.FieldPhoneCountryCode: text("+52")},
			operation.FieldPhoneCountryCode: {operation.FieldPhoneNumber: text("5550100144")},
		},
		Unchanged: func(f operation.Field, v operation.Value) bool {
			return v.IsNull() && (f == operation.FieldUserEmail || f == operation.FieldLicenseRegion || f == operation.FieldLicenseExpiration)
		},
		Written: func(calls []tsptest.Call) []string { return written(t, calls) },
		Create: &tsptest.Create{
			Changes: changes{
				operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
				operation.FieldLicenseNumber: text("L1"),
			},
			SourceID: newID,
			Makes:    writes,
			Lookup:   []string{},
			Written:  created,
		},
		List: &tsptest.List{
			SourceIDs: []string{"600123:7", "700001:3", "700001:12"}, OnePage: true,
			Healthy: tsptest.Pages(service, map[string]string{"core/search_items": tsptest.File(t, "testdata/resources.json")}),
			Empty:   tsptest.Pages(service, map[string]string{"core/search_items": `{"items":[]}`}),
		},
		Read: &tsptest.Read{
			Want: changes{
				operation.FieldIsDriver: flag(true), operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"),
				operation.FieldPhoneNumber: text("5550100199"), operation.FieldPhoneCountryCode: text("+1"),
				operation.FieldEmployeeNumber: text("10442"), operation.FieldNotes: text("night shift"), operation.FieldLicenseNumber: text("W1234567"),
				operation.FieldUserEmail: operation.Null(), operation.FieldLicenseRegion: operation.Null(), operation.FieldLicenseExpiration: operation.Null(),
			},
			Fields: []operation.Field{
				operation.FieldIsDriver, operation.FieldFirstName, operation.FieldLastName, operation.FieldPhoneNumber, operation.FieldPhoneCountryCode,
				operation.FieldEmployeeNumber, operation.FieldNotes, operation.FieldLicenseNumber, operation.FieldUserEmail,
				operation.FieldLicenseRegion, operation.FieldLicenseExpiration,
			},
			Drops: func() func(tsptest.Call) tsptest.Reply {
				return func(c tsptest.Call) tsptest.Reply {
					if writes(c) {
						return tsptest.Reply{Body: `[7,{"id":7}]`}
					}
					return store(t)(c)
				}
			},
		},
		Refresh: &tsptest.Refresh{
			Credentials: old,
			Healthy:     tsptest.Pages(service, map[string]string{"token/login": tsptest.File(t, "testdata/login.json")}),
			Changed:     []string{"sid", "sid_until"},
			Refusals:    []tsptest.Reply{{Body: failing(t, "8", "no planted-token")}, {Body: failing(t, "1", "")}, {Body: failing(t, "4", "")}},
			Garbled:     []string{`{"eid":""}`, `{"eid":7}`},
			Secrets:     []string{"planted-token", "planted-new-sid"},
		},
	})
}

func service(c tsptest.Call) string {
	u, err := url.Parse(c.Path)
	if err != nil || u.Path != "/wialon/ajax.html" || c.Method != http.MethodPost {
		return ""
	}
	return u.Query().Get("svc")
}

func writes(c tsptest.Call) bool { return service(c) == "resource/update_driver" }

// given are the parameters of a call, with numbers as they were written.
func given(c tsptest.Call) map[string]any {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return nil
	}
	return decode(form.Get("params"))
}

func decode(s string) map[string]any {
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// written are the keys that a write changed; all others must be written back.
func written(t *testing.T, calls []tsptest.Call) []string {
	t.Helper()
	present := decode(tsptest.File(t, "testdata/resource.json"))["item"].(map[string]any)["drvrs"].(map[string]any)["7"].(map[string]any)
	var names []string
	for _, c := range calls {
		if !writes(c) {
			continue
		}
		sent := given(c)
		for key, v := range present {
			switch {
			case strings.Contains(" bu pu bt bs pos ", " "+key+" "):
				if _, has := sent[key]; has {
					t.Errorf("the write has %s, which is no one's to write", key)
				}
			case !reflect.DeepEqual(sent[key], v):
				names = append(names, key)
			}
		}
		if sent["jp"].(map[string]any)["Depot"] != "<North> & South" {
			t.Error("the write loses a custom field")
		}
	}
	return names
}

// created are the keys that a create filled.
func created(calls []tsptest.Call) []string {
	var names []string
	for _, c := range calls {
		if !writes(c) {
			continue
		}
		for key, v := range given(c) {
			custom, _ := v.(map[string]any)
			if s, ok := v.(string); ok && s != "" && key != "callMode" || len(custom) > 0 {
				names = append(names, key)
			}
		}
	}
	return names
}

// store is a provider that keeps what is written, and one new driver.
func store(t *testing.T) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	answer := decode(tsptest.File(t, "testdata/resource.json"))
	drivers := answer["item"].(map[string]any)["drvrs"].(map[string]any)
	show := func(v any) tsptest.Reply {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return tsptest.Reply{Body: string(b)}
	}
	return func(c tsptest.Call) tsptest.Reply {
		if !strings.Contains(c.Path, "&sid=planted-sid") {
			return tsptest.Reply{Body: `{"error":1}`}
		}
		sent := given(c)
		switch service(c) {
		case "core/search_item":
			return show(answer)
		case "resource/update_driver":
			id := sent["id"].(json.Number)
			if sent["callMode"] == "create" {
				id = "9"
			}
			d := maps.Clone(sent)
			maps.DeleteFunc(d, func(key string, _ any) bool { return key == "itemId" || key == "callMode" })
			d["id"] = id
			drivers[id.String()] = d
			n, err := strconv.Atoi(id.String())
			require.NoError(t, err)
			return show([]any{n, d})
		}
		return tsptest.Reply{Status: http.StatusNotFound}
	}
}

func failing(t *testing.T, code, message string) string {
	t.Helper()
	return strings.NewReplacer("CODE", code, "MESSAGE", message).Replace(tsptest.File(t, "testdata/error.json"))
}

// ownAnswer are the errors that come with status 200.
func ownAnswer(t *testing.T, o tsptest.Outcome) (tsptest.Reply, bool) {
	t.Helper()
	code, ok := map[tsptest.Outcome]string{
		tsptest.Unauthorized: "1", tsptest.Forbidden: "7", tsptest.BadRequest: "4", tsptest.NotFound: "3", tsptest.Conflict: "1002",
		tsptest.RateLimited: "1003", tsptest.ServerFault: "6",
	}[o]
	if o == tsptest.OtherUser {
		return tsptest.Reply{Body: `[8,{"id":8,"n":"B"}]`}, true
	}
	reply := tsptest.Reply{Body: failing(t, code, "for planted-token")}
	if o == tsptest.RateLimited {
		reply.Header = map[string]string{"Retry-After": "5"}
	}
	return reply, ok
}

func FuzzAnswers(f *testing.F) {
	tsptest.Fuzz(f, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return wialon.New(call, wialon.Config{BaseURL: url})
		},
		Connection: connection(), SourceID: driverID,
		Changes: changes{operation.FieldFirstName: text("Ann"), operation.FieldUserEmail: text("ann@example.com")},
		Create: &tsptest.Create{Changes: changes{
			operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
		}},
	}, `[7,{"id":7,"n":"Ann Whitfield","c":"N1","jp":{"E-mail":"ann@example.com"}}]`)
}
