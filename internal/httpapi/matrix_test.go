package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// call makes a good request for a route, with these ids in its path and body.
func call(t *testing.T, route wire.Route, connection, user, op uuid.UUID, bearer string) request {
	t.Helper()
	path := strings.NewReplacer(
		"{connection_id}", connection.String(), "{user_id}", user.String(),
		"{resource_operation_id}", op.String(), "{tsp_id}", directory.TSPID("samsara").String(),
		// In the test world a webhook has the id of its partner's connection.
		"{webhook_id}", connection.String(), "{event_name}", "resource_operation.failed", "{version}", wire.EnvelopeVersion,
	).Replace(route.Path)
	require.NotContains(t, path, "{", "the route has a parameter that this test does not know")
	in := request{method: route.Method, path: path, token: bearer}
	switch {
	case route.OperationID == "tail_resource_operations":
		if bearer == "" {
			in.token = token(partnerOne)
		}
		in.token += " " + endsNow
	case route.OperationID == "create_webhook_subscription":
		in.body = `{"url":"https://hooks.example/x","event_name":"resource_operation.*"}`
	case route.OperationID == "update_webhook_subscription":
		in.body = `{"schedule":"long"}`
	case route.OperationID == "update_users_batch":
		in.body = `[{"user_id":"` + user.String() + `","connection_id":"` + connection.String() + `","first_name":"Ada"}]`
	case hasBody(t, route):
		in.body = `{"connection_id":"` + connection.String() + `","first_name":"Ada"}`
	}
	return in
}

// bodies are the routes that take a body, as the document says.
var bodies = sync.OnceValues(func() (map[string]map[string]bool, error) {
	var doc struct {
		Paths map[string]map[string]struct{ RequestBody *struct{} }
	}
	err := json.Unmarshal(wire.OpenAPI(), &doc)
	out := make(map[string]map[string]bool, len(doc.Paths))
	for path, item := range doc.Paths {
		out[path] = map[string]bool{}
		for method, operation := range item {
			out[path][strings.ToUpper(method)] = operation.RequestBody != nil
		}
	}
	return out, err
})

// hasBody asks the document whether the route takes a body.
func hasBody(t *testing.T, route wire.Route) bool {
	t.Helper()
	all, err := bodies()
	require.NoError(t, err)
	has, ok := all[route.Path][route.Method]
	require.True(t, ok)
	return has
}

// ask calls a route. Of a batch, whose one element is answered on its own, it gives that
// answer.
func (a *api) ask(route wire.Route, in request) response {
	a.t.Helper()
	got := a.send(in)
	if route.OperationID != "update_users_batch" || got.status != http.StatusOK {
		return got
	}
	items := got.body["items"].([]any)
	require.Len(a.t, items, 1)
	one := items[0].(map[string]any)
	got.status = int(one["status"].(float64))
	got.body, _ = one["error"].(map[string]any)
	return got
}

// seed stores an operation of the partner that has succeeded.
func (a *api) seed(partner, connection uuid.UUID) uuid.UUID {
	return a.seedAs(partner, connection, operation.Succeeded)
}

// seedAs stores an operation of the partner on the connection's first user.
func (a *api) seedAs(partner, connection uuid.UUID, status operation.Status) uuid.UUID {
	user := userOne
	if connection == connOther {
		user = userOther
	}
	op := operation.Operation{
		Accepted: operation.Accepted{
			ID: uuid.Must(uuid.NewV7()), PartnerID: partner, ConnectionID: connection,
			Provider: "samsara", Resource: operation.ResourceUser, ResourceID: user, Type: operation.Update,
			Changes: operation.Changes{operation.FieldFirstName: operation.Text("Ada")},
		},
		Place:  operation.Place{Seq: worldTime.UnixMicro()},
		Status: status,
	}
	a.memory.put(op)
	return op.ID
}

// before is the status that an operation must have for the route to work.
func before(route wire.Route) operation.Status {
	switch route.OperationID {
	case "cancel_resource_operation":
		return operation.Pending
	case "retry_resource_operation":
		return operation.Failed
	}
	return operation.Succeeded
}

