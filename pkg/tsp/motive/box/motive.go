// Package box is what the provider sandbox has of this provider: it speaks the users part of the Motive API.
// For development and tests only.
package box

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// Name of the provider.
const Name = "motive"

// DefaultTokenLife is how long an access token that can be refreshed lives.
const DefaultTokenLife = 2 * time.Hour

// Config of the wire. The zero value is usable.
type Config struct {
	// OAuth gives the dev connection OAuth credentials instead of a token that does
	// not end: access_token, refresh_token, client_id, client_secret and redirect_uri.
	OAuth bool
	// TokenLife is how long an access token that can be refreshed lives. Zero:
	// DefaultTokenLife.
	TokenLife time.Duration
}

// Part is the provider.
func Part(cfg Config) sandbox.Part {
	credentials := map[string]string{"access_token": "sandbox-motive-c2"}
	if cfg.OAuth {
		credentials["refresh_token"], credentials["redirect_uri"] = "sandbox-motive-refresh-c2", "https://partner.example/motive"
		credentials["client_id"], credentials["client_secret"] = "sandbox-app-motive", "sandbox-motive-secret"
	}
	return sandbox.Part{
		Name: Name,
		Make: func(accounts []*sandbox.Account, now func() time.Time) sandbox.Wire {
			return newMotive(accounts, cmp.Or(cfg.TokenLife, DefaultTokenLife), now)
		},
		Record: motiveRecord, Claims: motiveClaims, Person: motiveRoles,
		Connections: []sandbox.Connection{{Digit: 2, Credentials: credentials, SourceID: UserID}},
	}
}

// motiveRoles makes one admin and one fleet user, since their records differ.
func motiveRoles(n int, p *sandbox.SeedUser) {
	switch n {
	case 98:
		p.Role = "admin"
	case 99:
		p.Role = "fleet_user"
	}
}

// UserID is the user id of user n, for example 800005.
func UserID(n int) string { return strconv.Itoa(800000 + n) }

// motive speaks the users part of the Motive API.
type motive struct {
	tokens *motiveTokens
	apps   map[string]string // client secrets by client id
	fields map[string]motiveField
	block  map[string]any // read only
	now    func() time.Time
}

func newMotive(accounts []*sandbox.Account, life time.Duration, now func() time.Time) *motive {
	m := &motive{
		tokens: newMotiveTokens(accounts, life, now), apps: make(map[string]string),
		fields: motiveFields(), block: motiveDriverBlock(), now: now,
	}
	for _, a := range accounts {
		if id := a.Credentials["client_id"]; id != "" {
			m.apps[id] = a.Credentials["client_secret"]
		}
	}
	return m
}

func (m *motive) Accept(x *sandbox.Exchange) sandbox.Action {
	if x.Path == "/oauth/token" {
		if act := m.token(x); act != nil {
			return act
		}
		return func() sandbox.Answer { return m.fail(http.StatusMethodNotAllowed, "method not allowed") }
	}
	token := sandbox.Bearer(x.Request)
	if token == "" {
		token = x.Request.Header.Get("X-Api-Key")
	}
	x.Account = m.tokens.account(token)
	act, found := m.find(x)
	switch {
	case !found:
		return func() sandbox.Answer { return m.fail(http.StatusNotFound, "not found") }
	case act == nil:
		return func() sandbox.Answer { return m.fail(http.StatusMethodNotAllowed, "method not allowed") }
	case x.Account == nil:
		return func() sandbox.Answer { return m.fail(http.StatusUnauthorized, "invalid token") }
	}
	return act
}

// find goes by path and method. A known path with another method gives no action.
func (m *motive) find(x *sandbox.Exchange) (act sandbox.Action, found bool) {
	read := func(name string, do func(*sandbox.Exchange) sandbox.Answer) (sandbox.Action, bool) {
		if x.Request.Method != http.MethodGet {
			return nil, true
		}
		x.Class, x.Name = sandbox.ClassRead, name
		return func() sandbox.Answer { return do(x) }, true
	}
	switch x.Path {
	case "/v1/users":
		if x.Request.Method == http.MethodPost {
			x.Class, x.Name = sandbox.ClassWrite, "create user"
			return func() sandbox.Answer { return m.create(x) }, true
		}
		return read("list users", m.list)
	case "/v1/users/lookup":
		return read("look up user", m.lookup)
	case "/v1/users/lookup_by_external_id":
		return read("look up user by external id", m.lookupExternal)
	}
	id, one := strings.CutPrefix(x.Path, "/v1/users/")
	if !one || id == "" || strings.Contains(id, "/") {
		return nil, false
	}
	x.UserRef = id
	if x.Account != nil {
		x.User = x.Account.Find(id)
	}
	if x.Request.Method == http.MethodPut {
		x.Class, x.Name = sandbox.ClassWrite, "update user"
		return func() sandbox.Answer { return m.update(x) }, true
	}
	return read("get user", m.get)
}

