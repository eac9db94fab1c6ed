package webfleet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// client makes the calls of one connection.
type client struct {
	call            *httpcall.Client
	base            string
	account, apikey string
	header          http.Header
	// hidden must not be repeated from a provider's error text.
	hidden httpcall.Hidden
}

func (p *Provider) client(conn tsp.Connection, changes operation.Changes) (client, *operation.Failure) {
	creds := conn.Credentials
	for _, name := range []string{"account", "username", "password", "apikey"} {
		if creds[name] == "" {
			return client{}, &operation.Failure{Type: operation.ErrorAuth, Detail: "webfleet: the connection has no " + name}
		}
	}
	number, _ := tsp.PlusPhone(changes[operation.FieldPhoneNumber].Text(), changes[operation.FieldPhoneCountryCode].Text())
	return client{
		call: p.call, base: p.base, account: creds["account"], apikey: creds["apikey"],
		header: http.Header{
			"Accept":        {"application/json"},
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(creds["username"]+":"+creds["password"]))},
		},
		hidden: httpcall.Hide(creds, changes, number),
	}, nil
}

// driver reads one driver by its uid.
func (c client) driver(ctx context.Context, uid string) (driver, httpcall.Answer, error) {
	const what = "webfleet: read driver"
	rows, answer, err := c.show(ctx, what, map[string]string{"driveruid": uid})
	switch {
	case err != nil:
		return nil, answer, err
	case len(rows) == 0:
		f := operation.Refuse("%s: driver not found at the provider", what)
		f.StatusCode, f.Header = answer.Status, answer.Header
		return nil, answer, f
	case len(rows) > 1 || rows[0].text("driveruid") != uid:
		return nil, answer, answer.Garbled(what)
	}
	return rows[0], answer, nil
}

// show lists drivers: https://www.webfleet.com/static/help/webfleet-connect, page
// showdriverreportextern. There are no pages.
func (c client) show(ctx context.Context, what string, params map[string]string) ([]driver, httpcall.Answer, error) {
	answer, err := c.do(ctx, what, "showDriverReportExtern", params, false)
	if err != nil {
		return nil, answer, err
	}
	rows, ok := httpcall.Rows(answer.Body, func(row driver) bool { return row.text("driveruid") != "" })
	if !ok {
		return nil, answer, answer.Garbled(what)
	}
	return rows, answer, nil
}

// change makes a write: pages updatedriverextern and insertdriverextern. The answer
// of a success is empty, or an empty list.
func (c client) change(ctx context.Context, what, action string, params map[string]string) (httpcall.Answer, error) {
	answer, err := c.do(ctx, what, action, params, true)
	if err != nil {
		return answer, err
	}
	var rows []json.RawMessage
	if len(bytes.TrimSpace(answer.Body)) > 0 && (json.Unmarshal(answer.Body, &rows) != nil || rows == nil) {
		return answer, answer.Garbled(what)
	}
	return answer, nil
}

const (
	headerCode    = "X-Webfleet-Errorcode"
	headerMessage = "X-Webfleet-Errormessage"
)

func (c client) do(ctx context.Context, what, action string, params map[string]string, write bool) (httpcall.Answer, error) {
	q := url.Values{
		"lang": {"en"}, "account": {c.account}, "apikey": {c.apikey}, "action": {action},
		"outputformat": {"json"}, "useUTF8": {"true"}, "useISO8601": {"true"},
	}
	for name, v := range params {
		q.Set(name, v)
	}
	answer, err := c.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodGet, Header: c.header.Clone(), Write: write,
		URL:  c.base + "/extern?" + strings.ReplaceAll(q.Encode(), "+", "%20"),
		Want: []string{headerCode, headerMessage}, Whole: !write && len(params) == 0,
	})
	if err != nil {
		return answer, err
	}
	e, failed := errorOf(answer)
	switch {
	case failed && answer.OK() && e.code == codeNobody && !write:
		answer.Body = []byte("[]")
	case failed && (answer.OK() || e.quota()):
		return answer, c.classify(what, answer, e)
	case !answer.OK():
		return answer, answer.Classify(what, c.hidden.In(e.message))
	}
	return answer, nil
}