// TestRoutes_ScopeMatrix calls every route with no token, with each single scope,
// with all but the needed ones, and with just the needed ones.
func TestRoutes_ScopeMatrix(t *testing.T) {
	t.Parallel()
	all := map[string]bool{}
	for _, route := range wire.Routes() {
		for _, scope := range route.Scopes {
			all[scope] = true
		}
	}
	require.GreaterOrEqual(t, len(all), 4)
	for _, route := range wire.Routes() {
		t.Run(route.Method+" "+route.Path, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			try := func(bearer string) response {
				op := api.seedAs(partnerOne, connOne, before(route))
				return api.send(call(t, route, connOne, userOne, op, bearer))
			}
			need := strings.Join(route.Scopes, " ")
			require.Less(t, try(token(partnerOne, need)).status, 300)
			require.Less(t, try(token(partnerOne)).status, 300)

			other := []string{"something:else"}
			for scope := range all {
				if !strings.Contains(" "+need+" ", " "+scope+" ") {
					other = append(other, scope)
				}
			}
			wrong := try(token(partnerOne, other...))
			if need == "" {
				require.Equal(t, 200, wrong.status, "any token will do")
			} else {
				require.Equal(t, 403, wrong.status, wrong.text)
				require.Equal(t, `Bearer error="insufficient_scope", scope="`+need+`"`, wrong.header.Get("WWW-Authenticate"))
				require.EqualValues(t, 403, wrong.body["code"])
				require.Equal(t, "Forbidden", wrong.body["message"])
			}

			in := call(t, route, connOne, userOne, api.seed(partnerOne, connOne), "")
			in.header = http.Header{"Authorization": nil}
			bare := api.send(in)
			require.Equal(t, 401, bare.status)
			require.Equal(t, "Bearer", bare.header.Get("WWW-Authenticate"))
		})
	}
}

// TestRoutes_TenantMatrix calls every route that has an id with every mix of own
// and foreign ids: what is another partner's is not there.
func TestRoutes_TenantMatrix(t *testing.T) {
	t.Parallel()
	matrix := 0
	for _, route := range wire.Routes() {
		named := strings.Contains(route.Path, "{") || hasBody(t, route) // a body names its connection
		everybodys := strings.Contains(route.Path, "{tsp_id}") || strings.Contains(route.Path, "{event_name}")
		if !named || everybodys || route.OperationID == "create_webhook_subscription" {
			continue
		}
		matrix++
		t.Run(route.Method+" "+route.Path, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			state := before(route)
			mine, theirs := api.seedAs(partnerOne, connOne, state), api.seedAs(partnerTwo, connOther, state)
			// The worst case: their operation under my connection's id.
			smuggled := api.seedAs(partnerTwo, connOne, state)
			untouched := api.memory.all()
			nobodys := api.ask(route, call(t, route, uuid.New(), uuid.New(), uuid.New(), ""))
			require.Equal(t, 404, nobodys.status, nobodys.text)
			require.EqualValues(t, 404, nobodys.body["code"])
			// hidden: the answer is the one to ids that nobody has.
			hidden := func(what string, in request) {
				got := api.ask(route, in)
				require.Equal(t, nobodys.status, got.status, "%s: %s", what, got.text)
				require.Equal(t, nobodys.text, got.text, what)
				require.Equal(t, nobodys.headers(), got.headers(), what)
			}
			for what, op := range map[string]uuid.UUID{"theirs": theirs, "smuggled": smuggled} {
				hidden(what, call(t, route, connOther, userOther, op, ""))
			}
			if strings.Contains(route.Path, "{resource_operation_id}") {
				for what, ids := range map[string][2]uuid.UUID{
					"mine, their connection": {connOther, mine}, "mine, my other connection": {connTwo, mine},
					"theirs, my connection": {connOne, theirs}, "smuggled": {connOne, smuggled},
					"nobody's, my connection": {connOne, uuid.New()}, "nobody's, their connection": {connOther, uuid.New()},
				} {
					hidden(what, call(t, route, ids[0], userOne, ids[1], ""))
				}
			}
			if (strings.Contains(route.Path, "{user_id}") || route.OperationID == "update_users_batch") && hasBody(t, route) {
				for what, ids := range map[string][2]uuid.UUID{
					"my user, their connection": {connOther, userOne}, "their user, my connection": {connOne, userOther},
				} {
					hidden(what, call(t, route, ids[0], ids[1], mine, ""))
				}
			}
			require.Equal(t, untouched, api.memory.all(), "nothing may have been accepted or changed")
			if strings.Contains(route.Path, "{resource_operation_id}") {
				api.memory.fault = &operation.Error{Code: operation.CodeUnavailable, Message: "the store is away"}
				hidden("theirs, while the store is away", call(t, route, connOther, userOther, theirs, ""))
				hidden("nobody's, while the store is away", call(t, route, uuid.New(), userOther, theirs, ""))
				api.memory.fault = nil
			}
			require.Less(t, api.ask(route, call(t, route, connOther, userOther, theirs, token(partnerTwo))).status, 300)
		})
	}
	require.GreaterOrEqual(t, matrix, 15)
}