// End ends the access tokens that can be renewed.
func (m *motive) End(connection string) { m.tokens.end(connection) }

func (m *motive) fail(status int, message string) sandbox.Answer {
	return sandbox.JSONAnswer(status, map[string]string{"error_message": message})
}

func (m *motive) Refusal(_ *sandbox.Exchange, status int) sandbox.Answer {
	if status < 300 {
		return sandbox.JSONAnswer(status, map[string]any{})
	}
	return m.fail(status, strings.ToLower(http.StatusText(status)))
}

// show is a record as Motive shows it: the driver block only for drivers, and
// without the keys that are never read back.
func (m *motive) show(fields map[string]any) map[string]any {
	out := make(map[string]any, len(fields))
	for key, v := range fields {
		if !m.fields[key].hidden {
			out[key] = v
		}
	}
	return out
}

func (m *motive) one(status int, fields map[string]any) sandbox.Answer {
	return sandbox.JSONAnswer(status, map[string]any{"user": m.show(fields)})
}

func (m *motive) get(x *sandbox.Exchange) sandbox.Answer {
	if x.User == nil {
		return m.fail(http.StatusNotFound, "user not found")
	}
	return m.one(http.StatusOK, x.User.Snapshot())
}

func (m *motive) list(x *sandbox.Exchange) sandbox.Answer {
	q, err := sandbox.Params(x.Request, "per_page", "page_no", "role", "status", "duty_status", "name", "updated_after")
	if err != nil {
		return m.fail(http.StatusBadRequest, err.Error())
	}
	size, page := 25, 1
	for name, into := range map[string]*int{"per_page": &size, "page_no": &page} {
		if !q.Has(name) {
			continue
		}
		if *into, err = strconv.Atoi(q.Get(name)); err != nil || *into < 1 {
			return m.fail(http.StatusBadRequest, name+" must be a positive number")
		}
	}
	if size > 100 {
		return m.fail(http.StatusBadRequest, "per_page must be at most 100")
	}
	items := []any{}
	total := 0
	for _, u := range x.Account.List() {
		fields := u.Snapshot()
		if !motiveMatches(q, fields) {
			continue
		}
		if total/size == page-1 {
			items = append(items, map[string]any{"user": m.show(fields)})
		}
		total++
	}
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{
		"users":      items,
		"pagination": map[string]int{"per_page": size, "page_no": page, "total": total},
	})
}

func motiveMatches(q url.Values, fields map[string]any) bool {
	for _, key := range []string{"role", "status", "duty_status"} {
		if want := q.Get(key); want != "" && sandbox.Text(fields, key) != want {
			return false
		}
	}
	name := strings.ToLower(sandbox.Text(fields, "first_name") + " " + sandbox.Text(fields, "last_name"))
	if !strings.Contains(name, strings.ToLower(q.Get("name"))) {
		return false
	}
	after, err := time.Parse(time.RFC3339, q.Get("updated_after"))
	return err != nil || !sandbox.Before(fields["updated_at"], after) // an unreadable filter is ignored
}

func (m *motive) lookup(x *sandbox.Exchange) sandbox.Answer {
	keys := []string{"email", "username", "driver_company_id", "phone"}
	q, err := sandbox.Params(x.Request, keys...)
	if err != nil {
		return m.fail(http.StatusBadRequest, err.Error())
	}
	if len(q) != 1 {
		return m.fail(http.StatusBadRequest, fmt.Sprintf("give exactly one of %s", strings.Join(keys, ", ")))
	}
	for key := range q {
		want := q.Get(key)
		for _, u := range x.Account.List() {
			fields := u.Snapshot()
			if want != "" && strings.EqualFold(sandbox.Text(fields, key), want) {
				return m.one(http.StatusOK, fields)
			}
		}
	}
	return m.fail(http.StatusNotFound, "user not found")
}

func (m *motive) lookupExternal(x *sandbox.Exchange) sandbox.Answer {
	q, err := sandbox.Params(x.Request, "external_id", "integration_name")
	if err != nil {
		return m.fail(http.StatusBadRequest, err.Error())
	}
	u := x.Account.Owner(externalIDClaim(q.Get("external_id"), q.Get("integration_name")))
	if u == nil {
		return m.fail(http.StatusNotFound, "user not found")
	}
	return m.one(http.StatusOK, u.Snapshot())
}
