package gpsinsight

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Credentials of a connection.
const (
	credUsername = "username"
	credPassword = "password"
	credApp      = "app_token"
	credSession  = "session_token"
)

// client makes the calls of one connection.
type client struct {
	call    *httpcall.Client
	base    string
	session string
	// form sends parameters as a form.
	form bool
	// login marks the login call, at which a refusal is final.
	login bool
	// hidden must not be repeated from a provider's error text.
	hidden httpcall.Hidden
}

func (p *Provider) client(conn tsp.Connection, changes operation.Changes) (client, *operation.Failure) {
	if conn.Credentials[credSession] == "" {
		return client{}, &operation.Failure{Type: operation.ErrorAuth, Refresh: true, Detail: "gpsinsight: the connection has no session_token"}
	}
	number := wirePhone(changes[operation.FieldPhoneNumber].Text(), changes[operation.FieldPhoneCountryCode].Text())
	return client{
		call: p.call, base: p.base, session: conn.Credentials[credSession], form: conn.Settings["form_post"] == "true",
		hidden: httpcall.Hide(conn.Credentials, changes, number),
	}, nil
}

// Fresh reports whether there is a session. It lives for a day to a week, and its
// end is not known in advance: a dead one is refused at the next call.
func (p *Provider) Fresh(c tsp.Credentials, _ time.Time) bool { return c[credSession] != "" }

// Refresh logs in. A refused login is an auth failure that is not retried.
// https://github.com/gpsidev/api_v2_documentation, userauth/login.md
func (p *Provider) Refresh(ctx context.Context, conn tsp.Connection) (tsp.Credentials, error) {
	const what = "gpsinsight: log in"
	params := map[string]string{"app_token": conn.Credentials[credApp]}
	switch creds := conn.Credentials; {
	case creds[credApp] != "":
	case creds[credUsername] != "" && creds[credPassword] != "":
		params = map[string]string{"username": creds[credUsername], "password": creds[credPassword]}
	default:
		return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "gpsinsight: the connection has neither an app_token nor username and password"}
	}
	c := client{
		call: p.call, base: p.base, form: conn.Settings["form_post"] == "true", login: true, hidden: httpcall.Hide(conn.Credentials, nil),
	}
	data, answer, err := c.do(ctx, what, "userauth/login", params, false)
	if err != nil {
		return nil, err
	}
	var login struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(data, &login) != nil || login.Token == "" {
		return nil, answer.Garbled(what)
	}
	fresh := maps.Clone(conn.Credentials)
	fresh[credSession] = login.Token
	return fresh, nil
}

// updateDriver: https://github.com/gpsidev/api_v2_documentation, driver/update.md.
// The answer says in words that it was done.
func (c client) updateDriver(ctx context.Context, params map[string]string) (httpcall.Answer, error) {
	const what = "gpsinsight: update driver"
	data, answer, err := c.do(ctx, what, "driver/update", params, true)
	if err != nil {
		return answer, err
	}
	var said string
	if json.Unmarshal(data, &said) != nil || said == "" {
		return answer, answer.Garbled(what)
	}
	return answer, nil
}

// createDriver: driver/create.md of the same. It gives the new id.
func (c client) createDriver(ctx context.Context, params map[string]string) (string, httpcall.Answer, error) {
	const what = "gpsinsight: create driver"
	data, answer, err := c.do(ctx, what, "driver/create", params, true)
	if err != nil {
		return "", answer, err
	}
	var made []struct {
		ID ident `json:"driver_id"`
	}
	if json.Unmarshal(data, &made) != nil || len(made) != 1 || !tsp.IsSourceID(string(made[0].ID)) {
		return "", answer, answer.Garbled(what)
	}
	return string(made[0].ID), answer, nil
}

const methodList = "driver/list"