// headers are those of an answer that do not belong to this one request.
func (r response) headers() http.Header {
	h := r.header.Clone()
	for _, name := range []string{"Date", "X-Request-Id", wire.HeaderTraceID, "Ratelimit"} {
		h.Del(name)
	}
	return h
}

// TestGetOperation_OfADeletedConnection: its history stays readable, for its partner.
func TestGetOperation_OfADeletedConnection(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	op := api.seed(partnerOne, connDeleted)
	path := connectionsPath + connDeleted.String() + "/resource-operations/" + op.String()
	require.Equal(t, 200, api.get(path).status)
	require.Equal(t, 404, api.send(request{path: path, token: token(partnerTwo)}).status)
}

// TestLists_TenantMatrix lists everything as each partner: nothing is in both.
func TestLists_TenantMatrix(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Now: fixed})
	mine, theirs := api.seed(partnerOne, connOne), api.seed(partnerTwo, connOther)
	for path, own := range map[string][2]string{
		"/v2/telematics/users":         {userOne.String(), userOther.String()},
		"/v2/integrations/connections": {connOne.String(), connOther.String()},
		operationsPath:                 {mine.String(), theirs.String()},
		webhooksPath:                   {connOne.String(), connOther.String()},
	} {
		one := api.send(request{path: path, token: token(partnerOne)}).ids(t)
		two := api.send(request{path: path, token: token(partnerTwo)}).ids(t)
		require.Contains(t, one, own[0], path)
		require.NotContains(t, one, own[1], path)
		require.Equal(t, []string{own[1]}, two, path)
	}
	for _, path := range []string{
		"/v2/telematics/users?connection_id=" + connOther.String(),
		"/v2/telematics/users?user_ids=" + userOther.String(),
		operationsPath + "?connection_id=" + connOther.String(),
	} {
		require.Empty(t, api.get(path).ids(t), path)
	}
}

func TestAuth_Challenges(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, row := range []struct {
		what      string
		values    []string
		status    int
		challenge string
	}{
		{"none", nil, 401, "Bearer"},
		{"basic", []string{"Basic abc"}, 401, "Bearer"},
		{"no token", []string{"Bearer"}, 401, "Bearer"},
		{"empty token", []string{"Bearer  "}, 401, "Bearer"},
		{"two headers", []string{"Bearer " + token(partnerOne), "Bearer x"}, 401, "Bearer"},
		{"bad", []string{"Bearer bad"}, 401, `Bearer error="invalid_token"`},
		{"expired", []string{"Bearer expired"}, 401, `Bearer error="invalid_token"`},
		{"keys unknown", []string{"Bearer down"}, 503, ""},
		{"lower case", []string{"bearer " + token(partnerOne)}, 200, ""},
	} {
		got := api.send(request{path: "/v2/telematics/users", header: http.Header{"Authorization": row.values}})
		require.Equal(t, row.status, got.status, row.what)
		require.Equal(t, row.challenge, got.header.Get("WWW-Authenticate"), row.what)
		if row.status == 503 {
			require.Equal(t, "1", got.header.Get("Retry-After"))
			require.EqualValues(t, 503, got.body["code"])
		}
		if row.what == "bad" {
			require.Equal(t, "the token is not valid", got.body["detail"])
			require.Eventually(t, func() bool { return strings.Contains(api.log.String(), `"cause":"auth: invalid token"`) },
				5*time.Second, time.Millisecond, "an operator has to know what to correct")
		}
	}
}
