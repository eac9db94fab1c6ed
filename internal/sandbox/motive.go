package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// motive speaks the users part of the Motive API.
type motive struct {
	tokens *motiveTokens
	apps   map[string]string // client secrets by client id
	fields map[string]motiveField
	block  map[string]any // read only
	now    func() time.Time
}

func newMotive(accounts []*account, life time.Duration, now func() time.Time) *motive {
	m := &motive{
		tokens: newMotiveTokens(accounts, life, now), apps: make(map[string]string),
		fields: motiveFields(), block: motiveDriverBlock(), now: now,
	}
	for _, a := range accounts {
		if id := a.credentials["client_id"]; a.provider == Motive && id != "" {
			m.apps[id] = a.credentials["client_secret"]
		}
	}
	return m
}

func (m *motive) accept(x *exchange) action {
	if x.path == "/oauth/token" {
		if act := m.token(x); act != nil {
			return act
		}
		return func() answer { return m.fail(http.StatusMethodNotAllowed, "method not allowed") }
	}
	token := bearer(x.r)
	if token == "" {
		token = x.r.Header.Get("X-Api-Key")
	}
	x.account = m.tokens.account(token)
	act, found := m.find(x)
	switch {
	case !found:
		return func() answer { return m.fail(http.StatusNotFound, "not found") }
	case act == nil:
		return func() answer { return m.fail(http.StatusMethodNotAllowed, "method not allowed") }
	case x.account == nil:
		return func() answer { return m.fail(http.StatusUnauthorized, "invalid token") }
	}
	return act
}

// find goes by path and method. A known path with another method gives no action.
func (m *motive) find(x *exchange) (act action, found bool) {
	read := func(name string, do func(*exchange) answer) (action, bool) {
		if x.r.Method != http.MethodGet {
			return nil, true
		}
		x.class, x.name = classRead, name
		return func() answer { return do(x) }, true
	}
	switch x.path {
	case "/v1/users":
		if x.r.Method == http.MethodPost {
			x.class, x.name = classWrite, "create user"
			return func() answer { return m.create(x) }, true
		}
		return read("list users", m.list)
	case "/v1/users/lookup":
		return read("look up user", m.lookup)
	case "/v1/users/lookup_by_external_id":
		return read("look up user by external id", m.lookupExternal)
	}
	id, one := strings.CutPrefix(x.path, "/v1/users/")
	if !one || id == "" || strings.Contains(id, "/") {
		return nil, false
	}
	x.userRef = id
	if x.account != nil {
		x.user = x.account.find(id)
	}
	if x.r.Method == http.MethodPut {
		x.class, x.name = classWrite, "update user"
		return func() answer { return m.update(x) }, true
	}
	return read("get user", m.get)
}

func (m *motive) fail(status int, message string) answer {
	return jsonAnswer(status, map[string]string{"error_message": message})
}

func (m *motive) refusal(_ *exchange, status int) answer {
	if status < 300 {
		return jsonAnswer(status, map[string]any{})
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

func (m *motive) one(status int, fields map[string]any) answer {
	return jsonAnswer(status, map[string]any{"user": m.show(fields)})
}

func (m *motive) get(x *exchange) answer {
	if x.user == nil {
		return m.fail(http.StatusNotFound, "user not found")
	}
	return m.one(http.StatusOK, x.user.snapshot())
}

func (m *motive) list(x *exchange) answer {
	q, err := params(x.r, "per_page", "page_no", "role", "status", "duty_status", "name", "updated_after")
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
	for _, u := range x.account.list() {
		fields := u.snapshot()
		if !motiveMatches(q, fields) {
			continue
		}
		if total/size == page-1 {
			items = append(items, map[string]any{"user": m.show(fields)})
		}
		total++
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"users":      items,
		"pagination": map[string]int{"per_page": size, "page_no": page, "total": total},
	})
}

func motiveMatches(q url.Values, fields map[string]any) bool {
	for _, key := range []string{"role", "status", "duty_status"} {
		if want := q.Get(key); want != "" && text(fields, key) != want {
			return false
		}
	}
	name := strings.ToLower(text(fields, "first_name") + " " + text(fields, "last_name"))
	if !strings.Contains(name, strings.ToLower(q.Get("name"))) {
		return false
	}
	after, err := time.Parse(time.RFC3339, q.Get("updated_after"))
	return err != nil || !before(fields["updated_at"], after) // an unreadable filter is ignored
}

func (m *motive) lookup(x *exchange) answer {
	keys := []string{"email", "username", "driver_company_id", "phone"}
	q, err := params(x.r, keys...)
	if err != nil {
		return m.fail(http.StatusBadRequest, err.Error())
	}
	if len(q) != 1 {
		return m.fail(http.StatusBadRequest, fmt.Sprintf("give exactly one of %s", strings.Join(keys, ", ")))
	}
	for key := range q {
		want := q.Get(key)
		for _, u := range x.account.list() {
			fields := u.snapshot()
			if want != "" && strings.EqualFold(text(fields, key), want) {
				return m.one(http.StatusOK, fields)
			}
		}
	}
	return m.fail(http.StatusNotFound, "user not found")
}

func (m *motive) lookupExternal(x *exchange) answer {
	q, err := params(x.r, "external_id", "integration_name")
	if err != nil {
		return m.fail(http.StatusBadRequest, err.Error())
	}
	u := x.account.owner(externalIDClaim(q.Get("external_id"), q.Get("integration_name")))
	if u == nil {
		return m.fail(http.StatusNotFound, "user not found")
	}
	return m.one(http.StatusOK, u.snapshot())
}
