package samsara

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// client knows where the API is.
type client struct {
	call *httpcall.Client
	base string
}

// hosts of the regions in which an organisation may live.
var hosts = map[string]string{"": DefaultBaseURL, "us": DefaultBaseURL, "eu": EuropeBaseURL, "ca": CanadaBaseURL}

// base is where the connection's organisation lives, unless every one is sent to one
// place, such as a sandbox. A region that is not known is not guessed: the token would go
// to another one.
func (p *Provider) base(conn tsp.Connection) (string, *operation.Failure) {
	host, known := hosts[strings.ToLower(strings.TrimSpace(conn.Settings["region"]))]
	if !known {
		return "", operation.Refuse("not sent to samsara: the connection's setting region must be us, eu or ca")
	}
	return cmp.Or(p.client.base, host), nil
}

// session is one write or read for one connection.
type session struct {
	client
	conn    tsp.Connection
	changes operation.Changes
	secrets []string
	// misplaced is why nothing can be called. Nil: it can.
	misplaced *operation.Failure
}

// hidden are values that the provider may repeat and that no text may show.
func (s session) hidden() httpcall.Hidden {
	return httpcall.Hide(s.conn.Credentials, s.changes, s.secrets...)
}

// Credentials of a connection. All but the access token are for connections that
// were made with OAuth.
const (
	credToken   = "access_token"
	credRefresh = "refresh_token"
	credCode    = "auth_code"
	credClient  = "client_id"
	credSecret  = "client_secret"
)

func (p *Provider) session(conn tsp.Connection, changes operation.Changes, secrets ...string) session {
	s := session{client: p.client, conn: conn, changes: changes, secrets: secrets}
	s.base, s.misplaced = p.base(conn)
	return s
}

// check refuses what cannot be turned into a call.
func (s session) check() *operation.Failure {
	if s.misplaced != nil {
		return s.misplaced
	}
	if s.conn.Credentials[credToken] == "" {
		return &operation.Failure{
			Type: operation.ErrorAuth, Refresh: renewable(s.conn.Credentials), Detail: "samsara: the connection has no access token",
		}
	}
	return nil
}

// checkUser refuses a user that cannot be named in a call as well.
func (s session) checkUser(sourceID string) *operation.Failure {
	// A dot segment would be resolved away by the server and name another resource.
	switch sourceID {
	case "", ".", "..":
		return operation.Refuse("samsara: the user has no usable id at the provider")
	}
	return s.check()
}

func driverPath(sourceID string) string { return "/fleet/drivers/" + url.PathEscape(sourceID) }

// get reads a driver.
func (s session) get(ctx context.Context, sourceID string) (driver, tsp.Result, error) {
	return s.driver(ctx, httpcall.Request{What: "samsara: get driver", Method: http.MethodGet, URL: driverPath(sourceID)},
		func(d driver) bool { return d.is(sourceID) })
}

// patch writes the keys of a driver; others are kept by the provider.
func (s session) patch(ctx context.Context, sourceID string, keys map[string]any) (tsp.Result, error) {
	r := httpcall.Request{What: "samsara: patch driver", Method: http.MethodPatch, URL: driverPath(sourceID), Write: true}
	if f := setBody(&r, keys); f != nil {
		return tsp.Result{}, f
	}
	answer, err := s.do(ctx, r)
	if err != nil {
		return tsp.Result{}, err
	}
	var written struct {
		Data struct {
			named
			Email string `json:"email"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer.Body, &written); err != nil || !written.Data.is(sourceID) {
		f := answer.Garbled(r.What)
		f.Err = err
		return tsp.Result{}, f
	}
	if !s.tookEmail(written.Data.Email) {
		return tsp.Result{}, refuseAfter(resultOf(answer), "%s: the provider did not apply %s", r.What, operation.FieldUserEmail)
	}
	return resultOf(answer), nil
}

// tookEmail reports whether a driver has the address that was sent: older tenants drop
// it in silence.
func (s session) tookEmail(held string) bool {
	v, sent := s.changes.Get(operation.FieldUserEmail)
	return !sent || strings.EqualFold(strings.TrimSpace(v.Text()), strings.TrimSpace(held))
}

// refuseAfter is a refusal that was found out by an answer.
func refuseAfter(result tsp.Result, format string, args ...any) *operation.Failure {
	f := operation.Refuse(format, args...)
	f.StatusCode, f.Header = result.StatusCode, result.Header
	return f
}

func setBody(r *httpcall.Request, keys map[string]any) *operation.Failure {
	body, err := json.Marshal(keys)
	if err != nil {
		return &operation.Failure{Type: operation.ErrorValidation, Detail: r.What + ": the request could not be built", Err: err}
	}
	r.Body = body
	return nil
}

// driver makes one call that answers with the whole driver; right tells whether it
// is the one that was meant.
func (s session) driver(ctx context.Context, r httpcall.Request, right func(driver) bool) (driver, tsp.Result, error) {
	answer, err := s.do(ctx, r)
	if err != nil {
		return driver{}, tsp.Result{}, err
	}
	var a driverAnswer
	if err := json.Unmarshal(answer.Body, &a); err != nil || !right(a.Data) {
		f := answer.Garbled(r.What)
		f.Err = err
		return driver{}, tsp.Result{}, f
	}
	return a.Data, resultOf(answer), nil
}

// do makes one call below the base URL with the connection's token.
func (s session) do(ctx context.Context, r httpcall.Request) (httpcall.Answer, error) {
	r.URL = s.base + r.URL
	r.Header = http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer " + s.conn.Credentials[credToken]},
	}
	if r.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := s.call.Do(ctx, r)
	if err != nil {
		return httpcall.Answer{}, err
	}
	if !answer.OK() {
		return httpcall.Answer{}, answer.Classify(r.What, s.hidden().In(message(answer.Body)))
	}
	return answer, nil
}

func resultOf(a httpcall.Answer) tsp.Result {
	return tsp.Result{StatusCode: a.Status, Header: a.Header, RetryAfter: a.Spent}
}
