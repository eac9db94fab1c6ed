package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Webfleet is the provider's name.
const Webfleet = "webfleet"

// webfleetPerMinute is how often one account may use one action.
const webfleetPerMinute = 10

// webfleet speaks the driver actions of WEBFLEET.connect.
type webfleet struct {
	accounts map[string]*account
	limits   *limiter
}

func webfleetPart() part {
	return part{
		name: Webfleet,
		make: func(accounts []*account, cfg Config) wire {
			return &webfleet{accounts: accountsBy(Webfleet, "account", accounts), limits: newLimiter(cfg.Now)}
		},
		record: webfleetRecord,
		claims: func(fields map[string]any) []string { return claimOf(nil, "driverno", fields["driverno"]) },
		digit:  5,
		credentials: map[string]string{
			"account": "sandbox-c5", "username": "northwind-connect",
			"password": "sandbox-webfleet-c5", "apikey": "sandbox-webfleet-key-c5",
		},
		sourceID: WebfleetUserID,
	}
}

// WebfleetUserID is the driver uid of user n, for example "1-55005-0A7".
func WebfleetUserID(n int) string { return fmt.Sprintf("1-%05d-0A7", 55000+n) }

func webfleetRecord(p SeedUser, _ time.Time) map[string]any {
	return map[string]any{
		"driveruid": p.SourceID, "driverno": p.EmployeeNumber, "name1": p.FirstName + " " + p.LastName, "name2": "", "name3": "",
		"company": "Northwind Freight", "code": "", "description": "", "addrno": "", "country": "US", "zip": "", "city": "", "street": "",
		"telmobile": "+1" + p.Phone, "telprivate": "", "email": p.Email,
	}
}

var (
	webfleetCommon = []string{"lang", "account", "apikey", "action", "outputformat", "useUTF8", "useISO8601"}
	webfleetFields = strings.Fields(`driverno name name1 name2 name3 company code description addrno country zip city street
telmobile telprivate pin email dt_cardid dt_cardcountry rll_buttonid`)
	webfleetShow = []string{"filterstring", "driverno", "driveruid", "ungroupedonly"}
)

func (s *webfleet) accept(x *exchange) action {
	if x.path != "/extern" {
		return func() answer { return textAnswer(http.StatusNotFound, "not found") }
	}
	q, err := s.params(x)
	if err != nil {
		return func() answer { return s.fail(41, err.Error()) }
	}
	a := s.accounts[q.Get("account")]
	user, password, basic := x.r.BasicAuth()
	if a != nil && basic && user == a.credentials["username"] && password == a.credentials["password"] && q.Get("apikey") == a.credentials["apikey"] {
		x.account = a
	}
	do := s.action(x, q)
	switch {
	case x.account == nil:
		return func() answer { return textAnswer(http.StatusOK, "1101,login failed") }
	case do == nil:
		return func() answer { return textAnswer(http.StatusOK, "45,access denied") }
	case q.Get("outputformat") != "json" || q.Get("useUTF8") != "true" || q.Get("useISO8601") != "true" || q.Get("lang") != "en":
		return func() answer { return s.fail(41, "the common parameters are not those of JSON in UTF-8") }
	}
	return func() answer {
		if _, wait := s.limits.take(a.connection+" "+q.Get("action"), webfleetPerMinute); wait > 0 {
			// The body of this one is empty, as that of a success.
			return answer{status: http.StatusOK, header: map[string]string{
				"X-Webfleet-Errorcode": "8011", "X-Webfleet-Errormessage": "request quota reached",
			}}
		}
		return do()
	}
}

// params are those of the query, or of a form.
func (s *webfleet) params(x *exchange) (url.Values, error) {
	raw := x.r.URL.RawQuery
	if x.r.Method == http.MethodPost {
		raw = string(x.body)
	} else if x.r.Method != http.MethodGet {
		return nil, fmt.Errorf("method %s is not supported", x.r.Method)
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("the parameters cannot be read")
	}
	for name, values := range q {
		if len(values) > 1 {
			return nil, fmt.Errorf("parameter %s is given twice", name)
		}
	}
	return q, nil
}