// wireError is an error that may come with any status.
type wireError struct {
	code    int
	message string
}

var textError = regexp.MustCompile(`^\s*([0-9]{1,5}),([^\r\n]*)`)

// errorOf looks for the three forms of an error: headers, a line of text, an object.
func errorOf(a httpcall.Answer) (wireError, bool) {
	if code := a.Wanted[headerCode]; code != "" {
		n, _ := strconv.Atoi(code) // no number is an unknown error
		return wireError{n, a.Wanted[headerMessage]}, true
	}
	if m := textError.FindSubmatch(a.Body); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return wireError{n, string(m[2])}, true
	}
	var object struct {
		Code    *int   `json:"errorCode"`
		Message string `json:"errorMsg"`
	}
	if json.Unmarshal(a.Body, &object) != nil || object.Code == nil {
		return wireError{}, false
	}
	return wireError{*object.Code, object.Message}, true
}

// Codes that are no refusal of the write itself.
const (
	// codeNobody, "document is empty", takes the place of a list without rows.
	codeNobody    = 63
	codeDenied    = 45
	codeQuota     = 8011
	codeNoAccess  = 8014
	codeTooMany   = 9126
	codeDuplicate = 1143

	// quotaWait is the window of the quota, which no header tells.
	quotaWait = time.Minute
)

// quota reports whether the calls of a time are used up, whatever the status says.
func (e wireError) quota() bool { return e.code == codeQuota || e.code == codeTooMany }

func (c client) classify(what string, answer httpcall.Answer, e wireError) *operation.Failure {
	f := &operation.Failure{
		Type: operation.ErrorValidation, StatusCode: answer.Status, Header: answer.Header,
		Detail: what + ": the provider refused with code " + strconv.Itoa(e.code),
	}
	if m := httpcall.Short(c.hidden.In(e.message)); m != "" {
		f.Detail += ": " + m
	}
	switch {
	case e.quota():
		f.Type, f.Retryable, f.RetryAfter = operation.ErrorTSP, true, cmp.Or(answer.RetryAfter, quotaWait)
	case e.code == codeDenied, e.code == codeNoAccess, e.code >= 1100 && e.code < 1200 && e.code != codeDuplicate:
		f.Type = operation.ErrorAuth
	}
	return f
}

// driver is what is read of a row of a list, by its key: a text, a number as it is written,
// and "" for anything else.
type driver map[string]string

// UnmarshalJSON leaves out what is not read: keys take many times their length in memory.
func (d *driver) UnmarshalJSON(b []byte) error {
	var row struct {
		UID         json.RawMessage `json:"driveruid"`
		Number      json.RawMessage `json:"driverno"`
		Name        json.RawMessage `json:"name"`
		First       json.RawMessage `json:"name1"`
		Second      json.RawMessage `json:"name2"`
		Phone       json.RawMessage `json:"telmobile"`
		Email       json.RawMessage `json:"email"`
		Description json.RawMessage `json:"description"`
		Country     json.RawMessage `json:"country"`
	}
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	*d = driver{}
	for key, raw := range map[string]json.RawMessage{
		"driveruid": row.UID, keyNumber: row.Number, "name": row.Name, keyName: row.First, keySecond: row.Second,
		keyPhone: row.Phone, keyEmail: row.Email, keyNotes: row.Description, keyCountry: row.Country,
	} {
		var number json.Number
		var text string
		switch {
		case raw == nil:
		case json.Unmarshal(raw, &text) == nil:
			(*d)[key] = text
		case json.Unmarshal(raw, &number) == nil:
			(*d)[key] = number.String()
		default:
			(*d)[key] = ""
		}
	}
	return nil
}

// text is the value at a key, or "" if it is not shown.
func (d driver) text(key string) string { return d[key] }
