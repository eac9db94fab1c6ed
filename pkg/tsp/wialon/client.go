package wialon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// Credentials of a connection.
const (
	credToken = "token"
	credSID   = "sid"
	credUntil = "sid_until"

	// sessionLife is a little less than the five minutes after which a session that
	// made no call is over.
	sessionLife = 4*time.Minute + 30*time.Second
)

// client makes the calls of one connection.
type client struct {
	call *httpcall.Client
	url  string
	// sid is the session. Empty at a login.
	sid string
	// hidden must not be repeated from a provider's error text.
	hidden httpcall.Hidden
}

func (p *Provider) client(conn tsp.Connection, changes operation.Changes) (client, *operation.Failure) {
	if conn.Credentials[credSID] == "" {
		return client{}, &operation.Failure{Type: operation.ErrorAuth, Refresh: true, Detail: "wialon: the connection has no session"}
	}
	return client{
		call: p.call, url: p.endpoint(), sid: conn.Credentials[credSID], hidden: httpcall.Hide(conn.Credentials, changes),
	}, nil
}

func (p *Provider) endpoint() string { return p.base + "/wialon/ajax.html" }

// Fresh reports whether the session of the last login lives for certain. A busy one
// lives longer, but that is not known here, and a login is cheap.
func (p *Provider) Fresh(c tsp.Credentials, now time.Time) bool {
	until, err := time.Parse(time.RFC3339, c[credUntil])
	return c[credSID] != "" && err == nil && now.Before(until)
}

// Refresh logs in with the token. A refused login is an auth failure that is not
// retried. https://help.wialon.com/en/api/user-guide/api-reference/token/login
func (p *Provider) Refresh(ctx context.Context, conn tsp.Connection) (tsp.Credentials, error) {
	const what = "wialon: log in"
	if conn.Credentials[credToken] == "" {
		return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "wialon: the connection has no token"}
	}
	c := client{call: p.call, url: p.endpoint(), hidden: httpcall.Hide(conn.Credentials, nil)}
	answer, err := c.do(ctx, what, "token/login", map[string]any{"token": conn.Credentials[credToken]})
	var refused *operation.Failure
	if errors.As(err, &refused) {
		return nil, httpcall.Login(refused)
	}
	if err != nil {
		return nil, err
	}
	var login struct {
		ID string `json:"eid"`
	}
	if json.Unmarshal(answer.Body, &login) != nil || login.ID == "" {
		return nil, answer.Garbled(what)
	}
	fresh := maps.Clone(conn.Credentials)
	fresh[credSID] = login.ID
	fresh[credUntil] = p.now().Add(sessionLife).UTC().Format(time.RFC3339)
	return fresh, nil
}

// flags ask for base data and drivers.
const flags = 1 | 256

// resource reads the drivers of one resource by their ids:
// https://help.wialon.com/en/api/user-guide/api-reference/core/search_item.
func (c client) resource(ctx context.Context, id int64) (drivers, httpcall.Answer, error) {
	const what = "wialon: read drivers"
	answer, err := c.do(ctx, what, "core/search_item", map[string]any{"id": id, "flags": flags})
	if err != nil {
		return nil, answer, err
	}
	var found struct {
		Item *resource `json:"item"`
	}
	if json.Unmarshal(answer.Body, &found) != nil || found.Item == nil || found.Item.ID != id {
		return nil, answer, answer.Garbled(what)
	}
	return found.Item.Drivers, answer, nil
}

// resources reads all resources with their drivers:
// https://help.wialon.com/en/api/user-guide/api-reference/core/search_items.
func (c client) resources(ctx context.Context) ([]resource, httpcall.Answer, error) {
	const what = "wialon: list drivers"
	answer, err := c.do(ctx, what, "core/search_items", map[string]any{
		"spec": map[string]string{
			"itemsType": "avl_resource", "propName": "drivers", "propValueMask": "*", "sortType": "drivers", "propType": "property",
		},
		"force": 1, "flags": flags, "from": 0, "to": 0,
	})
	if err != nil {
		return nil, answer, err
	}
	var found struct {
		Items json.RawMessage `json:"items"`
	}
	if json.Unmarshal(answer.Body, &found) != nil {
		return nil, answer, answer.Garbled(what)
	}
	all := 0
	items, ok := httpcall.Rows(found.Items, func(r resource) bool {
		all += len(r.Drivers)
		return r.ID > 0 && all <= maxDrivers
	})
	if !ok {
		return nil, answer, answer.Garbled(what)
	}
	return items, answer, nil
}

// written is the driver that an answer names.
type written struct {
	id    int64
	after driver
}

// write makes or replaces a driver:
// https://help.wialon.com/en/api/user-guide/api-reference/resource/update_driver.
// A dry run does not show the mobile password.
func (c client) write(ctx context.Context, what, mode string, key key, d driver) (written, httpcall.Answer, error) {
	params := make(map[string]any, len(d)+3)
	for name, v := range d {
		params[name] = v
	}
	params["itemId"], params["id"], params["callMode"] = key.resource, key.driver, mode
	answer, err := c.do(ctx, what, "resource/update_driver", params, d.text(keyPassword))
	if err != nil {
		return written{}, answer, err
	}
	var parts []json.RawMessage
	var w written
	if json.Unmarshal(answer.Body, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &w.id) != nil ||
		json.Unmarshal(parts[1], &w.after) != nil || w.after == nil || w.id <= 0 || mode == "update" && w.id != key.driver {
		return written{}, answer, answer.Garbled(what)
	}
	return w, answer, nil
}

