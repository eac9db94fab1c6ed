package geotab

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// client makes the calls of one connection.
type client struct {
	call        *httpcall.Client
	url         string
	credentials map[string]string
	// login marks the login call, at which a refusal is final.
	login bool
	// moved says that the database may be at another host by now.
	moved bool
	// hidden must not be repeated from a provider's error text.
	hidden httpcall.Hidden
}

func (p *Provider) client(conn tsp.Connection, changes operation.Changes, secrets ...string) (client, *operation.Failure) {
	creds := conn.Credentials
	if creds[credSession] == "" {
		return client{}, &operation.Failure{
			Type: operation.ErrorAuth, Refresh: true, Detail: "geotab: the connection has no session",
		}
	}
	url, ok := p.server.at(creds[credHost])
	if !ok {
		return client{}, foreignHost("geotab")
	}
	return client{
		call: p.call, url: url,
		credentials: map[string]string{
			"database": creds[credDatabase], "userName": creds[credUsername], "sessionId": creds[credSession],
		},
		hidden: httpcall.Hide(creds, changes, append(nationals(changes), secrets...)...),
	}, nil
}

// nationals are the forms in which the provider gets a number without its code.
func nationals(changes operation.Changes) []string {
	number, err := parsePhone(changes[operation.FieldPhoneNumber].Text())
	if err != nil {
		return nil
	}
	code := tsp.Digits(changes[operation.FieldPhoneCountryCode].Text())
	return []string{number.national(number.code), number.national(code)}
}

// getUser reads one user. An unknown id gives an empty list, not an error.
func (c client) getUser(ctx context.Context, id string) (entity, httpcall.Answer, error) {
	const what = "geotab: read user"
	users, answer, err := c.getUsers(ctx, what, map[string]any{"search": map[string]string{"id": id}})
	switch {
	case err != nil:
		return nil, answer, err
	case len(users) == 0:
		f := operation.Refuse("%s: user not found at the provider", what)
		f.StatusCode, f.Header = answer.Status, answer.Header
		return nil, answer, f
	case len(users) > 1 || users[0].text("id") != id:
		return nil, answer, answer.Garbled(what)
	}
	return users[0], answer, nil
}

// findUser finds the user with a login name; nil: there is none. The provider may
// take the name as a pattern.
func (c client) findUser(ctx context.Context, name string) (entity, httpcall.Answer, error) {
	const what = "geotab: find user"
	users, answer, err := c.getUsers(ctx, what, map[string]any{"search": map[string]string{"name": name}})
	if err != nil {
		return nil, answer, err
	}
	for _, user := range users {
		if strings.EqualFold(user.text(keyName), name) {
			return user, answer, nil
		}
	}
	return nil, answer, nil
}

// getUsers makes a Get of users; each has an id.
func (c client) getUsers(ctx context.Context, what string, params map[string]any) ([]entity, httpcall.Answer, error) {
	params["typeName"], params["credentials"] = "User", c.credentials
	result, answer, err := c.do(ctx, what, "Get", params)
	if err != nil {
		return nil, answer, err
	}
	var users []entity
	if json.Unmarshal(result, &users) != nil || users == nil {
		return nil, answer, answer.Garbled(what)
	}
	for _, user := range users {
		if !tsp.IsSourceID(user.text("id")) {
			return nil, answer, answer.Garbled(what)
		}
	}
	return users, answer, nil
}

// setUser replaces the user. The result of a success is null.
func (c client) setUser(ctx context.Context, user map[string]any) (httpcall.Answer, error) {
	_, answer, err := c.do(ctx, "geotab: set user", "Set", map[string]any{
		"typeName": "User", "entity": user, "credentials": c.credentials,
	})
	return answer, err
}

// addUser adds a user and gives its id. The password is masked in a dry run.
func (c client) addUser(ctx context.Context, user map[string]any, password string) (string, httpcall.Answer, error) {
	return c.add(ctx, "geotab: add user", map[string]any{
		"typeName": "User", "entity": user, "credentials": c.credentials,
	}, password)
}

// addRuleset adds the user's ruleset from now on.
func (c client) addRuleset(ctx context.Context, id, name string, now time.Time) (httpcall.Answer, error) {
	_, answer, err := c.add(ctx, "geotab: add ruleset", map[string]any{
		"typeName": "UserHosRuleSet",
		"entity": map[string]any{
			"dateTime":   wireTime(now),
			"user":       map[string]string{"id": id},
			"hosRuleSet": map[string]string{"id": "HosRuleSet" + name},
		},
		"credentials": c.credentials,
	})
	return answer, err
}

// add makes an Add. The result is the new id.
func (c client) add(ctx context.Context, what string, params map[string]any, secrets ...string) (string, httpcall.Answer, error) {
	result, answer, err := c.do(ctx, what, "Add", params, secrets...)
	if err != nil {
		return "", answer, err
	}
	var added string
	if json.Unmarshal(result, &added) != nil || !tsp.IsSourceID(added) {
		return "", answer, answer.Garbled(what)
	}
	return added, answer, nil
}

// do makes one JSON-RPC call: https://developers.geotab.com/myGeotab/introduction.
// A dry run masks the secrets.
func (c client) do(
	ctx context.Context, what, method string, params map[string]any, secrets ...string,
) (json.RawMessage, httpcall.Answer, error) {
	body, err := encode(map[string]any{"method": method, "params": params})
	if err != nil {
		f := operation.Refuse("%s: the request could not be built", what)
		f.Err = err
		return nil, httpcall.Answer{}, f
	}
	answer, err := c.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodPost, URL: c.url, Body: body,
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		Write:  method == "Set" || method == "Add", Hidden: secrets,
	})
	if err != nil {
		return nil, answer, err
	}
	reply, ok := decodeReply(answer.Body)
	if !answer.OK() {
		f := answer.Classify(what, c.hidden.In(reply.message()))
		if c.login {
			f = httpcall.Login(f)
		}
		return nil, answer, f
	}
	switch {
	case !ok:
		return nil, answer, answer.Garbled(what)
	case reply.failed():
		return nil, answer, c.classify(what, answer, reply)
	}
	return reply.Result, answer, nil
}

// encode keeps raw parts as they are: escaping for HTML would rewrite them.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func resultOf(a httpcall.Answer) tsp.Result {
	return tsp.Result{StatusCode: a.Status, Header: a.Header, RetryAfter: a.Spent}
}
