package sandbox

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Exceptions that Geotab answers inside HTTP 200.
const (
	excInvalidUser   = "InvalidUserException"
	excOverLimit     = "OverLimitException"
	excDBUnavailable = "DbUnavailableException"
	excArgument      = "ArgumentException"
	excArgumentNull  = "ArgumentNullException"
	excJSON          = "JsonSerializerException"
	excDuplicate     = "DuplicateException"
	excRelation      = "RelationViolatedException"
	excMissingMethod = "MissingMethodException"
	excPermissions   = "InvalidPermissionsException"
	excSecurity      = "SecurityException"
	excGeneric       = "GenericException"
)

var geotabExceptions = []string{
	excInvalidUser, excOverLimit, excDBUnavailable, excArgument, excArgumentNull, excJSON, excDuplicate,
	excRelation, excMissingMethod, excPermissions, excSecurity, excGeneric,
}

// geotab speaks the part of the MyGeotab API that concerns users.
type geotab struct {
	cfg       Config
	databases map[string]*account
	sessions  *sessionList
	limits    *limiter
	fields    map[string]geotabField
	zones     zones
}

func newGeotab(accounts []*account, cfg Config) *geotab {
	g := &geotab{
		cfg: cfg, databases: make(map[string]*account), fields: geotabFields(),
		sessions: newSessionList(cfg.GeotabSessionLife, cfg.Now), limits: newLimiter(cfg.Now),
	}
	for _, a := range accounts {
		if a.provider != Geotab {
			continue
		}
		db := a.credentials["database"]
		if db == "" || g.databases[db] != nil {
			panic("sandbox: the database of connection " + a.connection + " is empty or not unique")
		}
		g.databases[db] = a
	}
	return g
}

// rpcCall is a request body. The members id and jsonrpc change nothing.
type rpcCall struct {
	Method string
	Params map[string]any
}

// login is who calls.
type login struct{ database, userName, sessionID, password string }

func (g *geotab) accept(x *exchange) action {
	if x.path != "/apiv1" && x.path != "/apiv1/" {
		return func() answer { return htmlAnswer(http.StatusNotFound) }
	}
	if x.r.Method != http.MethodPost {
		return func() answer { return htmlAnswer(http.StatusMethodNotAllowed) }
	}
	call, failure := g.decode(x)
	if failure != nil {
		return func() answer { return g.announce(*failure, 0, 0) }
	}
	x.name = strings.TrimSpace(call.Method + " " + text(call.Params, "typeName"))
	switch call.Method {
	case "Authenticate":
		x.class = classLogin
		who := loginOf(call.Params)
		x.account = g.databases[who.database]
		return func() answer { return g.authenticate(x, call.Params, who) }
	case "ExtendSession":
		who := loginOf(call.Params)
		x.account = g.sessions.account(who)
		return func() answer { return g.extend(call.Params, who) }
	}
	credentials, _ := call.Params["credentials"].(map[string]any)
	who := loginOf(credentials)
	x.account = g.sessions.account(who)
	x.class = geotabClass(call.Method)
	x.userRef = geotabTarget(call.Params)
	if x.account != nil {
		x.user = x.account.find(x.userRef)
	}
	return func() answer { return g.data(x, call, credentials, who) }
}

// decode reads the call strictly.
func (g *geotab) decode(x *exchange) (call rpcCall, failure *answer) {
	refuse := func(kind, message string) (rpcCall, *answer) {
		a := geotabFailure(kind, message)
		return rpcCall{}, &a
	}
	if !x.isJSON() {
		return refuse(excJSON, "The content type must be application/json")
	}
	var members map[string]any
	if err := decodeJSON(x.body, &members); err != nil {
		return refuse(excJSON, "The request could not be read as JSON")
	}
	if key := unknownKey(members, "method", "params", "id", "jsonrpc"); key != "" {
		return refuse(excArgument, fmt.Sprintf("Unknown member %q", key))
	}
	call.Method = text(members, "method")
	call.Params, _ = members["params"].(map[string]any)
	if call.Method == "" || call.Params == nil {
		return refuse(excArgumentNull, "method and params are required")
	}
	return call, nil
}

func loginOf(m map[string]any) login {
	return login{
		database: text(m, "database"), userName: text(m, "userName"),
		sessionID: text(m, "sessionId"), password: text(m, "password"),
	}
}

func geotabClass(method string) class {
	switch method {
	case "Set", "Add":
		return classWrite
	case "Get", "GetCountOf":
		return classRead
	default:
		return classNone
	}
}

// geotabTarget is the id of the user that a call is about, or "".
func geotabTarget(params map[string]any) string {
	entity, _ := params["entity"].(map[string]any)
	if params["typeName"] == "UserHosRuleSet" {
		entity, _ = entity["user"].(map[string]any)
	}
	if id := text(entity, "id"); id != "" {
		return id
	}
	search, _ := params["search"].(map[string]any)
	return text(search, "id")
}

