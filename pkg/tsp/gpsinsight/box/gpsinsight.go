// Package box is what the provider sandbox has of this provider: it speaks the drivers part of the GPS Insight API v2.
// For development and tests only.
package box

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"writeback/internal/sandbox"
)

// Name is the provider's name.
const Name = "gpsinsight"

// gpsinsight speaks the drivers part of the API v2.
type gpsinsight struct {
	logins map[string]*sandbox.Account
	// apps are the accounts by their app token.
	apps map[string]*sandbox.Account

	mu       sync.Mutex
	sessions map[string]*sandbox.Account
}

// Part is the provider.
func Part() sandbox.Part {
	return sandbox.Part{
		Name: Name,
		Make: func(accounts []*sandbox.Account, now func() time.Time) sandbox.Wire {
			s := &gpsinsight{
				logins: sandbox.AccountsBy("username", accounts), apps: map[string]*sandbox.Account{}, sessions: map[string]*sandbox.Account{},
			}
			for username, a := range s.logins {
				s.apps[AppToken(username)] = a
			}
			return s
		},
		Record: gpsinsightRecord,
		Claims: func(map[string]any) []string { return nil },
		Connections: []sandbox.Connection{{
			Digit: 7, SourceID: UserID,
			Credentials: map[string]string{"username": "northwind-c7", "password": "sandbox-gpsinsight-c7"},
		}},
	}
}

// AppToken is what the account of a user name logs in with instead of name and password.
func AppToken(username string) string { return "sandbox-gpsinsight-app-" + username }

// UserID is the driver id of user n, for example "4551005".
func UserID(n int) string { return fmt.Sprint(4551000 + n) }

func gpsinsightRecord(p sandbox.SeedUser, _ time.Time) map[string]any {
	return map[string]any{
		"id": json.Number(p.SourceID), "firstname": p.FirstName, "lastname": p.LastName, "email": p.Email, "phone": p.Phone,
	}
}

var gpsinsightFields = strings.Fields("firstname lastname email phone alert_pref timezone")

func (s *gpsinsight) Accept(x *sandbox.Exchange) sandbox.Action {
	q, err := s.params(x)
	if err != nil {
		return func() sandbox.Answer { return s.fail(x, 400, err.Error()) }
	}
	x.Account = s.session(q.Get("session_token"))
	methods := map[string]struct {
		class sandbox.Class
		known []string
		do    func(*sandbox.Exchange, url.Values) sandbox.Answer
	}{
		"/userauth/login": {sandbox.ClassLogin, []string{"username", "password", "app_token"}, s.login},
		"/driver/list":    {sandbox.ClassRead, nil, s.list},
		"/driver/create":  {sandbox.ClassWrite, gpsinsightFields, s.create},
		"/driver/update":  {sandbox.ClassWrite, append(slices.Clone(gpsinsightFields), "driver"), s.update},
	}
	x.Name = strings.TrimPrefix(x.Path, "/")
	m, ok := methods[strings.TrimSuffix(x.Path, "/json")]
	if !ok {
		return func() sandbox.Answer { return s.fail(x, 404, "Not Found") }
	}
	x.Class = m.class
	if x.Class == sandbox.ClassWrite {
		x.UserRef = q.Get("driver")
	}
	if x.Class == sandbox.ClassLogin {
		if x.Account = s.logins[q.Get("username")]; q.Has("app_token") {
			x.Account = s.apps[q.Get("app_token")]
		}
	} else if x.Account == nil {
		return func() sandbox.Answer { return s.fail(x, 403, "Forbidden (session does not exist)") }
	} else {
		x.User = x.Account.Find(x.UserRef)
	}
	if key := sandbox.StrangeKey(q, append(slices.Clone(m.known), "session_token", "reference_tag")...); key != "" {
		return func() sandbox.Answer { return s.fail(x, 400, "Bad Request ("+key+")") }
	}
	return func() sandbox.Answer { return m.do(x, q) }
}

// params are those of the query, or of a form.
func (s *gpsinsight) params(x *sandbox.Exchange) (url.Values, error) {
	raw := x.Request.URL.RawQuery
	if x.Request.Method == http.MethodPost {
		raw = string(x.Body)
	}
	q, err := url.ParseQuery(raw)
	if err != nil || len(q.Get("reference_tag")) > 128 || x.Request.Method != http.MethodGet && x.Request.Method != http.MethodPost {
		return nil, fmt.Errorf("bad request")
	}
	return q, nil
}

func (s *gpsinsight) answer(x *sandbox.Exchange, status string, code int, message string, data any) sandbox.Answer {
	failures := []any{}
	if code != 0 {
		failures = append(failures, map[string]any{"code": code, "message": message})
	}
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{
		"head":   map[string]any{"status": status, "method": x.Name, "request_count": 1},
		"errors": failures, "data": data,
	})
}

func (s *gpsinsight) fail(x *sandbox.Exchange, code int, message string) sandbox.Answer {
	return s.answer(x, "ERROR", code, message, []any{})
}

func (s *gpsinsight) Refusal(x *sandbox.Exchange, status int) sandbox.Answer {
	a := s.fail(x, status, http.StatusText(status))
	if status < 300 {
		a = s.answer(x, "OK", 0, "", []any{})
	}
	a.Status = status
	return a
}

func (s *gpsinsight) login(x *sandbox.Exchange, q url.Values) sandbox.Answer {
	if x.Account == nil || !q.Has("app_token") && q.Get("password") != x.Account.Credentials["password"] {
		return s.fail(x, 401, "Unauthorized")
	}
	token := strings.ToLower(rand.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[token] = x.Account
	return s.answer(x, "OK", 0, "", map[string]string{"token": token})
}

func (s *gpsinsight) session(token string) *sandbox.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[token]
}

func (s *gpsinsight) End(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sessions, func(_ string, a *sandbox.Account) bool { return connection == "" || a.Connection == connection })
}

func (s *gpsinsight) list(x *sandbox.Exchange, _ url.Values) sandbox.Answer {
	rows := []any{}
	for _, u := range x.Account.List() {
		rows = append(rows, u.Snapshot())
	}
	return s.answer(x, "OK", 0, "", rows)
}

func (s *gpsinsight) create(x *sandbox.Exchange, q url.Values) sandbox.Answer {
	if q.Get("firstname") == "" || q.Get("lastname") == "" {
		return s.fail(x, 400, "Bad Request")
	}
	u := &sandbox.User{Fields: map[string]any{"firstname": "", "lastname": "", "email": "", "phone": ""}, Applied: 1}
	s.write(u.Fields, q)
	u.Lock()
	defer u.Unlock()
	x.Account.Add(u, nil, func(n int) string {
		id := UserID(100_000 + n)
		u.Fields["id"] = json.Number(id)
		return id
	})
	x.Applied = 1
	return s.answer(x, "OK", 0, "", []any{map[string]string{"driver_id": u.SourceID, "result": "Created"}})
}

func (s *gpsinsight) update(x *sandbox.Exchange, q url.Values) sandbox.Answer {
	u := x.User
	if u == nil {
		return s.fail(x, 404, "Not Found")
	}
	u.Lock()
	defer u.Unlock()
	next := maps.Clone(u.Fields)
	s.write(next, q)
	x.ApplyTo(u, next)
	return s.answer(x, "OK", 0, "", "Driver updated")
}

// write takes the fields that a list shows; numbers are kept as digits.
func (s *gpsinsight) write(fields map[string]any, q url.Values) {
	for _, key := range gpsinsightFields[:4] {
		if q.Has(key) {
			fields[key] = q.Get(key)
		}
	}
}
