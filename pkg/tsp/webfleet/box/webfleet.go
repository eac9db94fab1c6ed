// Package box is what the provider sandbox has of this provider: it speaks the driver actions of WEBFLEET.connect.
// For development and tests only.
package box

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// Name is the provider's name.
const Name = "webfleet"

// webfleetPerMinute is how often one account may use one action.
const webfleetPerMinute = 10

// webfleet speaks the driver actions of WEBFLEET.connect.
type webfleet struct {
	accounts map[string]*sandbox.Account
	limits   *sandbox.Limiter
}

// Part is the provider.
func Part() sandbox.Part {
	return sandbox.Part{
		Name: Name,
		Make: func(accounts []*sandbox.Account, now func() time.Time) sandbox.Wire {
			return &webfleet{accounts: sandbox.AccountsBy("account", accounts), limits: sandbox.NewLimiter(now)}
		},
		Record: webfleetRecord,
		Claims: func(fields map[string]any) []string { return sandbox.ClaimOf(nil, "driverno", fields["driverno"]) },
		Connections: []sandbox.Connection{{
			Digit: 5, SourceID: UserID,
			Credentials: map[string]string{
				"account": "sandbox-c5", "username": "northwind-connect",
				"password": "sandbox-webfleet-c5", "apikey": "sandbox-webfleet-key-c5",
			},
		}},
	}
}

// UserID is the driver uid of user n, for example "1-55005-0A7".
func UserID(n int) string { return fmt.Sprintf("1-%05d-0A7", 55000+n) }

