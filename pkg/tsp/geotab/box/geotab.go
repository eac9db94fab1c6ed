// Package box is what the provider sandbox has of this provider: it speaks the part of the MyGeotab API that concerns users.
// For development and tests only.
package box

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// Name of the provider.
const Name = "geotab"

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

// Defaults of Config.
const (
	DefaultAuthPerMinute = 10
	DefaultSessionLife   = 14 * 24 * time.Hour
	DefaultPlainGet      = 5000
)

// Config of the wire. The zero value is usable.
type Config struct {
	// AuthPerMinute is the login limit of a user and database. Zero:
	// DefaultAuthPerMinute; negative: not limited.
	AuthPerMinute int
	// CallsPerMinute limits each other method and entity of a user and database. Zero:
	// announced in the headers, not enforced.
	CallsPerMinute int
	// SessionLife is how long a session lives. Zero: DefaultSessionLife.
	SessionLife time.Duration
	// Path is the server that a login names. Empty: "ThisServer".
	Path string
	// PlainGet is where a list without resultsLimit is cut, without a sign. Zero:
	// DefaultPlainGet.
	PlainGet int
}

// Part is the provider.
func Part(cfg Config) sandbox.Part {
	cfg.AuthPerMinute = cmp.Or(cfg.AuthPerMinute, DefaultAuthPerMinute)
	cfg.SessionLife = cmp.Or(cfg.SessionLife, DefaultSessionLife)
	cfg.Path = cmp.Or(cfg.Path, "ThisServer")
	cfg.PlainGet = cmp.Or(cfg.PlainGet, DefaultPlainGet)
	return sandbox.Part{
		Name: Name,
		Make: func(accounts []*sandbox.Account, now func() time.Time) sandbox.Wire {
			return newGeotab(accounts, cfg, now)
		},
		Record: geotabRecord, Claims: geotabClaims,
		Connections: []sandbox.Connection{{
			Digit: 3, SourceID: UserID,
			Credentials: map[string]string{
				"database": "sandbox_c3", "username": "service@northwind.example", "password": "sandbox-geotab-c3",
			},
		}},
	}
}

// UserID is the entity id of user n: "b1" for the first, "b6" for user 5.
func UserID(n int) string { return fmt.Sprintf("b%X", n+1) }

// geotab speaks the part of the MyGeotab API that concerns users.
type geotab struct {
	cfg       Config
	now       func() time.Time
	databases map[string]*sandbox.Account
	sessions  *sessionList
	limits    *sandbox.Limiter
	fields    map[string]geotabField
	zones     sandbox.Zones
}

func newGeotab(accounts []*sandbox.Account, cfg Config, now func() time.Time) *geotab {
	return &geotab{
		cfg: cfg, now: now, databases: sandbox.AccountsBy("database", accounts), fields: geotabFields(),
		sessions: newSessionList(cfg.SessionLife, now), limits: sandbox.NewLimiter(now),
	}
}

// rpcCall is a request body. The members id and jsonrpc change nothing.
type rpcCall struct {
	Method string
	Params map[string]any
}

// login is who calls.
type login struct{ database, userName, sessionID, password string }

func (g *geotab) Accept(x *sandbox.Exchange) sandbox.Action {
	if x.Path != "/apiv1" && x.Path != "/apiv1/" {
		return func() sandbox.Answer { return htmlAnswer(http.StatusNotFound) }
	}
	if x.Request.Method != http.MethodPost {
		return func() sandbox.Answer { return htmlAnswer(http.StatusMethodNotAllowed) }
	}
	call, failure := g.decode(x)
	if failure != nil {
		return func() sandbox.Answer { return g.announce(*failure, 0, 0) }
	}
	x.Name = strings.TrimSpace(call.Method + " " + sandbox.Text(call.Params, "typeName"))
	switch call.Method {
	case "Authenticate":
		x.Class = sandbox.ClassLogin
		who := loginOf(call.Params)
		x.Account = g.databases[who.database]
		return func() sandbox.Answer { return g.authenticate(x, call.Params, who) }
	case "ExtendSession":
		who := loginOf(call.Params)
		x.Account = g.sessions.account(who)
		return func() sandbox.Answer { return g.extend(call.Params, who) }
	}
	credentials, _ := call.Params["credentials"].(map[string]any)
	who := loginOf(credentials)
	x.Account = g.sessions.account(who)
	x.Class = geotabClass(call.Method)
	x.UserRef = geotabTarget(call.Params)
	if x.Account != nil {
		x.User = x.Account.Find(x.UserRef)
	}
	return func() sandbox.Answer { return g.data(x, call, credentials, who) }
}

