package verizonconnect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
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
	credApp      = "app_id"
	credToken    = "access_token"
	credExpires  = "expires_at"

	// tokenLife is less than the twenty minutes for which a token is seen to live.
	tokenLife = 15 * time.Minute
)

const driversPath = "/cmd/v1/drivers"

// client makes the calls of one connection.
type client struct {
	call   *httpcall.Client
	base   string
	header http.Header
	// hidden must not be repeated from a provider's error text.
	hidden httpcall.Hidden
}

// allowed refuses a connection that did not accept what is not confirmed, and one whose
// region is not known: the credentials would go to another one.
func allowed(conn tsp.Connection) *operation.Failure {
	if conn.Settings["accept_partial_contract"] != "true" {
		return operation.Refuse("not sent to verizon_connect: the keys that its driver update takes are not confirmed; " +
			"the connection's setting accept_partial_contract allows the calls all the same")
	}
	if hosts[region(conn)] == "" {
		return operation.Refuse("not sent to verizon_connect: the connection's setting region must be us or eu")
	}
	return nil
}

// hosts of the regions.
var hosts = map[string]string{"": DefaultBaseURL, "us": DefaultBaseURL, "eu": EuropeBaseURL}

func region(conn tsp.Connection) string {
	return strings.ToLower(strings.TrimSpace(conn.Settings["region"]))
}

func (p *Provider) url(conn tsp.Connection) string { return cmp.Or(p.base, hosts[region(conn)]) }

func (p *Provider) client(conn tsp.Connection, changes operation.Changes) (client, *operation.Failure) {
	if failure := allowed(conn); failure != nil {
		return client{}, failure
	}
	creds := conn.Credentials
	if creds[credApp] == "" {
		return client{}, &operation.Failure{Type: operation.ErrorAuth, Detail: "verizon_connect: the connection has no app_id"}
	}
	if creds[credToken] == "" {
		return client{}, &operation.Failure{Type: operation.ErrorAuth, Refresh: true, Detail: "verizon_connect: the connection has no access_token"}
	}
	return client{
		call: p.call, base: p.url(conn), hidden: httpcall.Hide(creds, changes),
		header: http.Header{
			"Accept":        {"application/json"},
			"Authorization": {"Atmosphere atmosphere_app_id=" + creds[credApp] + ", Bearer " + creds[credToken]},
		},
	}, nil
}

// Fresh reports whether the token lives for certain.
func (p *Provider) Fresh(c tsp.Credentials, now time.Time) bool {
	end, err := time.Parse(time.RFC3339, c[credExpires])
	return c[credToken] != "" && err == nil && now.Before(end)
}

// bareToken is what a token looks like: no page and no word is taken for one.
var bareToken = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{16,1000}$`)

// Refresh logs in. A refused login is an auth failure that is not retried. The
// answer is the bare token; some tenants get it quoted, or in an object.
func (p *Provider) Refresh(ctx context.Context, conn tsp.Connection) (tsp.Credentials, error) {
	const what = "verizon_connect: get token"
	if failure := allowed(conn); failure != nil {
		return nil, failure
	}
	creds := conn.Credentials
	if creds[credUsername] == "" || creds[credPassword] == "" {
		return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "verizon_connect: the connection has no username and password"}
	}
	answer, err := p.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodGet, URL: p.url(conn) + "/token",
		Header: http.Header{
			"Accept":        {"text/plain"},
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(creds[credUsername]+":"+creds[credPassword]))},
		},
	})
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		return nil, httpcall.Login(answer.Classify(what, httpcall.Hide(creds, nil).In(message(answer.Body))))
	}
	token := tokenIn(answer.Body)
	if !bareToken.MatchString(token) {
		return nil, answer.Garbled(what)
	}
	fresh := maps.Clone(creds)
	fresh[credToken], fresh[credExpires] = token, p.now().Add(tokenLife).UTC().Format(time.RFC3339)
	return fresh, nil
}

func tokenIn(body []byte) string {
	body = bytes.TrimSpace(body)
	var quoted string
	if json.Unmarshal(body, &quoted) == nil && quoted != "" {
		return quoted
	}
	var object struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(body, &object) == nil {
		return cmp.Or(object.Token, object.AccessToken)
	}
	return string(body)
}

// driver reads one driver by its number.
func (c client) driver(ctx context.Context, what, number string) (driver, httpcall.Answer, error) {
	path, failure := driverPath(number)
	if failure != nil {
		return nil, httpcall.Answer{}, failure
	}
	answer, err := c.do(ctx, httpcall.Request{What: what, Method: http.MethodGet, URL: path})
	if err != nil {
		return nil, answer, err
	}
	d, ok := decodeDriver(answer.Body)
	if !ok || d.text(keyNumber) != number {
		return nil, answer, answer.Garbled(what)
	}
	return d, answer, nil
}

// put replaces a driver. What a success answers is not published, so it is not read.
func (c client) put(ctx context.Context, number string, d driver) error {
	path, failure := driverPath(number)
	if failure != nil {
		return failure
	}
	return c.write(ctx, httpcall.Request{What: "verizon_connect: update driver", Method: http.MethodPut, URL: path}, d)
}

// post makes a driver.
func (c client) post(ctx context.Context, d driver) error {
	return c.write(ctx, httpcall.Request{What: "verizon_connect: create driver", Method: http.MethodPost, URL: driversPath}, d)
}

func (c client) write(ctx context.Context, r httpcall.Request, d driver) error {
	var err error
	if r.Body, err = encode(d); err != nil {
		f := operation.Refuse("%s: the request could not be built", r.What)
		f.Err = err
		return f
	}
	r.Write = true
	_, err = c.do(ctx, r)
	return err
}

// do makes a call; the URL of the request is the path. The pages of the interface
// are "Customer Metadata Drivers" at https://fim.us.fleetmatics.com/content/api.
func (c client) do(ctx context.Context, r httpcall.Request) (httpcall.Answer, error) {
	r.URL, r.Header = c.base+r.URL, c.header.Clone()
	if r.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.call.Do(ctx, r)
	if err != nil {
		return answer, err
	}
	if !answer.OK() {
		return answer, answer.Classify(r.What, c.hidden.In(message(answer.Body)))
	}
	return answer, nil
}

// driverPath is where one driver is. A dot segment would be resolved away by the
// server and name another resource.
func driverPath(number string) (string, *operation.Failure) {
	if number == "" || number == "." || number == ".." {
		return "", operation.Refuse("not sent to verizon_connect: the driver has no number there")
	}
	return driversPath + "/" + url.PathEscape(number), nil
}

// message is the text of an error, whose form is not published, or "".
func message(body []byte) string {
	var e struct {
		Message string `json:"Message"` // in any case
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.Message
}

// encode keeps raw parts as they are: escaping for HTML would rewrite them.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
