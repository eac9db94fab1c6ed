package sandbox

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// samsara speaks the drivers part of the Samsara API.
type samsara struct {
	accounts []*account
	tokens   *samsaraTokens
	schema   *samsaraSchema
	zones    zones
	now      func() time.Time
}

func newSamsara(accounts []*account, life time.Duration, now func() time.Time) *samsara {
	accounts = slices.DeleteFunc(slices.Clone(accounts), func(a *account) bool { return a.provider != Samsara })
	return &samsara{
		accounts: accounts, tokens: newSamsaraTokens(accounts, life, now), schema: newSamsaraSchema(), now: now,
	}
}

// tokensOf says which access token opens which account of a provider.
func tokensOf(provider string, accounts []*account) map[string]*account {
	tokens := make(map[string]*account)
	for _, a := range accounts {
		if a.provider != provider {
			continue
		}
		token := a.credentials["access_token"]
		if token == "" || tokens[token] != nil {
			panic("sandbox: the access token of connection " + a.connection + " is empty or not unique")
		}
		tokens[token] = a
	}
	return tokens
}

func (s *samsara) accept(x *exchange) action {
	var act action
	if x.path == "/oauth2/token" {
		if act = s.token(x); act == nil {
			return func() answer { return s.fail(x, http.StatusMethodNotAllowed, "Method not allowed") }
		}
		return act
	}
	x.account = s.tokens.account(bearer(x.r))
	switch id, one := strings.CutPrefix(x.path, "/fleet/drivers/"); {
	case x.path == "/fleet/drivers":
		act = s.collection(x)
	case one && id != "" && !strings.Contains(id, "/"):
		act = s.single(x, id)
	default:
		return func() answer { return s.fail(x, http.StatusNotFound, "Path not found") }
	}
	if act == nil {
		return func() answer { return s.fail(x, http.StatusMethodNotAllowed, "Method not allowed") }
	}
	if x.account == nil {
		return func() answer { return s.fail(x, http.StatusUnauthorized, "Invalid token.") }
	}
	return act
}

func (s *samsara) collection(x *exchange) action {
	switch x.r.Method {
	case http.MethodGet:
		x.class, x.name = classRead, "list drivers"
		return func() answer { return s.list(x) }
	case http.MethodPost:
		x.class, x.name = classWrite, "create driver"
		return func() answer { return s.create(x) }
	}
	return nil
}

func (s *samsara) single(x *exchange, escaped string) action {
	id, err := url.PathUnescape(escaped)
	if err != nil {
		id = escaped
	}
	x.userRef = id
	if x.account != nil {
		x.user = s.find(x.account, id)
	}
	var do func(*exchange) answer
	switch x.r.Method {
	case http.MethodGet:
		x.class, x.name, do = classRead, "get driver", s.get
	case http.MethodPatch:
		x.class, x.name, do = classWrite, "patch driver", s.patch
	default:
		return nil
	}
	return func() answer {
		if x.user == nil {
			return s.fail(x, http.StatusNotFound, "Driver not found")
		}
		return do(x)
	}
}

// find takes Samsara's own id or an external id as "key:value".
func (s *samsara) find(a *account, id string) *user {
	if key, value, external := strings.Cut(id, ":"); external {
		return a.owner(externalClaim(key, value))
	}
	return a.find(id)
}

func (s *samsara) get(x *exchange) answer { return s.one(x, x.user.snapshot()) }

func (s *samsara) one(x *exchange, fields map[string]any) answer {
	return jsonAnswer(http.StatusOK, map[string]any{"data": fields}).with("Request-Id", x.requestID)
}

func (s *samsara) fail(x *exchange, status int, message string) answer {
	return jsonAnswer(status, map[string]string{"message": message, "requestId": x.requestID}).
		with("Request-Id", x.requestID)
}

func (s *samsara) refusal(x *exchange, status int) answer {
	switch {
	case status >= 500:
		return textAnswer(status, strings.ToLower(http.StatusText(status)))
	case status < 300:
		return jsonAnswer(status, map[string]any{}).with("Request-Id", x.requestID)
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

func (s *samsara) list(x *exchange) answer {
	walk, wrong := samsaraQuery(x.r)
	if wrong != "" {
		return s.fail(x, http.StatusBadRequest, wrong)
	}
	users := x.account.list()
	if walk.after != "" {
		at := slices.IndexFunc(users, func(u *user) bool { return u.sourceID == walk.after })
		if at < 0 {
			return s.fail(x, http.StatusBadRequest, "Invalid value for parameter after")
		}
		users = users[at+1:]
	}
	data := make([]map[string]any, 0, min(walk.limit, len(users)))
	page := map[string]any{"endCursor": "", "hasNextPage": false}
	last := ""
	for _, u := range users {
		fields := u.snapshot()
		if !walk.wants(fields) {
			continue
		}
		if len(data) == walk.limit {
			page["endCursor"] = base64.StdEncoding.EncodeToString([]byte(last))
			page["hasNextPage"] = true
			break
		}
		data = append(data, fields)
		last = u.sourceID
	}
	return jsonAnswer(http.StatusOK, map[string]any{"data": data, "pagination": page}).with("Request-Id", x.requestID)
}

func samsaraQuery(r *http.Request) (w samsaraWalk, wrong string) {
	q, err := params(r, "driverActivationStatus", "limit", "after", "tagIds", "parentTagIds", "updatedAfterTime", "createdAfterTime")
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
		!before(fields["updatedAtTime"], w.updated) && !before(fields["createdAtTime"], w.created) &&
		tagged(fields, "id", w.tags) && tagged(fields, "parentTagId", w.parentTags)
}

func before(v any, bound time.Time) bool {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	return err == nil && t.Before(bound)
}

func tagged(fields map[string]any, key string, wanted []string) bool {
	if len(wanted) == 0 {
		return true
	}
	tags, _ := fields["tags"].([]any)
	for _, t := range tags {
		tag, _ := t.(map[string]any)
		if slices.Contains(wanted, text(tag, key)) {
			return true
		}
	}
	return false
}
