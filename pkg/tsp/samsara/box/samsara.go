// Package box is what the provider sandbox has of this provider: it speaks the drivers part of the Samsara API.
// For development and tests only.
package box

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// Name of the provider.
const Name = "samsara"

// DefaultTokenLife is how long an access token that can be refreshed lives.
const DefaultTokenLife = time.Hour

// Config of the wire. The zero value is usable.
type Config struct {
	// OAuth gives the dev connections OAuth credentials instead of API tokens that do
	// not end: access_token, refresh_token, client_id and client_secret.
	OAuth bool
	// TokenLife is how long an access token that can be refreshed lives. Zero:
	// DefaultTokenLife.
	TokenLife time.Duration
	// TagScoped gives the dev connections tokens that are scoped by tags: each write
	// must name tags.
	TagScoped bool
}

// Part is the provider.
func Part(cfg Config) sandbox.Part {
	return sandbox.Part{
		Name: Name,
		Make: func(accounts []*sandbox.Account, now func() time.Time) sandbox.Wire {
			return newSamsara(accounts, cfg, now)
		},
		Record: samsaraRecord, Claims: samsaraClaims,
		Connections: []sandbox.Connection{cfg.connection(1), cfg.connection(9)},
	}
}

// connection is that of a digit; the one with 9 is the other partner's.
func (c Config) connection(digit int) sandbox.Connection {
	suffix := fmt.Sprintf("c%x", digit)
	credentials := map[string]string{"access_token": "sandbox-samsara-" + suffix}
	if c.OAuth {
		credentials["refresh_token"] = "sandbox-samsara-refresh-" + suffix
		credentials["client_id"], credentials["client_secret"] = "sandbox-app-samsara", "sandbox-samsara-secret"
	}
	return sandbox.Connection{Digit: digit, Credentials: credentials, SourceID: func(n int) string { return UserID(digit, n) }}
}

// UserID is the driver id of user n of a connection, for example 494105.
func UserID(digit, n int) string {
	if n < 100 {
		return fmt.Sprintf("494%d%02d", digit, n)
	}
	return fmt.Sprintf("494%d%06d", digit, n)
}

// samsara speaks the drivers part of the Samsara API.
type samsara struct {
	accounts []*sandbox.Account
	tokens   *samsaraTokens
	schema   *samsaraSchema
	zones    sandbox.Zones
	now      func() time.Time
	scoped   bool // by tags
}

func newSamsara(accounts []*sandbox.Account, cfg Config, now func() time.Time) *samsara {
	life := cmp.Or(cfg.TokenLife, DefaultTokenLife)
	return &samsara{
		accounts: accounts, tokens: newSamsaraTokens(accounts, life, now), schema: newSamsaraSchema(), now: now,
		scoped: cfg.TagScoped,
	}
}

func (s *samsara) Accept(x *sandbox.Exchange) sandbox.Action {
	var act sandbox.Action
	if x.Path == "/oauth2/token" {
		if act = s.token(x); act == nil {
			return func() sandbox.Answer { return s.fail(x, http.StatusMethodNotAllowed, "Method not allowed") }
		}
		return act
	}
	x.Account = s.tokens.account(sandbox.Bearer(x.Request))
	switch id, one := strings.CutPrefix(x.Path, "/fleet/drivers/"); {
	case x.Path == "/fleet/drivers":
		act = s.collection(x)
	case one && id != "" && !strings.Contains(id, "/"):
		act = s.single(x, id)
	default:
		return func() sandbox.Answer { return s.fail(x, http.StatusNotFound, "Path not found") }
	}
	if act == nil {
		return func() sandbox.Answer { return s.fail(x, http.StatusMethodNotAllowed, "Method not allowed") }
	}
	if x.Account == nil {
		return func() sandbox.Answer { return s.fail(x, http.StatusUnauthorized, "Invalid token.") }
	}
	return act
}

func (s *samsara) collection(x *sandbox.Exchange) sandbox.Action {
	switch x.Request.Method {
	case http.MethodGet:
		x.Class, x.Name = sandbox.ClassRead, "list drivers"
		return func() sandbox.Answer { return s.list(x) }
	case http.MethodPost:
		x.Class, x.Name = sandbox.ClassWrite, "create driver"
		return func() sandbox.Answer { return s.create(x) }
	}
	return nil
}

func (s *samsara) single(x *sandbox.Exchange, escaped string) sandbox.Action {
	id, err := url.PathUnescape(escaped)
	if err != nil {
		id = escaped
	}
	x.UserRef = id
	if x.Account != nil {
		x.User = s.find(x.Account, id)
	}
	var do func(*sandbox.Exchange) sandbox.Answer
	switch x.Request.Method {
	case http.MethodGet:
		x.Class, x.Name, do = sandbox.ClassRead, "get driver", s.get
	case http.MethodPatch:
		x.Class, x.Name, do = sandbox.ClassWrite, "patch driver", s.patch
	default:
		return nil
	}
	return func() sandbox.Answer {
		if x.User == nil {
			return s.fail(x, http.StatusNotFound, "Driver not found")
		}
		return do(x)
	}
}

