package geotab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// client makes the calls of one write.
type client struct {
	call        *httpcall.Client
	url         string
	credentials map[string]string
	// login marks the login call, at which a refusal is final.
	login bool
	// hidden must not be repeated from a provider's error text.
	hidden []string
}

func (p *Provider) client(conn tsp.Connection, changes operation.Changes) (client, *operation.Failure) {
	creds := conn.Credentials
	if creds[credSession] == "" {
		return client{}, &operation.Failure{
			Type: operation.ErrorAuth, Refresh: true, Detail: "geotab: the connection has no session",
		}
	}
	url, ok := p.server.at(creds[credHost])
	if !ok {
		return client{}, foreignHost("geotab: update user")
	}
	return client{
		call: p.call, url: url,
		credentials: map[string]string{
			"database": creds[credDatabase], "userName": creds[credUsername], "sessionId": creds[credSession],
		},
		hidden: hidden(creds, changes),
	}, nil
}

// getUser reads one user. An unknown id gives an empty list, not an error.
func (c client) getUser(ctx context.Context, id string) (entity, httpcall.Answer, error) {
	const what = "geotab: read user"
	result, answer, err := c.do(ctx, what, "Get", map[string]any{
		"typeName": "User", "search": map[string]string{"id": id}, "credentials": c.credentials,
	})
	if err != nil {
		return nil, answer, err
	}
	var users []entity
	if json.Unmarshal(result, &users) != nil || users == nil {
		return nil, answer, answer.Garbled(what)
	}
	if len(users) == 0 {
		f := operation.Refuse("%s: user not found at the provider", what)
		f.StatusCode, f.Header = answer.Status, answer.Header
		return nil, answer, f
	}
	if len(users) > 1 || users[0].text("id") != id {
		return nil, answer, answer.Garbled(what)
	}
	return users[0], answer, nil
}

// setUser replaces the user. The result of a success is null.
func (c client) setUser(ctx context.Context, user map[string]any) (httpcall.Answer, error) {
	_, answer, err := c.do(ctx, "geotab: set user", "Set", map[string]any{
		"typeName": "User", "entity": user, "credentials": c.credentials,
	})
	return answer, err
}

// addRuleset adds the user's ruleset from now on. The result is the new id.
func (c client) addRuleset(ctx context.Context, id, name string, now time.Time) (httpcall.Answer, error) {
	const what = "geotab: add ruleset"
	result, answer, err := c.do(ctx, what, "Add", map[string]any{
		"typeName": "UserHosRuleSet",
		"entity": map[string]any{
			"dateTime":   wireTime(now),
			"user":       map[string]string{"id": id},
			"hosRuleSet": map[string]string{"id": "HosRuleSet" + name},
		},
		"credentials": c.credentials,
	})
	if err != nil {
		return answer, err
	}
	var added string
	if json.Unmarshal(result, &added) != nil || added == "" {
		return answer, answer.Garbled(what)
	}
	return answer, nil
}

// do makes one JSON-RPC call: https://developers.geotab.com/myGeotab/introduction.
func (c client) do(ctx context.Context, what, method string, params map[string]any) (json.RawMessage, httpcall.Answer, error) {
	body, err := encode(map[string]any{"method": method, "params": params})
	if err != nil {
		f := operation.Refuse("%s: the request could not be built", what)
		f.Err = err
		return nil, httpcall.Answer{}, f
	}
	answer, err := c.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodPost, URL: c.url, Body: body,
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return nil, answer, err
	}
	reply, ok := decodeReply(answer.Body)
	if !answer.OK() {
		f := answer.Classify(what, hide(reply.message(), c.hidden))
		f.Refresh = f.Refresh && !c.login
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

// hidden collects what a provider's text may not repeat: credentials and the
// personal data of this write.
func hidden(credentials tsp.Credentials, changes operation.Changes) []string {
	var out []string
	add := func(s string) {
		if len(s) >= 4 { // shorter ones would blank out ordinary words
			out = append(out, s)
		}
	}
	for _, v := range credentials {
		add(v)
	}
	for f, v := range changes {
		if spec, _ := operation.SpecOf(f); !spec.Personal {
			continue
		}
		add(v.Text())
		if f == operation.FieldPhoneNumber {
			add(digits(v.Text()))
			if number, err := parsePhone(v.Text()); err == nil {
				add(number.national(number.code))
				add(number.national(digits(changes[operation.FieldPhoneCountryCode].Text())))
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return out
}

func hide(message string, hidden []string) string {
	for _, s := range hidden {
		message = strings.ReplaceAll(message, s, "[hidden]")
		message = strings.ReplaceAll(message, strings.ToLower(s), "[hidden]")
	}
	return message
}