// drivers lists all drivers: driver/list.md of the same. There are no pages.
func (c client) drivers(ctx context.Context, what string) ([]driver, httpcall.Answer, error) {
	data, answer, err := c.do(ctx, what, methodList, nil, false)
	if err != nil {
		return nil, answer, err
	}
	rows, ok := httpcall.Rows(data, func(row driver) bool { return row.ID != "" })
	if !ok {
		return nil, answer, answer.Garbled(what)
	}
	return rows, answer, nil
}

// driver finds one driver in the list: there is no other read.
func (c client) driver(ctx context.Context, id string) (driver, httpcall.Answer, error) {
	const what = "gpsinsight: read driver"
	rows, answer, err := c.drivers(ctx, what)
	if err != nil {
		return driver{}, answer, err
	}
	for _, row := range rows {
		if string(row.ID) == id {
			return row, answer, nil
		}
	}
	f := operation.Refuse("%s: driver not found at the provider", what)
	f.StatusCode, f.Header = answer.Status, answer.Header
	return driver{}, answer, f
}

// do calls a method and gives the data of its envelope.
func (c client) do(
	ctx context.Context, what, method string, params map[string]string, write bool,
) (json.RawMessage, httpcall.Answer, error) {
	q := url.Values{}
	for name, v := range params {
		q.Set(name, v)
	}
	if !c.login {
		q.Set("session_token", c.session)
	}
	r := httpcall.Request{
		What: what, Method: http.MethodGet, URL: c.base + "/" + method, Header: http.Header{"Accept": {"application/json"}}, Write: write,
		Whole: method == methodList,
	}
	if c.form {
		r.Method, r.Body = http.MethodPost, []byte(q.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r.URL += "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
	}
	answer, err := c.call.Do(ctx, r)
	if err != nil {
		return nil, answer, err
	}
	var e envelope
	understood := json.Unmarshal(answer.Body, &e) == nil && e.Head != nil
	if c.login && understood && e.Head.Status == "" {
		e.Head.Status = statusOK // the head of a login is shown empty
	}
	understood = understood && e.Head.Status != ""
	switch {
	case understood && (e.failed() || !answer.OK()):
		return nil, answer, c.classify(what, answer, e)
	case !answer.OK():
		f := answer.Classify(what, "")
		if c.login {
			f = httpcall.Login(f)
		}
		return nil, answer, f
	case !understood:
		return nil, answer, answer.Garbled(what)
	}
	return e.Data, answer, nil
}

// envelope is around every answer.
type envelope struct {
	Head *struct {
		Status string `json:"status"`
	} `json:"head"`
	Errors []struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
	Data json.RawMessage `json:"data"`
}

const statusOK = "OK"

func (e envelope) failed() bool { return e.Head.Status != statusOK || len(e.Errors) > 0 }

// classify goes by the code inside, which follows the HTTP numbers, with whatever
// status it came. A 403 is mostly a dead session; another login tells.
func (c client) classify(what string, answer httpcall.Answer, e envelope) *operation.Failure {
	as, code, message := answer, 0, ""
	if len(e.Errors) > 0 {
		code, message = e.Errors[0].Code, e.Errors[0].Message
	}
	switch {
	case code == http.StatusForbidden, answer.OK() && code >= 400:
		as.Status = code
	case answer.OK():
		as.Status = http.StatusBadGateway // an error that does not say which
	}
	f := as.Classify(what, c.hidden.In(message))
	f.Refresh = f.Refresh || code == http.StatusForbidden
	if c.login {
		f = httpcall.Login(f)
	}
	f.StatusCode = answer.Status
	return f
}

var driverID = regexp.MustCompile(`^[0-9]{1,18}$`)

// ident is an id, which comes as a number or as a text.
type ident string

// UnmarshalJSON takes both; anything else is no id.
func (i *ident) UnmarshalJSON(b []byte) error {
	if s := string(bytes.Trim(b, `"`)); driverID.MatchString(s) {
		*i = ident(s)
	}
	return nil
}

// driver is a row of the list.
type driver struct {
	ID        ident   `json:"id"`
	FirstName *string `json:"firstname"`
	LastName  *string `json:"lastname"`
	Email     *string `json:"email"`
	Phone     *string `json:"phone"`
}
