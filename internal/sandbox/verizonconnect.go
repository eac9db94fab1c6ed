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

// VerizonConnect is the provider's name.
const VerizonConnect = "verizon_connect"

// verizonToken is how long a token lives.
const verizonToken = 20 * time.Minute

// verizonConnect speaks the drivers of Reveal's Customer Metadata interface. A PUT
// replaces the driver, which is the reading that a careless client does not survive.
type verizonConnect struct {
	logins map[string]*account
	now    func() time.Time

	mu     sync.Mutex
	tokens map[string]verizonLogin
}

type verizonLogin struct {
	account *account
	expires time.Time
}

func verizonConnectPart() part {
	return part{
		name: VerizonConnect,
		make: func(accounts []*account, cfg Config) wire {
			return &verizonConnect{logins: accountsBy(VerizonConnect, "username", accounts), now: cfg.Now, tokens: map[string]verizonLogin{}}
		},
		record: verizonRecord,
		claims: verizonClaims,
		digit:  8,
		credentials: map[string]string{
			"username": "northwind-c8", "password": "sandbox-verizon-c8", "app_id": "fleetmatics-p-us-sandbox-c8",
		},
		settings: map[string]string{"accept_partial_contract": "true"},
		sourceID: VerizonUserID,
	}
}

// VerizonUserID is the driver number of user n, for example "05201005".
func VerizonUserID(n int) string { return fmt.Sprintf("%08d", 5201000+n) }

func verizonRecord(p SeedUser, _ time.Time) map[string]any {
	return map[string]any{
		"DriverId": json.Number(strings.TrimLeft(p.SourceID, "0")), "DriverNumber": p.SourceID, "FirstName": p.FirstName, "LastName": p.LastName,
		"EmailAddress": p.Email, "PhoneNumber": p.Phone, "KeyFobIds": []any{"FOB" + p.SourceID},
	}
}

func verizonClaims(fields map[string]any) []string {
	return claimOf(nil, "number", fields["DriverNumber"])
}

func (s *verizonConnect) accept(x *exchange) action {
	fail := func(status int, message string) action { return func() answer { return s.fail(status, message) } }
	if x.r.URL.RawQuery != "" {
		return fail(http.StatusBadRequest, "unknown query")
	}
	if x.path == "/token" || x.path == "/token/" {
		x.class, x.name = classLogin, "token"
		user, password, _ := x.r.BasicAuth()
		if a := s.logins[user]; a != nil && password == a.credentials["password"] && x.r.Method == http.MethodGet {
			x.account = a
		}
		return func() answer { return s.login(x) }
	}
	x.account = s.session(x.r.Header.Get("Authorization"))
	rest, ok := strings.CutPrefix(x.path, "/cmd/v1/drivers")
	if !ok || rest != "" && rest[0] != '/' {
		return fail(http.StatusNotFound, "not found")
	}
	number, err := url.PathUnescape(strings.TrimPrefix(rest, "/"))
	if err != nil {
		return fail(http.StatusBadRequest, "bad path")
	}
	do := s.method(x, number)
	switch {
	case x.account == nil:
		return fail(http.StatusUnauthorized, "unauthorized")
	case do == nil:
		return fail(http.StatusMethodNotAllowed, "method not allowed")
	case number != "" && x.user == nil:
		return fail(http.StatusNotFound, "driver not found")
	}
	return do
}

func (s *verizonConnect) method(x *exchange, number string) action {
	x.userRef = number
	if x.account != nil && number != "" {
		x.user = x.account.find(number)
	}
	one := number != ""
	switch {
	case x.r.Method == http.MethodGet && one:
		x.class, x.name = classRead, "get driver"
		return func() answer {
			return jsonAnswer(http.StatusOK, map[string]any{"Driver": x.user.snapshot()})
		}
	case x.r.Method == http.MethodGet:
		x.class, x.name = classRead, "list drivers"
		return func() answer { return s.list(x) }
	case x.r.Method == http.MethodPut && one:
		x.class, x.name = classWrite, "put driver"
		return func() answer { return s.put(x) }
	case x.r.Method == http.MethodPost && !one:
		x.class, x.name = classWrite, "post driver"
		return func() answer { return s.post(x) }
	}
	return nil
}

func (s *verizonConnect) fail(status int, message string) answer {
	return jsonAnswer(status, map[string]string{"Message": message})
}

func (s *verizonConnect) refusal(_ *exchange, status int) answer {
	if status < 300 {
		return answer{status: status}
	}
	return s.fail(status, strings.ToLower(http.StatusText(status)))
}

func (s *verizonConnect) login(x *exchange) answer {
	if x.account == nil {
		return s.fail(http.StatusUnauthorized, "unauthorized")
	}
	token := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = verizonLogin{x.account, s.now().Add(verizonToken)}
	return answer{status: http.StatusOK, body: []byte(token), header: map[string]string{"Content-Type": "text/plain"}}
}

// session gives whose token and application it is.
func (s *verizonConnect) session(authorization string) *account {
	app, token, ok := strings.Cut(strings.TrimPrefix(authorization, "Atmosphere atmosphere_app_id="), ", Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	l, known := s.tokens[token]
	if !ok || !known || !s.now().Before(l.expires) || app != l.account.credentials["app_id"] {
		return nil
	}
	return l.account
}

func (s *verizonConnect) end(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, l verizonLogin) bool { return connection == "" || l.account.connection == connection })
}

func (s *verizonConnect) list(x *exchange) answer {
	rows := []any{}
	for _, u := range x.account.list() {
		rows = append(rows, map[string]any{"Driver": u.snapshot()})
	}
	return jsonAnswer(http.StatusOK, rows)
}

// read takes the body of a write; a wrapped driver is not one.
func (s *verizonConnect) read(x *exchange) (map[string]any, bool) {
	var body map[string]any
	if !x.isJSON() || decodeJSON(x.body, &body) != nil {
		return nil, false
	}
	for _, key := range []string{"DriverNumber", "FirstName", "LastName"} {
		if text(body, key) == "" {
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

func (s *verizonConnect) put(x *exchange) answer {
	body, ok := s.read(x)
	u := x.user
	if !ok || text(body, "DriverNumber") != u.sourceID {
		return s.fail(http.StatusBadRequest, "the driver is not valid")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	body["DriverId"] = u.fields["DriverId"]
	x.applyTo(u, body)
	return answer{status: http.StatusOK}
}

func (s *verizonConnect) post(x *exchange) answer {
	body, ok := s.read(x)
	if !ok {
		return s.fail(http.StatusBadRequest, "the driver is not valid")
	}
	u := &user{fields: body, applied: 1}
	u.mu.Lock()
	defer u.mu.Unlock()
	conflict := x.account.add(u, verizonClaims(body), func(n int) string {
		body["DriverId"] = json.Number(fmt.Sprint(9_000_000 + n))
		return text(body, "DriverNumber")
	})
	if conflict != "" {
		return s.fail(http.StatusBadRequest, "the driver number is in use")
	}
	x.applied = 1
	return answer{status: http.StatusCreated}
}
