package sandbox

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
)

// Wialon is the provider's name.
const Wialon = "wialon"

const (
	wialonResource = 600123
	wialonSession  = 5 * time.Minute
)

// wialon speaks the driver services of the remote API.
type wialon struct {
	tokens map[string]*account
	now    func() time.Time

	mu       sync.Mutex
	sessions map[string]*wialonLogin
}

type wialonLogin struct {
	account *account
	used    time.Time
}

func wialonPart() part {
	return part{
		name: Wialon,
		make: func(accounts []*account, cfg Config) wire {
			return &wialon{tokens: accountsBy(Wialon, "token", accounts), now: cfg.Now, sessions: map[string]*wialonLogin{}}
		},
		record:      wialonRecord,
		claims:      func(fields map[string]any) []string { return claimOf(nil, "c", fields["c"]) },
		digit:       6,
		credentials: map[string]string{"token": strings.Repeat("c6", 36)},
		settings:    map[string]string{"resource_id": fmt.Sprint(wialonResource), "license_number_field": "CDL"},
		sourceID:    WialonUserID,
	}
}

// WialonUserID is resource and driver id of user n, for example "600123:6".
func WialonUserID(n int) string { return fmt.Sprintf("%d:%d", wialonResource, n+1) }

func wialonRecord(p SeedUser, _ time.Time) map[string]any {
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

func (s *wialon) accept(x *exchange) action {
	fail := func(code int) action { return func() answer { return s.fail(code) } }
	q, err := params(x.r, "svc", "sid")
	if x.path != "/wialon/ajax.html" || err != nil {
		return func() answer { return textAnswer(http.StatusNotFound, "not found") }
	}
	form, err := url.ParseQuery(string(x.body))
	if x.r.Method != http.MethodPost || err != nil || x.r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return fail(4)
	}
	var given map[string]any
	if decodeJSON([]byte(form.Get("params")), &given) != nil || given == nil {
		return fail(4)
	}
	x.name = q.Get("svc")
	if x.name == "token/login" {
		x.class = classLogin
		token, _ := given["token"].(string)
		x.account = s.tokens[token]
		return func() answer { return s.login(x) }
	}
	x.account = s.session(q.Get("sid"))
	services := map[string]struct {
		class class
		do    func(*exchange, map[string]any) answer
	}{
		"core/search_item": {classRead, s.one}, "core/search_items": {classRead, s.all}, "resource/update_driver": {classWrite, s.write},
	}
	service, ok := services[x.name]
	if !ok {
		return fail(2)
	}
	x.class = service.class
	if x.class == classWrite {
		x.userRef = fmt.Sprintf("%v:%v", given["itemId"], given["id"])
	}
	if x.account == nil {
		return fail(1)
	}
	x.user = x.account.find(x.userRef)
	return func() answer { return service.do(x, given) }
}

func (s *wialon) fail(code int) answer {
	return jsonAnswer(http.StatusOK, map[string]int{"error": code})
}

func (s *wialon) refusal(_ *exchange, status int) answer {
	if status < 300 {
		return jsonAnswer(status, map[string]any{})
	}
	return textAnswer(status, strings.ToLower(http.StatusText(status)))
}

func (s *wialon) login(x *exchange) answer {
	if x.account == nil {
		return s.fail(8)
	}
	id := strings.ToLower(rand.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[id] = &wialonLogin{account: x.account, used: s.now()}
	return jsonAnswer(http.StatusOK, map[string]any{"eid": id, "host": "127.0.0.1", "tm": s.now().Unix(), "user": map[string]any{"nm": "northwind"}})
}

// session gives whose session it is, and lets it live on.
func (s *wialon) session(sid string) *account {
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

func (s *wialon) end(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sessions, func(_ string, l *wialonLogin) bool { return connection == "" || l.account.connection == connection })
}

func (s *wialon) resource(a *account, flags any) map[string]any {
	item := map[string]any{"id": wialonResource, "nm": "Northwind Freight"}
	if n, _ := flags.(json.Number); n == "257" || n == "256" {
		drivers := map[string]any{}
		for _, u := range a.list() {
			drivers[wialonDriver(u.sourceID).String()] = u.snapshot()
		}
		item["drvrs"] = drivers
	}
	return item
}

func (s *wialon) one(x *exchange, given map[string]any) answer {
	if given["id"] != json.Number(fmt.Sprint(wialonResource)) {
		return s.fail(7)
	}
	return jsonAnswer(http.StatusOK, map[string]any{"item": s.resource(x.account, given["flags"]), "flags": given["flags"]})
}

func (s *wialon) all(x *exchange, given map[string]any) answer {
	spec, _ := given["spec"].(map[string]any)
	if text(spec, "itemsType") != "avl_resource" || text(spec, "propName") != "drivers" || given["to"] != json.Number("0") {
		return s.fail(4)
	}
	return jsonAnswer(http.StatusOK, map[string]any{"totalItemsCount": 1, "items": []any{s.resource(x.account, given["flags"])}})
}

// write replaces a driver: what is left out is lost.
func (s *wialon) write(x *exchange, given map[string]any) answer {
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
			x.ignore(key)
		}
	}
	if given["itemId"] != json.Number(fmt.Sprint(wialonResource)) {
		return s.fail(7)
	}
	if text(next, "n") == "" {
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

func (s *wialon) create(x *exchange, given, next map[string]any) answer {
	if given["id"] != json.Number("0") {
		return s.fail(4)
	}
	u := &user{fields: next, applied: 1}
	u.mu.Lock()
	defer u.mu.Unlock()
	conflict := x.account.add(u, claimOf(nil, "c", next["c"]), func(n int) string {
		id := WialonUserID(100_000 + n)
		next["id"] = wialonDriver(id)
		return id
	})
	if conflict != "" {
		return s.fail(1002)
	}
	x.applied = 1
	return jsonAnswer(http.StatusOK, []any{next["id"], next})
}

func (s *wialon) replace(x *exchange, next map[string]any) answer {
	u := x.user
	if u == nil {
		return s.fail(4)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	next["id"] = wialonDriver(u.sourceID)
	if x.account.claim(u, claimOf(nil, "c", next["c"])) != "" {
		return s.fail(1002)
	}
	x.applyTo(u, next)
	return jsonAnswer(http.StatusOK, []any{next["id"], next})
}
