package geotab_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/geotab"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
)

// rpc is a request as the provider reads it.
type rpc struct {
	Method string `json:"method"`
	Params struct {
		TypeName string         `json:"typeName"`
		Entity   map[string]any `json:"entity"`
	} `json:"params"`
}

func TestConformance(t *testing.T) {
	t.Parallel()
	present := userOf(t, "testdata/plain_user.json")
	driver := changes{operation.FieldIsDriver: flag(true)}
	tsptest.Run(t, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return geotab.New(call, geotab.Config{Server: url, Now: clock})
		},
		Connection: tsp.Connection{Credentials: credentials(), Settings: settings{"weak_rulesets": "true"}},
		Secrets:    []string{session, password, login},
		SourceID:   userID,
		Changes: changes{
			operation.FieldFirstName: text("Ann"), operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8"),
		},
		Healthy:   func() func(tsptest.Call) tsptest.Reply { return healthy(t, "testdata/plain_user.json") },
		ErrorBody: func(m string) string { return failing(t, "ArgumentException", m) },
		Answer:    func(o tsptest.Outcome) (tsptest.Reply, bool) { return ownAnswer(t, o) },
		Values: map[operation.Field][]operation.Value{
			operation.FieldStatus:          {text(operation.StatusInactive)},
			operation.FieldIsDriver:        {flag(true), flag(false)},
			operation.FieldDefaultTimeZone: {text("America/Chicago"), text("UTC")},
		},
		With: map[operation.Field]operation.Changes{
			operation.FieldLicenseNumber: driver, operation.FieldLicenseRegion: driver,
		},
		Unchanged: func(f operation.Field, v operation.Value) bool {
			return f == operation.FieldIsActive && v.Flag() || f == operation.FieldIsDriver && !v.Flag() ||
				f == operation.FieldHOSRulesetCode && v.Text() == "US_INT_NOHOS_7" ||
				(f == operation.FieldLicenseNumber || f == operation.FieldLicenseRegion) && v.IsNull()
		},
		Written: func(calls []tsptest.Call) []string { return written(t, present, calls) },
		Also:    map[operation.Field][]string{operation.FieldIsDriver: {"driverGroups", "keys"}},
	})
}

func userOf(t *testing.T, file string) map[string]any {
	t.Helper()
	var answer struct {
		Result []map[string]any `json:"result"`
	}
	dec := json.NewDecoder(strings.NewReader(tsptest.File(t, file)))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&answer))
	require.Len(t, answer.Result, 1)
	return answer.Result[0]
}

func healthy(t *testing.T, file string) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	answers := map[string]string{
		"Get": tsptest.File(t, file), "Set": tsptest.File(t, "testdata/set.json"), "Add": tsptest.File(t, "testdata/add.json"),
	}
	return func(c tsptest.Call) tsptest.Reply {
		var r rpc
		if json.Unmarshal(c.Body, &r) != nil || c.Path != "/apiv1" {
			return tsptest.Reply{Status: 404}
		}
		return tsptest.Reply{Body: answers[r.Method]}
	}
}

// ownAnswer are the errors that come with status 200.
func ownAnswer(t *testing.T, o tsptest.Outcome) (tsptest.Reply, bool) {
	t.Helper()
	name, ok := map[tsptest.Outcome]string{
		tsptest.Unauthorized: "InvalidUserException", tsptest.Forbidden: "InvalidPermissionsException",
		tsptest.BadRequest: "ArgumentException", tsptest.Conflict: "DuplicateException",
		tsptest.RateLimited: "OverLimitException", tsptest.ServerFault: "GenericException",
	}[o]
	reply := tsptest.Reply{Body: failing(t, name, "for "+login)}
	if o == tsptest.RateLimited {
		reply.Header = map[string]string{"Retry-After": "58"}
	}
	return reply, ok
}

func failing(t *testing.T, name, message string) string {
	t.Helper()
	s := strings.ReplaceAll(tsptest.File(t, "testdata/error_template.json"), "TYPE", name)
	return strings.ReplaceAll(s, "MESSAGE", message)
}

// written are the keys that a Set changed against the present user, and the
// ruleset that was added.
func written(t *testing.T, present map[string]any, calls []tsptest.Call) []string {
	t.Helper()
	var names []string
	for _, c := range calls {
		var r rpc
		if json.Unmarshal(c.Body, &r) != nil || r.Method == "Get" {
			continue
		}
		if r.Params.TypeName == "UserHosRuleSet" {
			names = append(names, "hosRuleSet")
			continue
		}
		for key := range maps.Keys(r.Params.Entity) {
			if !reflect.DeepEqual(r.Params.Entity[key], present[key]) {
				names = append(names, key)
			}
		}
		for key := range present {
			if _, kept := r.Params.Entity[key]; !kept {
				t.Errorf("set drops %s", key)
			}
		}
	}
	return names
}
