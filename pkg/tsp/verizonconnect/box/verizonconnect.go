// Package box is what the provider sandbox has of this provider: it speaks the drivers of Reveal's Customer Metadata interface.
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
const Name = "verizon_connect"

// verizonToken is how long a token lives.
const verizonToken = 20 * time.Minute

// verizonConnect speaks the drivers of Reveal's Customer Metadata interface. A PUT
// replaces the driver, which is the reading that a careless client does not survive.
type verizonConnect struct {
	logins map[string]*sandbox.Account
	now    func() time.Time

	mu     sync.Mutex
	tokens map[string]verizonLogin
}

type verizonLogin struct {
	account *sandbox.Account
	expires time.Time
}

// Part is the provider.
func Part() sandbox.Part {
	return sandbox.Part{
		Name: Name,
		Make: func(accounts []*sandbox.Account, now func() time.Time) sandbox.Wire {
			return &verizonConnect{logins: sandbox.AccountsBy("username", accounts), now: now, tokens: map[string]verizonLogin{}}
		},
		Record: verizonRecord,
		Claims: verizonClaims,
		Connections: []sandbox.Connection{{
			Digit: 8, SourceID: UserID,
			Credentials: map[string]string{
				"username": "northwind-c8", "password": "sandbox-verizon-c8", "app_id": "fleetmatics-p-us-sandbox-c8",
			},
			Settings: map[string]string{"accept_partial_contract": "true"},
		}},
	}
}

// UserID is the driver number of user n, for example "05201005".
func UserID(n int) string { return fmt.Sprintf("%08d", 5201000+n) }

func verizonRecord(p sandbox.SeedUser, _ time.Time) map[string]any {
	return map[string]any{
		"DriverId": json.Number(strings.TrimLeft(p.SourceID, "0")), "DriverNumber": p.SourceID, "FirstName": p.FirstName, "LastName": p.LastName,
		"EmailAddress": p.Email, "PhoneNumber": p.Phone, "KeyFobIds": []any{"FOB" + p.SourceID},
	}
}

func verizonClaims(fields map[string]any) []string {
	return sandbox.ClaimOf(nil, "number", fields["DriverNumber"])
}

func (s *verizonConnect) Accept(x *sandbox.Exchange) sandbox.Action {
	fail := func(status int, message string) sandbox.Action {
		return func() sandbox.Answer { return s.fail(status, message) }
	}
	if x.Request.URL.RawQuery != "" {
		return fail(http.StatusBadRequest, "unknown query")
	}
	if x.Path == "/token" || x.Path == "/token/" {
		x.Class, x.Name = sandbox.ClassLogin, "token"
		user, password, _ := x.Request.BasicAuth()
		if a := s.logins[user]; a != nil && password == a.Credentials["password"] && x.Request.Method == http.MethodGet {
			x.Account = a
		}
		return func() sandbox.Answer { return s.login(x) }
	}
	x.Account = s.session(x.Request.Header.Get("Authorization"))
	rest, ok := strings.CutPrefix(x.Path, "/cmd/v1/drivers")
	if !ok || rest != "" && rest[0] != '/' {
		return fail(http.StatusNotFound, "not found")
	}
	number, err := url.PathUnescape(strings.TrimPrefix(rest, "/"))
	if err != nil {
		return fail(http.StatusBadRequest, "bad path")
	}
	do := s.method(x, number)
	switch {
	case x.Account == nil:
		return fail(http.StatusUnauthorized, "unauthorized")
	case do == nil:
		return fail(http.StatusMethodNotAllowed, "method not allowed")
	case number != "" && x.User == nil:
		return fail(http.StatusNotFound, "driver not found")
	}
	return do
}

