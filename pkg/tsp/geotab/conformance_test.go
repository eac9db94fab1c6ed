package geotab_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
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
		TypeName string            `json:"typeName"`
		Entity   map[string]any    `json:"entity"`
		Search   map[string]string `json:"search"`
		Sort     map[string]string `json:"sort"`
	} `json:"params"`
}

const newID = "b1A2"

func TestConformance(t *testing.T) {
	t.Parallel()
	present := userOf(t, "testdata/plain_user.json")
	driver := changes{operation.FieldIsDriver: flag(true)}
	tsptest.Run(t, tsptest.Suite{
		New: func(call *httpcall.Client, url string) tsp.Provider {
			return geotab.New(call, geotab.Config{BaseURL: url, Now: clock})
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
			operation.FieldLicenseRegion:   {text("PA"), text("US-PA"), text("Baja California")},
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
		Writes:  func(c tsptest.Call) bool { return method(c) == "Set" || method(c) == "Add" },
		Create:  create(t),
		List:    list(t),
		Read:    read(t),
		Refresh: renewal(t),
	})
}

func method(c tsptest.Call) string {
	var r rpc
	if json.Unmarshal(c.Body, &r) != nil {
		return ""
	}
	return r.Method
}

func entityOf(c tsptest.Call) (kind string, entity map[string]any) {
	var r rpc
	if json.Unmarshal(c.Body, &r) != nil || r.Method != "Add" {
		return "", nil
	}
	return r.Params.TypeName, r.Params.Entity
}

func create(t *testing.T) *tsptest.Create {
	t.Helper()
	return &tsptest.Create{
		Changes: changes{
			operation.FieldUsername: text("new@example.com"), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
			operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8"), operation.FieldAllowYardMove: flag(false),
			operation.FieldNotes: text("night shift"),
		},
		SourceID: newID,
		Healthy:  func() func(tsptest.Call) tsptest.Reply { return store(t) },
		Makes: func(c tsptest.Call) bool {
			kind, _ := entityOf(c)
			return kind == "User"
		},
		Password: func(c tsptest.Call) string {
			_, entity := entityOf(c)
			password, _ := entity["password"].(string)
			return password
		},
		With: map[operation.Field]operation.Changes{
			operation.FieldPhoneNumber:      {operation.FieldPhoneCountryCode: text("+1")},
			operation.FieldPhoneCountryCode: {operation.FieldPhoneNumber: text("5550100144")},
		},
		Written: func(calls []tsptest.Call) []string {
			var names []string
			for _, c := range calls {
				switch kind, entity := entityOf(c); kind {
				case "User":
					names = slices.AppendSeq(names, maps.Keys(entity))
				case "UserHosRuleSet":
					names = append(names, "hosRuleSet")
				}
			}
			return names
		},
		Unchanged: func(operation.Field, operation.Value) bool { return false },
	}
}

func list(t *testing.T) *tsptest.List {
	t.Helper()
	offset := func(c tsptest.Call) string {
		var r rpc
		if json.Unmarshal(c.Body, &r) != nil || r.Method != "Get" || r.Params.Sort["sortBy"] != "id" {
			return "no list"
		}
		return r.Params.Sort["offset"]
	}
	none := tsptest.File(t, "testdata/users_none.json")
	return &tsptest.List{
		SourceIDs: []string{"b1", "b2", "b3"},
		Healthy: tsptest.Pages(offset, map[string]string{
			"": tsptest.File(t, "testdata/users_1.json"), "b2": tsptest.File(t, "testdata/users_2.json"), "b3": none,
		}),
		Empty: tsptest.Pages(offset, map[string]string{"": none}),
	}
}

func read(t *testing.T) *tsptest.Read {
	t.Helper()
	return &tsptest.Read{
		Healthy: func() func(tsptest.Call) tsptest.Reply { return store(t) },
		Want: changes{
			operation.FieldUsername: text("old@example.com"), operation.FieldUserEmail: text("old@example.com"),
			operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"), operation.FieldIsDriver: flag(false),
			operation.FieldIsActive: flag(true), operation.FieldStatus: text("ACTIVE"), operation.FieldEmployeeNumber: text("10442"),
			operation.FieldUserDesignation: text("Clerk"), operation.FieldNotes: text("day shift"),
			operation.FieldPhoneNumber: text("5550100199"), operation.FieldPhoneCountryCode: text("+1"),
			operation.FieldCountryCode: text("DEU"), operation.FieldCarrierNumber: text("98231"), operation.FieldDOTID: text("98231"),
			operation.FieldHOSRulesetCode: text("US_INT_NOHOS_7"), operation.FieldDefaultTimeZone: text("America/New_York"),
		},
		Fields: []operation.Field{
			operation.FieldUsername, operation.FieldUserEmail, operation.FieldFirstName, operation.FieldLastName, operation.FieldIsDriver,
			operation.FieldIsActive, operation.FieldStatus, operation.FieldEmployeeNumber, operation.FieldUserDesignation,
			operation.FieldNotes, operation.FieldPhoneNumber, operation.FieldPhoneCountryCode, operation.FieldCountryCode,
			operation.FieldCarrierNumber, operation.FieldDOTID, operation.FieldHOSRulesetCode, operation.FieldDefaultTimeZone,
			operation.FieldLicenseNumber, operation.FieldLicenseRegion, operation.FieldAllowYardMove,
			operation.FieldAllowPersonalConveyance, operation.FieldAllowAdverseDriving, operation.FieldHOSComplianceType,
		},
		Drops: func() func(tsptest.Call) tsptest.Reply { return healthy(t, "testdata/plain_user.json") },
	}
}

func renewal(t *testing.T) *tsptest.Refresh {
	t.Helper()
	old := credentials()
	delete(old, "session_id")
	return &tsptest.Refresh{
		Credentials: old,
		Healthy: func() func(tsptest.Call) tsptest.Reply {
			return func(c tsptest.Call) tsptest.Reply {
				if method(c) != "Authenticate" {
					return tsptest.Reply{Status: 404}
				}
				return tsptest.Reply{Body: tsptest.File(t, "testdata/authenticate.json")}
			}
		},
		Changed:  []string{"session_id", "host", "session_since"},
		Refusals: []tsptest.Reply{{Body: failing(t, "InvalidUserException", "no "+password)}},
		Garbled:  []string{`{"result":{"path":"ThisServer"}}`, `{"result":{"path":"ThisServer","credentials":{"sessionId":""}}}`},
		Secrets:  []string{password, login, "planted-new-session"},
	}
}

// store is a provider that keeps the plain user, what is written to it, and one
// new user.
func store(t *testing.T) func(tsptest.Call) tsptest.Reply {
	t.Helper()
	users := map[string]map[string]any{userID: userOf(t, "testdata/plain_user.json")}
	get := func(search map[string]string) []any {
		found := []any{}
		for id, u := range users {
			if id == search["id"] || search["name"] != "" && strings.EqualFold(u["name"].(string), search["name"]) {
				found = append(found, u)
			}
		}
		return found
	}
	return func(c tsptest.Call) tsptest.Reply {
		var r rpc
		if json.Unmarshal(c.Body, &r) != nil {
			return tsptest.Reply{Status: 400}
		}
		entity := r.Params.Entity
		switch r.Method + " " + r.Params.TypeName {
		case "Get User":
			b, err := json.Marshal(map[string]any{"result": get(r.Params.Search)})
			if err != nil {
				return tsptest.Reply{Status: 500}
			}
			return tsptest.Reply{Body: string(b)}
		case "Set User":
			users[entity["id"].(string)] = entity
			return tsptest.Reply{Body: tsptest.File(t, "testdata/set.json")}
		case "Add User":
			entity["id"], entity["hosRuleSet"] = newID, "None"
			delete(entity, "password")
			users[newID] = entity
			return tsptest.Reply{Body: tsptest.File(t, "testdata/add_user.json")}
		case "Add UserHosRuleSet":
			user, ruleset := entity["user"].(map[string]any), entity["hosRuleSet"].(map[string]any)
			if users[user["id"].(string)] == nil {
				return tsptest.Reply{Status: 404}
			}
			users[user["id"].(string)]["hosRuleSet"] = strings.TrimPrefix(ruleset["id"].(string), "HosRuleSet")
			return tsptest.Reply{Body: tsptest.File(t, "testdata/add.json")}
		}
		return tsptest.Reply{Status: 404}
	}
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