func (g *geotab) authenticate(x *exchange, params map[string]any, who login) answer {
	if key := unknownKey(params, "database", "userName", "password"); key != "" {
		return g.announce(geotabFailure(excArgument, fmt.Sprintf("Unknown parameter %q", key)), 0, 0)
	}
	limit := g.cfg.GeotabAuthPerMinute
	left, wait := g.limits.take("Authenticate\x00"+who.userName+"\x00"+who.database, limit)
	if wait > 0 {
		return g.overLimit(limit, wait)
	}
	var a answer
	switch {
	case x.account == nil:
		a = geotabFailure(excDBUnavailable, "UnknownDatabase: the database was not found")
	case who.userName != x.account.credentials["username"] || who.password != x.account.credentials["password"]:
		a = geotabFailure(excInvalidUser, "Incorrect login credentials")
	default:
		a = geotabResult(map[string]any{
			"path": g.cfg.GeotabPath,
			"credentials": map[string]string{
				"database": who.database, "userName": who.userName, "sessionId": g.sessions.start(x.account, who),
			},
		})
	}
	return g.announce(a, left, time.Minute)
}

func (g *geotab) extend(params map[string]any, who login) answer {
	if key := unknownKey(params, "database", "userName", "sessionId"); key != "" {
		return g.announce(geotabFailure(excArgument, fmt.Sprintf("Unknown parameter %q", key)), 0, 0)
	}
	if !g.sessions.extend(who) {
		return g.announce(geotabFailure(excInvalidUser, "Incorrect login credentials"), 0, 0)
	}
	return g.announce(geotabResult(nil), 0, 0)
}

// data is every call that needs a session.
func (g *geotab) data(x *exchange, call rpcCall, credentials map[string]any, who login) answer {
	if x.account == nil {
		return g.announce(geotabFailure(excInvalidUser, "Incorrect login credentials"), 0, 0)
	}
	if key := unknownKey(credentials, "database", "userName", "sessionId"); key != "" {
		return g.announce(geotabFailure(excArgument, fmt.Sprintf("Unknown member %q of credentials", key)), 0, 0)
	}
	limit := g.cfg.GeotabCallsPerMinute
	key := strings.Join([]string{call.Method, text(call.Params, "typeName"), who.userName, who.database}, "\x00")
	left, wait := g.limits.take(key, limit)
	if wait > 0 {
		return g.overLimit(limit, wait)
	}
	return g.announce(g.run(x, call), left, time.Minute)
}

func (g *geotab) run(x *exchange, call rpcCall) answer {
	kind := text(call.Params, "typeName")
	switch call.Method + " " + kind {
	case "Get User", "Get Driver":
		return g.get(x, call.Params)
	case "GetCountOf User":
		return g.count(x, call.Params)
	case "Set User":
		return g.set(x, call.Params)
	case "Add User":
		return g.add(x, call.Params)
	case "Add UserHosRuleSet":
		return g.addRuleset(x, call.Params)
	case "Remove User":
		return geotabFailure(excPermissions, "The user may not remove users")
	}
	switch call.Method {
	case "Get", "GetCountOf", "Set", "Add", "Remove":
		return geotabFailure(excArgument, "typeName is not known")
	default:
		return geotabFailure(excMissingMethod, "The method could not be found")
	}
}

// unknownKey gives the first key that is not in the list, or "".
func unknownKey(m map[string]any, known ...string) string {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known, key) {
			return key
		}
	}
	return ""
}

func geotabResult(v any) answer {
	return jsonAnswer(http.StatusOK, map[string]any{"result": v, "jsonrpc": "2.0"})
}

func geotabFailure(kind, message string) answer {
	code := -32000
	if kind == excJSON {
		code = -32700
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"error": map[string]any{
			"message": message, "code": code, "name": "JSONRPCError",
			"data":   map[string]any{"id": "00000000-0000-0000-0000-000000000000", "type": kind, "requestIndex": 0},
			"errors": []any{map[string]any{"message": message, "name": kind}},
		},
		"jsonrpc": "2.0", "requestIndex": 0,
	})
}

// announce adds the headers that Geotab sends with every answer.
func (g *geotab) announce(a answer, left int, reset time.Duration) answer {
	return a.with("X-Rate-Limit-Limit", "1m").
		with("X-Rate-Limit-Remaining", fmt.Sprint(left)).
		with("X-Rate-Limit-Reset", g.cfg.Now().Add(reset).UTC().Format(time.RFC3339))
}

func (g *geotab) overLimit(limit int, wait time.Duration) answer {
	seconds := int((wait + time.Second - 1) / time.Second)
	message := fmt.Sprintf("API calls quota exceeded. Maximum admitted %d per 1m.", limit)
	return g.announce(geotabFailure(excOverLimit, message), 0, wait).with("Retry-After", fmt.Sprint(seconds))
}

func (g *geotab) refusal(_ *exchange, status int) answer {
	if status == http.StatusOK {
		return g.announce(geotabResult(nil), 0, 0)
	}
	return htmlAnswer(status)
}

// htmlAnswer is what comes from the infrastructure before Geotab's own server.
func htmlAnswer(status int) answer {
	page := fmt.Sprintf("<html><head><title>%[1]d %[2]s</title></head><body><h1>%[2]s</h1></body></html>\n", status, http.StatusText(status))
	return answer{status: status, body: []byte(page), header: map[string]string{"Content-Type": "text/html; charset=utf-8"}}
}