// decode reads the call strictly.
func (g *geotab) decode(x *sandbox.Exchange) (call rpcCall, failure *sandbox.Answer) {
	refuse := func(kind, message string) (rpcCall, *sandbox.Answer) {
		a := geotabFailure(kind, message)
		return rpcCall{}, &a
	}
	if !x.IsJSON() {
		return refuse(excJSON, "The content type must be application/json")
	}
	var members map[string]any
	if err := sandbox.DecodeJSON(x.Body, &members); err != nil {
		return refuse(excJSON, "The request could not be read as JSON")
	}
	if key := sandbox.StrangeKey(members, "method", "params", "id", "jsonrpc"); key != "" {
		return refuse(excArgument, fmt.Sprintf("Unknown member %q", key))
	}
	call.Method = sandbox.Text(members, "method")
	call.Params, _ = members["params"].(map[string]any)
	if call.Method == "" || call.Params == nil {
		return refuse(excArgumentNull, "method and params are required")
	}
	return call, nil
}

func loginOf(m map[string]any) login {
	return login{
		database: sandbox.Text(m, "database"), userName: sandbox.Text(m, "userName"),
		sessionID: sandbox.Text(m, "sessionId"), password: sandbox.Text(m, "password"),
	}
}

func geotabClass(method string) sandbox.Class {
	switch method {
	case "Set", "Add":
		return sandbox.ClassWrite
	case "Get", "GetCountOf":
		return sandbox.ClassRead
	default:
		return sandbox.ClassNone
	}
}

// geotabTarget is the id of the user that a call is about, or "".
func geotabTarget(params map[string]any) string {
	entity, _ := params["entity"].(map[string]any)
	if params["typeName"] == "UserHosRuleSet" {
		entity, _ = entity["user"].(map[string]any)
	}
	if id := sandbox.Text(entity, "id"); id != "" {
		return id
	}
	search, _ := params["search"].(map[string]any)
	return sandbox.Text(search, "id")
}

func (g *geotab) authenticate(x *sandbox.Exchange, params map[string]any, who login) sandbox.Answer {
	if key := sandbox.StrangeKey(params, "database", "userName", "password"); key != "" {
		return g.announce(geotabFailure(excArgument, fmt.Sprintf("Unknown parameter %q", key)), 0, 0)
	}
	limit := g.cfg.AuthPerMinute
	left, wait := g.limits.Take("Authenticate\x00"+who.userName+"\x00"+who.database, limit)
	if wait > 0 {
		return g.overLimit(limit, wait)
	}
	var a sandbox.Answer
	switch {
	case x.Account == nil:
		a = geotabFailure(excDBUnavailable, "UnknownDatabase: the database was not found")
	case who.userName != x.Account.Credentials["username"] || who.password != x.Account.Credentials["password"]:
		a = geotabFailure(excInvalidUser, "Incorrect login credentials")
	default:
		a = geotabResult(map[string]any{
			"path": g.cfg.Path,
			"credentials": map[string]string{
				"database": who.database, "userName": who.userName, "sessionId": g.sessions.start(x.Account, who),
			},
		})
	}
	return g.announce(a, left, time.Minute)
}