func (s *verizonConnect) method(x *sandbox.Exchange, number string) sandbox.Action {
	x.UserRef = number
	if x.Account != nil && number != "" {
		x.User = x.Account.Find(number)
	}
	one := number != ""
	switch {
	case x.Request.Method == http.MethodGet && one:
		x.Class, x.Name = sandbox.ClassRead, "get driver"
		return func() sandbox.Answer {
			return sandbox.JSONAnswer(http.StatusOK, map[string]any{"Driver": x.User.Snapshot()})
		}
	case x.Request.Method == http.MethodGet:
		x.Class, x.Name = sandbox.ClassRead, "list drivers"
		return func() sandbox.Answer { return s.list(x) }
	case x.Request.Method == http.MethodPut && one:
		x.Class, x.Name = sandbox.ClassWrite, "put driver"
		return func() sandbox.Answer { return s.put(x) }
	case x.Request.Method == http.MethodPost && !one:
		x.Class, x.Name = sandbox.ClassWrite, "post driver"
		return func() sandbox.Answer { return s.post(x) }
	}
	return nil
}

func (s *verizonConnect) fail(status int, message string) sandbox.Answer {
	return sandbox.JSONAnswer(status, map[string]string{"Message": message})
}

func (s *verizonConnect) Refusal(_ *sandbox.Exchange, status int) sandbox.Answer {
	if status < 300 {
		return sandbox.Answer{Status: status}
	}
	return s.fail(status, strings.ToLower(http.StatusText(status)))
}

func (s *verizonConnect) login(x *sandbox.Exchange) sandbox.Answer {
	if x.Account == nil {
		return s.fail(http.StatusUnauthorized, "unauthorized")
	}
	token := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = verizonLogin{x.Account, s.now().Add(verizonToken)}
	return sandbox.Answer{Status: http.StatusOK, Body: []byte(token), Header: map[string]string{"Content-Type": "text/plain"}}
}

// session gives whose token and application it is.
func (s *verizonConnect) session(authorization string) *sandbox.Account {
	app, token, ok := strings.Cut(strings.TrimPrefix(authorization, "Atmosphere atmosphere_app_id="), ", Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	l, known := s.tokens[token]
	if !ok || !known || !s.now().Before(l.expires) || app != l.account.Credentials["app_id"] {
		return nil
	}
	return l.account
}

func (s *verizonConnect) End(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, l verizonLogin) bool { return connection == "" || l.account.Connection == connection })
}

func (s *verizonConnect) list(x *sandbox.Exchange) sandbox.Answer {
	rows := []any{}
	for _, u := range x.Account.List() {
		rows = append(rows, map[string]any{"Driver": u.Snapshot()})
	}
	return sandbox.JSONAnswer(http.StatusOK, rows)
}

// read takes the body of a write; a wrapped driver is not one.
func (s *verizonConnect) read(x *sandbox.Exchange) (map[string]any, bool) {
	var body map[string]any
	if !x.IsJSON() || sandbox.DecodeJSON(x.Body, &body) != nil {
		return nil, false
	}
	for _, key := range []string{"DriverNumber", "FirstName", "LastName"} {
		if sandbox.Text(body, key) == "" {
			return nil, false
		}
	}
	for _, key := range []string{"EmailAddress", "PhoneNumber"} {
		if _, ok := body[key].(string); body[key] != nil && !ok {
			return nil, false
		}
	}
	return body, true
}

func (s *verizonConnect) put(x *sandbox.Exchange) sandbox.Answer {
	body, ok := s.read(x)
	u := x.User
	if !ok || sandbox.Text(body, "DriverNumber") != u.SourceID {
		return s.fail(http.StatusBadRequest, "the driver is not valid")
	}
	u.Lock()
	defer u.Unlock()
	body["DriverId"] = u.Fields["DriverId"]
	x.ApplyTo(u, body)
	return sandbox.Answer{Status: http.StatusOK}
}

func (s *verizonConnect) post(x *sandbox.Exchange) sandbox.Answer {
	body, ok := s.read(x)
	if !ok {
		return s.fail(http.StatusBadRequest, "the driver is not valid")
	}
	u := &sandbox.User{Fields: body, Applied: 1}
	u.Lock()
	defer u.Unlock()
	conflict := x.Account.Add(u, verizonClaims(body), func(n int) string {
		body["DriverId"] = json.Number(fmt.Sprint(9_000_000 + n))
		return sandbox.Text(body, "DriverNumber")
	})
	if conflict != "" {
		return s.fail(http.StatusBadRequest, "the driver number is in use")
	}
	x.Applied = 1
	return sandbox.Answer{Status: http.StatusCreated}
}