// do calls a service; it is a write if it names what a dry run must hide.
func (c client) do(ctx context.Context, what, service string, params map[string]any, hidden ...string) (httpcall.Answer, error) {
	raw, err := encode(params)
	if err != nil {
		f := operation.Refuse("%s: the request could not be built", what)
		f.Err = err
		return httpcall.Answer{}, f
	}
	q := "?svc=" + url.QueryEscape(service)
	if c.sid != "" {
		q += "&sid=" + url.QueryEscape(c.sid)
	}
	answer, err := c.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodPost, URL: c.url + q, Body: []byte(url.Values{"params": {raw}}.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
		Write:  len(hidden) > 0, Hidden: hidden, Whole: strings.HasPrefix(service, "core/"),
	})
	if err != nil {
		return answer, err
	}
	var e struct {
		Code   *int   `json:"error"`
		Reason string `json:"reason"`
	}
	failed := json.Unmarshal(answer.Body, &e) == nil && e.Code != nil && *e.Code != 0
	switch {
	case !answer.OK():
		return answer, answer.Classify(what, c.hidden.In(e.Reason))
	case failed:
		return answer, c.classify(what, answer, *e.Code, e.Reason)
	}
	return answer, nil
}

// busyWait is how long to wait where the provider takes no more requests.
const busyWait = 5 * time.Second

// classify goes by the code of an error inside a 200:
// https://help.wialon.com/en/api/user-guide/api-reference/error-codes.
func (c client) classify(what string, answer httpcall.Answer, code int, reason string) *operation.Failure {
	f := &operation.Failure{
		Type: operation.ErrorTSP, Retryable: true, StatusCode: answer.Status, Header: answer.Header, RetryAfter: answer.RetryAfter,
		Detail: what + ": the provider answered error " + strconv.Itoa(code),
	}
	if m := httpcall.Short(c.hidden.In(reason)); m != "" {
		f.Detail += ": " + m
	}
	switch code {
	case 1, 7, 8: // session, access, name or password
		f.Type, f.Retryable, f.Refresh, f.RetryAfter = operation.ErrorAuth, false, code == 1, 0
	case 2, 3, 4, 14, 1002:
		f.Type, f.Retryable, f.RetryAfter = operation.ErrorValidation, false, 0
	case 10, 1003:
		f.RetryAfter = cmp.Or(answer.RetryAfter, busyWait)
	case -100, -101:
		f.Type = operation.ErrorNetwork
	}
	return f
}

// key names one driver.
type key struct{ resource, driver int64 }

var keyForm = regexp.MustCompile(`^([1-9][0-9]{0,17}):([1-9][0-9]{0,17})$`)

func parseKey(sourceID string) (key, *operation.Failure) {
	m := keyForm.FindStringSubmatch(sourceID)
	if m == nil {
		return key{}, operation.Refuse("not sent to wialon: the driver's source id is not of the form resource:driver")
	}
	resource, _ := strconv.ParseInt(m[1], 10, 64) // the form bounds both
	id, _ := strconv.ParseInt(m[2], 10, 64)
	return key{resource, id}, nil
}

func (k key) String() string {
	return strconv.FormatInt(k.resource, 10) + ":" + strconv.FormatInt(k.driver, 10)
}

// resource is an account's container of drivers.
type resource struct {
	ID      int64   `json:"id"`
	Drivers drivers `json:"drvrs"`
}

// drivers are those of a resource by their ids, each as its JSON object: one is read where
// it is needed, since keys take many times their length in memory.
type drivers map[int64]json.RawMessage

// More than a resource and a driver have of real ones.
const (
	maxDrivers = 100_000
	maxDriver  = 256 << 10
)

// UnmarshalJSON takes an empty list for nobody too.
func (d *drivers) UnmarshalJSON(b []byte) error {
	if s := string(bytes.Join(bytes.Fields(b[:min(len(b), 16)]), nil)); s == "[]" || s == "null" {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.New("wialon: decode drivers: no object")
	}
	*d = drivers{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return fmt.Errorf("wialon: decode drivers: %w", err)
		}
		id, err := strconv.ParseInt(fmt.Sprint(name), 10, 64)
		var row json.RawMessage
		if err != nil || dec.Decode(&row) != nil || row[0] != '{' || len(row) > maxDriver || len(*d) == maxDrivers {
			return errors.New("wialon: decode drivers: one that is none, or too many of them")
		}
		(*d)[id] = row
	}
	return nil
}

// driver is the one with the id, and whether it is there.
func (d drivers) driver(id int64) (driver, bool) {
	var one driver
	return one, json.Unmarshal(d[id], &one) == nil
}

// code is that of the driver with the id.
func (d drivers) code(id int64) string {
	var one struct {
		Code json.RawMessage `json:"c"`
	}
	_ = json.Unmarshal(d[id], &one)
	return driver{keyCode: one.Code}.text(keyCode)
}

// driver is as read, so that unknown keys go back exactly as they came.
type driver map[string]json.RawMessage

// text is the string at a key, or "" for anything else.
func (d driver) text(key string) string {
	var s string
	if json.Unmarshal(d[key], &s) != nil {
		return ""
	}
	return s
}

// custom are the custom fields.
func (d driver) custom() map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(d[keyCustom], &fields) != nil {
		return nil
	}
	return fields
}

// encode keeps raw parts as they are: escaping for HTML would rewrite them.
func encode(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}