func (g *geotab) extend(params map[string]any, who login) sandbox.Answer {
	if key := sandbox.StrangeKey(params, "database", "userName", "sessionId"); key != "" {
		return g.announce(geotabFailure(excArgument, fmt.Sprintf("Unknown parameter %q", key)), 0, 0)
	}
	if !g.sessions.extend(who) {
		return g.announce(geotabFailure(excInvalidUser, "Incorrect login credentials"), 0, 0)
	}
	return g.announce(geotabResult(nil), 0, 0)
}

// data is every call that needs a session.
func (g *geotab) data(x *sandbox.Exchange, call rpcCall, credentials map[string]any, who login) sandbox.Answer {
	if x.Account == nil {
		return g.announce(geotabFailure(excInvalidUser, "Incorrect login credentials"), 0, 0)
	}
	if key := sandbox.StrangeKey(credentials, "database", "userName", "sessionId"); key != "" {
		return g.announce(geotabFailure(excArgument, fmt.Sprintf("Unknown member %q of credentials", key)), 0, 0)
	}
	limit := g.cfg.CallsPerMinute
	key := strings.Join([]string{call.Method, sandbox.Text(call.Params, "typeName"), who.userName, who.database}, "\x00")
	left, wait := g.limits.Take(key, limit)
	if wait > 0 {
		return g.overLimit(limit, wait)
	}
	return g.announce(g.run(x, call), left, time.Minute)
}

func (g *geotab) run(x *sandbox.Exchange, call rpcCall) sandbox.Answer {
	kind := sandbox.Text(call.Params, "typeName")
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

func (g *geotab) Exceptions() []string { return geotabExceptions }

func (g *geotab) Exception(name string) sandbox.Answer {
	return geotabFailure(name, "ordered by a fault")
}

func (g *geotab) End(connection string) { g.sessions.end(connection) }

func geotabResult(v any) sandbox.Answer {
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{"result": v, "jsonrpc": "2.0"})
}

func geotabFailure(kind, message string) sandbox.Answer {
	code := -32000
	if kind == excJSON {
		code = -32700
	}
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{
		"error": map[string]any{
			"message": message, "code": code, "name": "JSONRPCError",
			"data":   map[string]any{"id": "00000000-0000-0000-0000-000000000000", "type": kind, "requestIndex": 0},
			"errors": []any{map[string]any{"message": message, "name": kind}},
		},
		"jsonrpc": "2.0", "requestIndex": 0,
	})
}

// announce adds the headers that Geotab sends with every answer.
func (g *geotab) announce(a sandbox.Answer, left int, reset time.Duration) sandbox.Answer {
	return a.With("X-Rate-Limit-Limit", "1m").
		With("X-Rate-Limit-Remaining", fmt.Sprint(left)).
		With("X-Rate-Limit-Reset", g.now().Add(reset).UTC().Format(time.RFC3339))
}

func (g *geotab) overLimit(limit int, wait time.Duration) sandbox.Answer {
	seconds := int((wait + time.Second - 1) / time.Second)
	message := fmt.Sprintf("API calls quota exceeded. Maximum admitted %d per 1m.", limit)
	return g.announce(geotabFailure(excOverLimit, message), 0, wait).With("Retry-After", fmt.Sprint(seconds))
}

func (g *geotab) Refusal(_ *sandbox.Exchange, status int) sandbox.Answer {
	if status == http.StatusOK {
		return g.announce(geotabResult(nil), 0, 0)
	}
	return htmlAnswer(status)
}

// htmlAnswer is what comes from the infrastructure before Geotab's own server.
func htmlAnswer(status int) sandbox.Answer {
	page := fmt.Sprintf("<html><head><title>%[1]d %[2]s</title></head><body><h1>%[2]s</h1></body></html>\n", status, http.StatusText(status))
	return sandbox.Answer{Status: status, Body: []byte(page), Header: map[string]string{"Content-Type": "text/html; charset=utf-8"}}
}