func webfleetRecord(p sandbox.SeedUser, _ time.Time) map[string]any {
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

func (s *webfleet) Accept(x *sandbox.Exchange) sandbox.Action {
	if x.Path != "/extern" {
		return func() sandbox.Answer { return sandbox.TextAnswer(http.StatusNotFound, "not found") }
	}
	q, err := s.params(x)
	if err != nil {
		return func() sandbox.Answer { return s.fail(41, err.Error()) }
	}
	a := s.accounts[q.Get("account")]
	user, password, basic := x.Request.BasicAuth()
	if a != nil && basic && user == a.Credentials["username"] && password == a.Credentials["password"] && q.Get("apikey") == a.Credentials["apikey"] {
		x.Account = a
	}
	do := s.action(x, q)
	switch {
	case x.Account == nil:
		return func() sandbox.Answer { return sandbox.TextAnswer(http.StatusOK, "1101,login failed") }
	case do == nil:
		return func() sandbox.Answer { return sandbox.TextAnswer(http.StatusOK, "45,access denied") }
	case q.Get("outputformat") != "json" || q.Get("useUTF8") != "true" || q.Get("useISO8601") != "true" || q.Get("lang") != "en":
		return func() sandbox.Answer { return s.fail(41, "the common parameters are not those of JSON in UTF-8") }
	}
	return func() sandbox.Answer {
		if _, wait := s.limits.Take(a.Connection+" "+q.Get("action"), webfleetPerMinute); wait > 0 {
			// The body of this one is empty, as that of a success.
			return sandbox.Answer{Status: http.StatusOK, Header: map[string]string{
				"X-Webfleet-Errorcode": "8011", "X-Webfleet-Errormessage": "request quota reached",
			}}
		}
		return do()
	}
}

// params are those of the query, or of a form.
func (s *webfleet) params(x *sandbox.Exchange) (url.Values, error) {
	raw := x.Request.URL.RawQuery
	if x.Request.Method == http.MethodPost {
		raw = string(x.Body)
	} else if x.Request.Method != http.MethodGet {
		return nil, fmt.Errorf("method %s is not supported", x.Request.Method)
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

func (s *webfleet) action(x *sandbox.Exchange, q url.Values) sandbox.Action {
	x.Name, x.UserRef = q.Get("action"), q.Get("driveruid")
	if x.Account != nil {
		x.User = x.Account.Find(x.UserRef)
	}
	switch x.Name {
	case "showDriverReportExtern":
		x.Class = sandbox.ClassRead
		return func() sandbox.Answer { return s.show(x, q) }
	case "insertDriverExtern":
		x.Class = sandbox.ClassWrite
		return func() sandbox.Answer { return s.insert(x, q) }
	case "updateDriverExtern":
		x.Class = sandbox.ClassWrite
		return func() sandbox.Answer { return s.update(x, q) }
	}
	return nil
}

func (s *webfleet) fail(code int, message string) sandbox.Answer {
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{"errorCode": code, "errorMsg": message})
}

func (s *webfleet) Refusal(_ *sandbox.Exchange, status int) sandbox.Answer {
	if status < 300 {
		return sandbox.Answer{Status: status}
	}
	return sandbox.TextAnswer(status, strings.ToLower(http.StatusText(status)))
}

func (s *webfleet) show(x *sandbox.Exchange, q url.Values) sandbox.Answer {
	if key := sandbox.StrangeKey(q, slices.Concat(webfleetCommon, webfleetShow)...); key != "" {
		return s.fail(41, "unknown parameter "+key)
	}
	rows := []any{}
	for _, u := range x.Account.List() {
		fields := u.Snapshot()
		if (!q.Has("driveruid") || q.Get("driveruid") == u.SourceID) && (!q.Has("driverno") || q.Get("driverno") == sandbox.Text(fields, "driverno")) {
			rows = append(rows, fields)
		}
	}
	if len(rows) == 0 {
		return sandbox.TextAnswer(http.StatusOK, "63,document is empty")
	}
	return sandbox.JSONAnswer(http.StatusOK, rows)
}

func (s *webfleet) insert(x *sandbox.Exchange, q url.Values) sandbox.Answer {
	if key := sandbox.StrangeKey(q, slices.Concat(webfleetCommon, webfleetFields)...); key != "" {
		return s.fail(41, "unknown parameter "+key)
	}
	if q.Get("driverno") == "" || q.Get("name")+q.Get("name1") == "" {
		return s.fail(41, "driverno and name are required")
	}
	u := &sandbox.User{Fields: webfleetRecord(sandbox.SeedUser{}, time.Time{}), Applied: 1}
	u.Fields["telmobile"], u.Fields["country"], u.Fields["company"], u.Fields["name1"] = "", "", "", ""
	s.write(u.Fields, q)
	u.Lock()
	defer u.Unlock()
	conflict := x.Account.Add(u, sandbox.ClaimOf(nil, "driverno", u.Fields["driverno"]), func(n int) string {
		id := UserID(30000 + n)
		u.Fields["driveruid"] = id
		return id
	})
	if conflict != "" {
		return s.fail(1143, "the driver number is in use")
	}
	x.Applied = 1
	return sandbox.Answer{Status: http.StatusOK}
}

func (s *webfleet) update(x *sandbox.Exchange, q url.Values) sandbox.Answer {
	known := slices.Concat(webfleetCommon, webfleetFields, []string{"driveruid", "driverno_old"})
	if key := sandbox.StrangeKey(q, known...); key != "" {
		return s.fail(41, "unknown parameter "+key)
	}
	u := x.User
	if u == nil {
		return s.fail(1500, "no such driver")
	}
	u.Lock()
	defer u.Unlock()
	if q.Has("driverno") && (q.Get("driverno") == "" || q.Get("driverno_old") != sandbox.Text(u.Fields, "driverno")) {
		return s.fail(41, "driverno_old is not the present number")
	}
	next := make(map[string]any, len(u.Fields))
	for key, v := range u.Fields {
		next[key] = v
	}
	s.write(next, q)
	if sandbox.Text(next, "name1") == "" {
		return s.fail(41, "the name cannot be empty")
	}
	if x.Account.Claim(u, sandbox.ClaimOf(nil, "driverno", next["driverno"])) != "" {
		return s.fail(1143, "the driver number is in use")
	}
	x.ApplyTo(u, next)
	return sandbox.Answer{Status: http.StatusOK}
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
