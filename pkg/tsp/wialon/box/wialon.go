// Package box is what the provider sandbox has of this provider: it speaks the driver services of Wialon's remote API.
// For development and tests only.
package box

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"writeback/internal/sandbox"
)

// Name is the provider's name.
const Name = "wialon"

const (
	wialonResource = 600123
	wialonSession  = 5 * time.Minute
)

// wialon speaks the driver services of the remote API.
type wialon struct {
	tokens map[string]*sandbox.Account
	now    func() time.Time

	mu       sync.Mutex
	sessions map[string]*wialonLogin
}

type wialonLogin struct {
	account *sandbox.Account
	used    time.Time
}

// Part is the provider.
func Part() sandbox.Part {
	return sandbox.Part{
		Name: Name,
		Make: func(accounts []*sandbox.Account, now func() time.Time) sandbox.Wire {
			return &wialon{tokens: sandbox.AccountsBy("token", accounts), now: now, sessions: map[string]*wialonLogin{}}
		},
		Record: wialonRecord,
		Claims: func(fields map[string]any) []string { return sandbox.ClaimOf(nil, "c", fields["c"]) },
		Connections: []sandbox.Connection{{
			Digit: 6, SourceID: UserID,
			Credentials: map[string]string{"token": strings.Repeat("c6", 36)},
			Settings:    map[string]string{"resource_id": fmt.Sprint(wialonResource), "license_number_field": "CDL"},
		}},
	}
}

// UserID is resource and driver id of user n, for example "600123:6".
func UserID(n int) string { return fmt.Sprintf("%d:%d", wialonResource, n+1) }

func wialonRecord(p sandbox.SeedUser, _ time.Time) map[string]any {
	return map[string]any{
		"id": wialonDriver(p.SourceID), "n": strings.TrimSpace(p.FirstName + " " + p.LastName), "c": p.EmployeeNumber, "p": "+1" + p.Phone,
		"ds": "", "pwd": "", "ck": json.Number("0"), "r": json.Number("1"), "f": json.Number("1"),
		"jp": map[string]any{"CDL": p.LicenseNumber, "Depot": "North"}, "ej": map[string]any{},
		"bu": json.Number("0"), "pu": json.Number("0"), "bt": json.Number("0"), "bs": json.Number("0"),
		"pos": map[string]any{"x": json.Number("0"), "y": json.Number("0")},
	}
}

func wialonDriver(sourceID string) json.Number {
	_, id, _ := strings.Cut(sourceID, ":")
	return json.Number(id)
}

func (s *wialon) Accept(x *sandbox.Exchange) sandbox.Action {
	fail := func(code int) sandbox.Action { return func() sandbox.Answer { return s.fail(code) } }
	q, err := sandbox.Params(x.Request, "svc", "sid")
	if x.Path != "/wialon/ajax.html" || err != nil {
		return func() sandbox.Answer { return sandbox.TextAnswer(http.StatusNotFound, "not found") }
	}
	form, err := url.ParseQuery(string(x.Body))
	if x.Request.Method != http.MethodPost || err != nil || x.Request.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return fail(4)
	}
	var given map[string]any
	if sandbox.DecodeJSON([]byte(form.Get("params")), &given) != nil || given == nil {
		return fail(4)
	}
	x.Name = q.Get("svc")
	if x.Name == "token/login" {
		x.Class = sandbox.ClassLogin
		token, _ := given["token"].(string)
		x.Account = s.tokens[token]
		return func() sandbox.Answer { return s.login(x) }
	}
	x.Account = s.session(q.Get("sid"))
	services := map[string]struct {
		class sandbox.Class
		do    func(*sandbox.Exchange, map[string]any) sandbox.Answer
	}{
		"core/search_item": {sandbox.ClassRead, s.one}, "core/search_items": {sandbox.ClassRead, s.all}, "resource/update_driver": {sandbox.ClassWrite, s.write},
	}
	service, ok := services[x.Name]
	if !ok {
		return fail(2)
	}
	x.Class = service.class
	if x.Class == sandbox.ClassWrite {
		x.UserRef = fmt.Sprintf("%v:%v", given["itemId"], given["id"])
	}
	if x.Account == nil {
		return fail(1)
	}
	x.User = x.Account.Find(x.UserRef)
	return func() sandbox.Answer { return service.do(x, given) }
}

func (s *wialon) fail(code int) sandbox.Answer {
	return sandbox.JSONAnswer(http.StatusOK, map[string]int{"error": code})
}

func (s *wialon) Refusal(_ *sandbox.Exchange, status int) sandbox.Answer {
	if status < 300 {
		return sandbox.JSONAnswer(status, map[string]any{})
	}
	return sandbox.TextAnswer(status, strings.ToLower(http.StatusText(status)))
}

