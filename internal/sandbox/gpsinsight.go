package sandbox

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
)

// GPSInsight is the provider's name.
const GPSInsight = "gpsinsight"

// gpsinsight speaks the drivers part of the API v2.
type gpsinsight struct {
	logins map[string]*account

	mu       sync.Mutex
	sessions map[string]*account
}

func gpsinsightPart() part {
	return part{
		name: GPSInsight,
		make: func(accounts []*account, _ Config) wire {
			return &gpsinsight{logins: accountsBy(GPSInsight, "username", accounts), sessions: map[string]*account{}}
		},
		record:      gpsinsightRecord,
		claims:      func(map[string]any) []string { return nil },
		digit:       7,
		credentials: map[string]string{"username": "northwind-c7", "password": "sandbox-gpsinsight-c7"},
		sourceID:    GPSInsightUserID,
	}
}

// GPSInsightUserID is the driver id of user n, for example "4551005".
func GPSInsightUserID(n int) string { return fmt.Sprint(4551000 + n) }

func gpsinsightRecord(p SeedUser, _ time.Time) map[string]any {
	return map[string]any{
		"id": json.Number(p.SourceID), "firstname": p.FirstName, "lastname": p.LastName, "email": p.Email, "phone": p.Phone,
	}
}

var gpsinsightFields = strings.Fields("firstname lastname email phone alert_pref timezone")

func (s *gpsinsight) accept(x *exchange) action {
	q, err := s.params(x)
	if err != nil {
		return func() answer { return s.fail(x, 400, err.Error()) }
	}
	x.account = s.session(q.Get("session_token"))
	methods := map[string]struct {
		class class
		known []string
		do    func(*exchange, url.Values) answer
	}{
		"/userauth/login": {classLogin, []string{"username", "password", "app_token"}, s.login},
		"/driver/list":    {classRead, nil, s.list},
		"/driver/create":  {classWrite, gpsinsightFields, s.create},
		"/driver/update":  {classWrite, append(slices.Clone(gpsinsightFields), "driver"), s.update},
	}
	x.name = strings.TrimPrefix(x.path, "/")
	m, ok := methods[strings.TrimSuffix(x.path, "/json")]
	if !ok {
		return func() answer { return s.fail(x, 404, "Not Found") }
	}
	x.class = m.class
	if x.class == classWrite {
		x.userRef = q.Get("driver")
	}
	if x.class == classLogin {
		x.account = s.logins[q.Get("username")]
	} else if x.account == nil {
		return func() answer { return s.fail(x, 403, "Forbidden (session does not exist)") }
	} else {
		x.user = x.account.find(x.userRef)
	}
	if key := strangeKey(q, append(slices.Clone(m.known), "session_token", "reference_tag")); key != "" {
		return func() answer { return s.fail(x, 400, "Bad Request ("+key+")") }
	}
	return func() answer { return m.do(x, q) }
}

// params are those of the query, or of a form.
func (s *gpsinsight) params(x *exchange) (url.Values, error) {
	raw := x.r.URL.RawQuery
	if x.r.Method == http.MethodPost {
		raw = string(x.body)
	}
	q, err := url.ParseQuery(raw)
	if err != nil || len(q.Get("reference_tag")) > 128 || x.r.Method != http.MethodGet && x.r.Method != http.MethodPost {
		return nil, fmt.Errorf("bad request")
	}
	return q, nil
}

func (s *gpsinsight) answer(x *exchange, status string, code int, message string, data any) answer {
	failures := []any{}
	if code != 0 {
		failures = append(failures, map[string]any{"code": code, "message": message})
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"head":   map[string]any{"status": status, "method": x.name, "request_count": 1},
		"errors": failures, "data": data,
	})
}

func (s *gpsinsight) fail(x *exchange, code int, message string) answer {
	return s.answer(x, "ERROR", code, message, []any{})
}

func (s *gpsinsight) refusal(x *exchange, status int) answer {
	a := s.fail(x, status, http.StatusText(status))
	if status < 300 {
		a = s.answer(x, "OK", 0, "", []any{})
	}
	a.status = status
	return a
}

func (s *gpsinsight) login(x *exchange, q url.Values) answer {
	if x.account == nil || q.Get("password") != x.account.credentials["password"] {
		return s.fail(x, 401, "Unauthorized")
	}
	token := strings.ToLower(rand.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[token] = x.account
	return s.answer(x, "OK", 0, "", map[string]string{"token": token})
}

func (s *gpsinsight) session(token string) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[token]
}

func (s *gpsinsight) end(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sessions, func(_ string, a *account) bool { return connection == "" || a.connection == connection })
}

func (s *gpsinsight) list(x *exchange, _ url.Values) answer {
	rows := []any{}
	for _, u := range x.account.list() {
		rows = append(rows, u.snapshot())
	}
	return s.answer(x, "OK", 0, "", rows)
}

func (s *gpsinsight) create(x *exchange, q url.Values) answer {
	if q.Get("firstname") == "" || q.Get("lastname") == "" {
		return s.fail(x, 400, "Bad Request")
	}
	u := &user{fields: map[string]any{"firstname": "", "lastname": "", "email": "", "phone": ""}, applied: 1}
	s.write(u.fields, q)
	u.mu.Lock()
	defer u.mu.Unlock()
	x.account.add(u, nil, func(n int) string {
		id := GPSInsightUserID(100_000 + n)
		u.fields["id"] = json.Number(id)
		return id
	})
	x.applied = 1
	return s.answer(x, "OK", 0, "", []any{map[string]string{"driver_id": u.sourceID, "result": "Created"}})
}

func (s *gpsinsight) update(x *exchange, q url.Values) answer {
	u := x.user
	if u == nil {
		return s.fail(x, 404, "Not Found")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	next := maps.Clone(u.fields)
	s.write(next, q)
	x.applyTo(u, next)
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