// find takes Samsara's own id or an external id as "key:value".
func (s *samsara) find(a *sandbox.Account, id string) *sandbox.User {
	if key, value, external := strings.Cut(id, ":"); external {
		return a.Owner(externalClaim(key, value))
	}
	return a.Find(id)
}

func (s *samsara) get(x *sandbox.Exchange) sandbox.Answer { return s.one(x, x.User.Snapshot()) }

func (s *samsara) one(x *sandbox.Exchange, fields map[string]any) sandbox.Answer {
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{"data": fields}).With("Request-Id", x.RequestID)
}

// End ends the access tokens that can be renewed.
func (s *samsara) End(connection string) { s.tokens.end(connection) }

func (s *samsara) fail(x *sandbox.Exchange, status int, message string) sandbox.Answer {
	return sandbox.JSONAnswer(status, map[string]string{"message": message, "requestId": x.RequestID}).
		With("Request-Id", x.RequestID)
}

func (s *samsara) Refusal(x *sandbox.Exchange, status int) sandbox.Answer {
	switch {
	case status >= 500:
		return sandbox.TextAnswer(status, strings.ToLower(http.StatusText(status)))
	case status < 300:
		return sandbox.JSONAnswer(status, map[string]any{}).With("Request-Id", x.RequestID)
	default:
		return s.fail(x, status, http.StatusText(status))
	}
}

// samsaraWalk is a checked list query.
type samsaraWalk struct {
	status           string
	limit            int
	after            string
	tags, parentTags []string
	updated, created time.Time
}

func (s *samsara) list(x *sandbox.Exchange) sandbox.Answer {
	walk, wrong := samsaraQuery(x.Request)
	if wrong != "" {
		return s.fail(x, http.StatusBadRequest, wrong)
	}
	users := x.Account.List()
	if walk.after != "" {
		at := slices.IndexFunc(users, func(u *sandbox.User) bool { return u.SourceID == walk.after })
		if at < 0 {
			return s.fail(x, http.StatusBadRequest, "Invalid value for parameter after")
		}
		users = users[at+1:]
	}
	data := make([]map[string]any, 0, min(walk.limit, len(users)))
	page := map[string]any{"endCursor": "", "hasNextPage": false}
	last := ""
	for _, u := range users {
		fields := u.Snapshot()
		if !walk.wants(fields) {
			continue
		}
		if len(data) == walk.limit {
			page["endCursor"] = base64.StdEncoding.EncodeToString([]byte(last))
			page["hasNextPage"] = true
			break
		}
		data = append(data, fields)
		last = u.SourceID
	}
	return sandbox.JSONAnswer(http.StatusOK, map[string]any{"data": data, "pagination": page}).With("Request-Id", x.RequestID)
}

func samsaraQuery(r *http.Request) (w samsaraWalk, wrong string) {
	q, err := sandbox.Params(r, "driverActivationStatus", "limit", "after", "tagIds", "parentTagIds", "updatedAfterTime", "createdAfterTime")
	if err != nil {
		return w, "Invalid query: " + err.Error()
	}
	w = samsaraWalk{status: "active", limit: 512}
	if q.Has("driverActivationStatus") {
		w.status = q.Get("driverActivationStatus")
		if w.status != "active" && w.status != "deactivated" {
			return w, "Invalid value for driverActivationStatus. Can only be 'active' or 'deactivated'"
		}
	}
	if q.Has("limit") {
		if w.limit, err = strconv.Atoi(q.Get("limit")); err != nil || w.limit < 1 || w.limit > 512 {
			return w, "Invalid value for parameter limit. Must be 1 to 512"
		}
	}
	after, err := base64.StdEncoding.DecodeString(q.Get("after"))
	if err != nil {
		return w, "Invalid value for parameter after"
	}
	w.after = string(after)
	w.tags, w.parentTags = splitList(q.Get("tagIds")), splitList(q.Get("parentTagIds"))
	for name, into := range map[string]*time.Time{"updatedAfterTime": &w.updated, "createdAfterTime": &w.created} {
		if !q.Has(name) {
			continue
		}
		if *into, err = time.Parse(time.RFC3339, q.Get(name)); err != nil {
			return w, fmt.Sprintf("Invalid value for parameter %s. Must be an RFC 3339 time", name)
		}
	}
	return w, ""
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// wants applies the filters; both lower time bounds are inclusive.
func (w samsaraWalk) wants(fields map[string]any) bool {
	return fields["driverActivationStatus"] == w.status &&
		!sandbox.Before(fields["updatedAtTime"], w.updated) && !sandbox.Before(fields["createdAtTime"], w.created) &&
		tagged(fields, "id", w.tags) && tagged(fields, "parentTagId", w.parentTags)
}

func tagged(fields map[string]any, key string, wanted []string) bool {
	if len(wanted) == 0 {
		return true
	}
	tags, _ := fields["tags"].([]any)
	for _, t := range tags {
		tag, _ := t.(map[string]any)
		if slices.Contains(wanted, sandbox.Text(tag, key)) {
			return true
		}
	}
	return false
}