func (s *wialon) login(x *sandbox.Exchange) sandbox.Answer {
	if x.Account == nil {
		return s.fail(8)
	}
	id := strings.ToLower(rand.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[id] = &wialonLogin{account: x.Account, used: s.now()}
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{"eid": id, "host": "127.0.0.1", "tm": s.now().Unix(), "user": map[string]any{"nm": "northwind"}})
}

// session gives whose session it is, and lets it live on.
func (s *wialon) session(sid string) *sandbox.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.sessions[sid]
	if l == nil || s.now().Sub(l.used) > wialonSession {
		delete(s.sessions, sid)
		return nil
	}
	l.used = s.now()
	return l.account
}

func (s *wialon) End(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sessions, func(_ string, l *wialonLogin) bool { return connection == "" || l.account.Connection == connection })
}

func (s *wialon) resource(a *sandbox.Account, flags any) map[string]any {
	item := map[string]any{"id": wialonResource, "nm": "Northwind Freight"}
	if n, _ := flags.(json.Number); n == "257" || n == "256" {
		drivers := map[string]any{}
		for _, u := range a.List() {
			drivers[wialonDriver(u.SourceID).String()] = u.Snapshot()
		}
		item["drvrs"] = drivers
	}
	return item
}

func (s *wialon) one(x *sandbox.Exchange, given map[string]any) sandbox.Answer {
	if given["id"] != json.Number(fmt.Sprint(wialonResource)) {
		return s.fail(7)
	}
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{"item": s.resource(x.Account, given["flags"]), "flags": given["flags"]})
}

func (s *wialon) all(x *sandbox.Exchange, given map[string]any) sandbox.Answer {
	spec, _ := given["spec"].(map[string]any)
	if sandbox.Text(spec, "itemsType") != "avl_resource" || sandbox.Text(spec, "propName") != "drivers" || given["to"] != json.Number("0") {
		return s.fail(4)
	}
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{"totalItemsCount": 1, "items": []any{s.resource(x.Account, given["flags"])}})
}

// write replaces a driver: what is left out is lost.
func (s *wialon) write(x *sandbox.Exchange, given map[string]any) sandbox.Answer {
	next := map[string]any{
		"ck": json.Number("0"), "r": json.Number("1"), "f": json.Number("0"), "jp": map[string]any{}, "ej": map[string]any{},
		"bu": json.Number("0"), "pu": json.Number("0"), "bt": json.Number("0"), "bs": json.Number("0"),
		"pos": map[string]any{"x": json.Number("0"), "y": json.Number("0")},
	}
	for _, key := range []string{"n", "c", "p", "ds", "pwd"} {
		v, ok := given[key].(string)
		if !ok {
			return s.fail(4)
		}
		next[key] = v
	}
	for _, key := range []string{"jp", "ej"} {
		if v, sent := given[key]; sent {
			if _, ok := v.(map[string]any); !ok {
				return s.fail(4)
			}
			next[key] = v
		}
	}
	for key, v := range given {
		switch key {
		case "ck", "r", "f":
			next[key] = v
		case "n", "c", "p", "ds", "pwd", "jp", "ej", "itemId", "id", "callMode":
		default:
			x.Ignore(key)
		}
	}
	if given["itemId"] != json.Number(fmt.Sprint(wialonResource)) {
		return s.fail(7)
	}
	if sandbox.Text(next, "n") == "" {
		return s.fail(4)
	}
	switch given["callMode"] {
	case "create":
		return s.create(x, given, next)
	case "update":
		return s.replace(x, next)
	}
	return s.fail(4) // delete and reset_image are not for Writeback
}

func (s *wialon) create(x *sandbox.Exchange, given, next map[string]any) sandbox.Answer {
	if given["id"] != json.Number("0") {
		return s.fail(4)
	}
	u := &sandbox.User{Fields: next, Applied: 1}
	u.Lock()
	defer u.Unlock()
	conflict := x.Account.Add(u, sandbox.ClaimOf(nil, "c", next["c"]), func(n int) string {
		id := UserID(100_000 + n)
		next["id"] = wialonDriver(id)
		return id
	})
	if conflict != "" {
		return s.fail(1002)
	}
	x.Applied = 1
	return sandbox.JSONAnswer(http.StatusOK, []any{next["id"], next})
}

func (s *wialon) replace(x *sandbox.Exchange, next map[string]any) sandbox.Answer {
	u := x.User
	if u == nil {
		return s.fail(4)
	}
	u.Lock()
	defer u.Unlock()
	next["id"] = wialonDriver(u.SourceID)
	if x.Account.Claim(u, sandbox.ClaimOf(nil, "c", next["c"])) != "" {
		return s.fail(1002)
	}
	x.ApplyTo(u, next)
	return sandbox.JSONAnswer(http.StatusOK, []any{next["id"], next})
}