func (s *webfleet) action(x *exchange, q url.Values) action {
	x.name, x.userRef = q.Get("action"), q.Get("driveruid")
	if x.account != nil {
		x.user = x.account.find(x.userRef)
	}
	switch x.name {
	case "showDriverReportExtern":
		x.class = classRead
		return func() answer { return s.show(x, q) }
	case "insertDriverExtern":
		x.class = classWrite
		return func() answer { return s.insert(x, q) }
	case "updateDriverExtern":
		x.class = classWrite
		return func() answer { return s.update(x, q) }
	}
	return nil
}

func (s *webfleet) fail(code int, message string) answer {
	return jsonAnswer(http.StatusOK, map[string]any{"errorCode": code, "errorMsg": message})
}

func (s *webfleet) refusal(_ *exchange, status int) answer {
	if status < 300 {
		return answer{status: status}
	}
	return textAnswer(status, strings.ToLower(http.StatusText(status)))
}

func (s *webfleet) show(x *exchange, q url.Values) answer {
	if key := strangeKey(q, slices.Concat(webfleetCommon, webfleetShow)); key != "" {
		return s.fail(41, "unknown parameter "+key)
	}
	rows := []any{}
	for _, u := range x.account.list() {
		fields := u.snapshot()
		if (!q.Has("driveruid") || q.Get("driveruid") == u.sourceID) && (!q.Has("driverno") || q.Get("driverno") == text(fields, "driverno")) {
			rows = append(rows, fields)
		}
	}
	return jsonAnswer(http.StatusOK, rows)
}

func (s *webfleet) insert(x *exchange, q url.Values) answer {
	if key := strangeKey(q, slices.Concat(webfleetCommon, webfleetFields)); key != "" {
		return s.fail(41, "unknown parameter "+key)
	}
	if q.Get("driverno") == "" || q.Get("name")+q.Get("name1") == "" {
		return s.fail(41, "driverno and name are required")
	}
	u := &user{fields: webfleetRecord(SeedUser{}, time.Time{}), applied: 1}
	u.fields["telmobile"], u.fields["country"], u.fields["company"], u.fields["name1"] = "", "", "", ""
	s.write(u.fields, q)
	u.mu.Lock()
	defer u.mu.Unlock()
	conflict := x.account.add(u, claimOf(nil, "driverno", u.fields["driverno"]), func(n int) string {
		id := WebfleetUserID(30000 + n)
		u.fields["driveruid"] = id
		return id
	})
	if conflict != "" {
		return s.fail(1143, "the driver number is in use")
	}
	x.applied = 1
	return answer{status: http.StatusOK}
}

func (s *webfleet) update(x *exchange, q url.Values) answer {
	known := slices.Concat(webfleetCommon, webfleetFields, []string{"driveruid", "driverno_old"})
	if key := strangeKey(q, known); key != "" {
		return s.fail(41, "unknown parameter "+key)
	}
	u := x.user
	if u == nil {
		return s.fail(1500, "no such driver")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if q.Has("driverno") && (q.Get("driverno") == "" || q.Get("driverno_old") != text(u.fields, "driverno")) {
		return s.fail(41, "driverno_old is not the present number")
	}
	next := make(map[string]any, len(u.fields))
	for key, v := range u.fields {
		next[key] = v
	}
	s.write(next, q)
	if text(next, "name1") == "" {
		return s.fail(41, "the name cannot be empty")
	}
	if x.account.claim(u, claimOf(nil, "driverno", next["driverno"])) != "" {
		return s.fail(1143, "the driver number is in use")
	}
	x.applyTo(u, next)
	return answer{status: http.StatusOK}
}

// write puts the given parameters into a record; a pin is never shown.
func (s *webfleet) write(fields map[string]any, q url.Values) {
	for _, key := range webfleetFields {
		switch {
		case !q.Has(key) || key == "pin":
		case key == "name":
			fields["name1"] = q.Get(key)
		default:
			fields[key] = q.Get(key)
		}
	}
}
