package leak_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/sandbox"
	"writeback/pkg/tsp/webfleet"
)

const usersPath = "/v2/telematics/users"

func userPath(seed sandbox.Seed, n int) string {
	return usersPath + "/" + sandbox.UserID(seed.Digit, n)
}

// updates writes each planted field to each provider, at once and as a dry run. One
// that a provider does not take is refused, and that must not show it either.
func (r *rig) updates() {
	for _, seed := range r.seeds {
		for _, field := range slices.Sorted(maps.Keys(person)) {
			body := map[string]any{"connection_id": seed.Connection, field: person[field]}
			if field == "license_number" {
				body["license_region"], body["license_country"] = "OH", "USA"
			}
			status, answer := r.allowed(http.MethodPatch, userPath(seed, 3)+"?dry_run=true", body)
			require.Contains(r, []int{http.StatusOK, http.StatusUnprocessableEntity}, status, "%s %s: %s", seed.Provider, field, answer)
			if status == http.StatusOK && strings.Contains(string(answer), `"status":"success"`) {
				r.taken[seed.Connection] = append(r.taken[seed.Connection], field)
			}
		}
		require.NotEmpty(r, r.taken[seed.Connection], seed.Provider)
		status, answer := r.allowed(http.MethodPatch, userPath(seed, 3)+"?is_sync=true", r.body(seed))
		require.Equal(r, http.StatusOK, status, "%s: %s", seed.Provider, answer)
	}
}

// allowed is a call that is made again while the connection rests.
func (r *rig) allowed(method, path string, body any) (status int, answer []byte) {
	r.Helper()
	require.Eventually(r, func() bool {
		status, answer = r.send(method, path, body)
		return status != http.StatusTooManyRequests
	}, time.Minute, pollEvery, path)
	return status, answer
}

// body is a write of one planted field that the provider takes: the most telling.
func (r *rig) body(seed sandbox.Seed) map[string]any {
	taken := r.taken[seed.Connection]
	for _, field := range []string{"license_number", "phone_number", "user_email", "notes"} {
		if slices.Contains(taken, field) {
			body := map[string]any{"connection_id": seed.Connection, field: person[field]}
			if field == "license_number" {
				body["license_region"], body["license_country"] = "OH", "USA"
			}
			return body
		}
	}
	return map[string]any{"connection_id": seed.Connection, taken[0]: person[taken[0]]}
}

// creates makes the planted person at each provider, and once more, which most
// refuse.
func (r *rig) creates() {
	made := 0
	for _, seed := range r.seeds {
		body := map[string]any{"connection_id": seed.Connection}
		for _, field := range []string{"username", "user_email", "first_name", "last_name", "employee_number"} {
			body[field] = person[field]
		}
		for range len(body) {
			status, answer := r.send(http.MethodPost, usersPath+"?is_sync=true", body)
			if status == http.StatusOK {
				made++
			}
			if status != http.StatusUnprocessableEntity {
				break
			}
			// Without the fields that it does not take.
			for field := range person {
				if strings.Contains(string(answer), "body."+field) || strings.Contains(string(answer), `"`+field+`"`) {
					delete(body, field)
				}
			}
		}
		r.send(http.MethodPost, usersPath+"?dry_run=true", body)
	}
	require.Positive(r, made)
}

// faults lets each provider fail in each way, and say in its answer everything that
// it knows.
func (r *rig) faults() {
	for _, seed := range r.seeds {
		if seed.Provider == sandbox.Simulator {
			continue // it has no wire
		}
		for i, status := range []int{500, 422, 400, 401, 403, 404, 409, 429, 200} {
			r.fails(seed, 4+i, func(said []string) sandbox.Fault {
				return sandbox.Fault{Status: status, Body: echo(said, i), Count: 2}
			})
		}
		r.fails(seed, 13, func([]string) sandbox.Fault { return sandbox.Fault{Reset: true} })
		r.fails(seed, 14, func(said []string) sandbox.Fault {
			return sandbox.Fault{Status: http.StatusBadGateway, Body: text("<html>" + strings.Join(said, " ")), Reads: true, Logins: true}
		})
		for i, n := range []int{15, 16, 17, 18} {
			// Without a session, so that the login fails.
			r.sandbox(http.MethodDelete, "/_control/sessions?connection="+seed.Connection, "")
			r.fails(seed, n, func(said []string) sandbox.Fault {
				if i == 0 {
					return sandbox.Fault{Reset: true, Reads: true, Logins: true}
				}
				// A login knows of nobody.
				return sandbox.Fault{Status: []int{0, 401, 400, 200}[i], Body: echo(r.keys(seed), i), Reads: true, Logins: true}
			})
			r.fails(seed, n, func(said []string) sandbox.Fault {
				return sandbox.Fault{Status: []int{500, 401, 400, 200}[i], Body: echo(said, i), Reads: true}
			})
		}
	}
	r.fails(r.seeds[0], 19, func([]string) sandbox.Fault { return sandbox.Fault{Hang: true} })
}

// keys are the credentials as they are now.
func (r *rig) keys(seed sandbox.Seed) []string { return slices.Sorted(maps.Values(r.held(seed))) }

// said is what a provider can say about a write to user n: the credentials, what was
// written, and what the user had before.
func (r *rig) said(seed sandbox.Seed, n int) []string {
	u := seed.Users[n]
	out := append(r.keys(seed), u.Email, u.Phone, u.LicenseNumber)
	for field := range r.body(seed) {
		if value, ok := person[field]; ok {
			out = append(out, value)
		}
	}
	slices.Sort(out)
	return out
}

// fails makes a write to user n while the fault holds.
func (r *rig) fails(seed sandbox.Seed, n int, fault func(said []string) sandbox.Fault) {
	r.Helper()
	f := fault(r.said(seed, n))
	f.Provider = seed.Provider
	order, err := json.Marshal(f)
	require.NoError(r, err)
	r.sandbox(http.MethodPost, "/_control/faults", string(order))
	var status int
	var answer []byte
	write := func() bool {
		status, answer = r.send(http.MethodPatch, userPath(seed, n)+"?is_sync=true", r.body(seed))
		return status != http.StatusConflict
	}
	if !write() { // it was refused a renewal of its credential, and is failed
		require.NoError(r, r.directory().Activate(r.Context(), uuid.MustParse(seed.Connection)), "%s", answer)
		require.Eventually(r, write, time.Minute, pollEvery)
	}
	require.Equal(r, http.StatusBadGateway, status, "%s: %s: %s", seed.Provider, order, answer)
	r.sandbox(http.MethodDelete, "/_control/faults", "")
}

// directory is a copy as it is now.
func (r *rig) directory() *directory.Directory {
	r.Helper()
	d, err := directory.Open(r.Context(), r.jetStream(), directory.Config{Existing: true})
	require.NoError(r, err)
	return d
}

func (r *rig) sandbox(method, path, body string) {
	r.Helper()
	status, answer := r.call(method, r.stack.URLs().Sandbox+path, body)
	require.Less(r, status, http.StatusBadRequest, "%s", answer)
}

// echo is an error of any provider whose message says all, from another one on each
// time: messages are cut.
func echo(said []string, from int) json.RawMessage {
	from %= len(said)
	message := strings.Join(slices.Concat(said[from:], said[:from]), " ")
	b, _ := json.Marshal(map[string]any{ // texts can always be encoded
		"message": message, "error_message": message, "errorMsg": message, "errorCode": 9999, "reason": message, "Message": message,
		"error":  map[string]any{"message": message, "name": message, "errors": []any{map[string]any{"message": message, "name": "GenericException"}}},
		"head":   map[string]any{"status": "ERROR", "errors": []any{map[string]any{"message": message, "code": 1}}},
		"errors": []any{map[string]any{"message": message, "code": 1}}, "status": "ERROR",
	})
	return b
}

func text(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a text can always be encoded
	return b
}

// strangers are calls that are no use to anybody, with planted values in every part.
func (r *rig) strangers() {
	seed := r.seeds[0]
	at, all := userPath(seed, 20), strings.Join(stray, " ")
	for _, path := range []string{
		"/nothing/" + url.PathEscape(all), "/" + stray[0] + "/../" + stray[1], usersPath + "/" + stray[0], usersPath + "?user_email=" + stray[1],
		usersPath + "?cursor=" + stray[0], usersPath + "?" + url.QueryEscape(all) + "=%zz", usersPath + "?connection_id=" + stray[0],
		"/v2/integrations/connections/" + stray[0] + "/resource-operations/" + stray[2],
		"/v2/integrations/connections/resource-operations?status=" + stray[0] + "&cursor=" + stray[1],
	} {
		r.send(http.MethodGet, path, "", "User-Agent", stray[1], "Referer", "https://"+stray[0], "Baggage", "a="+stray[0])
	}
	for _, body := range []string{
		all, `{"` + stray[0] + `":`, `{"license_number":"` + stray[0] + `"`, `{"connection_id":"` + stray[0] + `","notes":"x"}`,
		`{"connection_id":"` + seed.Connection + `","` + stray[0] + `":"` + stray[1] + `"}`,
		`{"connection_id":"` + seed.Connection + `","phone_number":["` + stray[2] + `"],"user_email":{"` + stray[1] + `":1}}`,
		`{"connection_id":"` + seed.Connection + `","status":"` + stray[0] + `","license_expiration":"` + stray[2] + `","license_country":"` + stray[0] + `"}`,
		`{"connection_id":"` + seed.Connection + `","notes":"` + stray[0] + `","notes":"` + stray[0] + `"}`,
		`[` + string(text(all)) + `]`, "\xff" + all,
	} {
		r.send(http.MethodPatch, at, body)
		r.send(http.MethodPost, usersPath, body)
	}
	good := map[string]any{"connection_id": seed.Connection, "notes": "a note"}
	r.send(http.MethodPatch, at+"?is_sync="+stray[0], good)
	r.send(http.MethodPatch, at, good, "Content-Type", stray[0])
	r.send(http.MethodPatch, at, good, "Idempotency-Key", stray[4])
	r.send(http.MethodPatch, at, map[string]any{"connection_id": seed.Connection, "notes": "another"}, "Idempotency-Key", stray[4])
	r.send(http.MethodPatch, at, good, "Idempotency-Key", stray[4]+" é")
	for _, authorization := range []string{"Bearer " + stray[3], "Basic " + stray[3], stray[3], "Bearer " + r.token[:len(r.token)-4] + "AAAA", "Bearer a." + stray[3] + ".c"} {
		status, _ := r.send(http.MethodPatch, at, good, "Authorization", authorization)
		require.Equal(r, http.StatusUnauthorized, status)
	}
}

// asyncWrites makes writes that end later, fail first, are cancelled, and tried again.
func (r *rig) asyncWrites() {
	place := func(seed sandbox.Seed, answer []byte) string {
		var op struct{ ID string }
		require.NoError(r, json.Unmarshal(answer, &op), "%s", answer)
		return "/v2/integrations/connections/" + seed.Connection + "/resource-operations/" + op.ID
	}
	var places []string
	for _, seed := range r.seeds {
		status, answer := r.send(http.MethodPatch, userPath(seed, 21), r.body(seed), "Idempotency-Key", stray[4])
		require.Equal(r, http.StatusAccepted, status, "%s", answer)
		if seed.Provider != webfleet.Name {
			places = append(places, place(seed, answer)) // it has a limit of a few calls a minute
		}
	}
	seed := r.seeds[0]
	for _, status := range []int{http.StatusInternalServerError, http.StatusUnprocessableEntity} {
		order, err := json.Marshal(sandbox.Fault{Provider: seed.Provider, User: sandbox.UserID(1, 22), Status: status, Count: 1, Body: echo(r.said(seed, 22), 0)})
		require.NoError(r, err)
		r.sandbox(http.MethodPost, "/_control/faults", string(order))
		got, answer := r.send(http.MethodPatch, userPath(seed, 22), r.body(seed))
		require.Equal(r, http.StatusAccepted, got, "%s", answer)
		at := place(seed, answer)
		if status == http.StatusInternalServerError {
			r.send(http.MethodPost, at+"/cancel", "")
			continue
		}
		r.ended(at)
		r.send(http.MethodPost, at+"/retry", "")
	}
	for _, at := range places {
		r.ended(at)
	}
}

func (r *rig) ended(at string) {
	r.Helper()
	require.Eventually(r, func() bool {
		_, answer := r.call(http.MethodGet, r.stack.URLs().API+at, "", "Authorization", "Bearer "+r.token)
		var op struct{ Status string }
		return json.Unmarshal(answer, &op) == nil && op.Status != "pending"
	}, 15*time.Second, pollEvery, at)
}

// reads asks for everything that can be listed.
func (r *rig) reads() {
	for _, path := range []string{usersPath, usersPath + "?name=" + person["last_name"], "/v2/integrations/connections", "/v2/notifications/webhooks", userPath(r.seeds[0], 3)} {
		status, answer := r.send(http.MethodGet, path, "")
		require.Equal(r, http.StatusOK, status, "%s: %s", path, answer)
	}
}

// rows gives all operations with their attempt rows, without their payloads.
func (r *rig) rows() string {
	var out strings.Builder
	for next := "/v2/integrations/connections/resource-operations?size=100"; next != ""; {
		status, answer := r.send(http.MethodGet, next, "")
		require.Equal(r, http.StatusOK, status, "%s", answer)
		out.Write(withoutPayload(answer))
		var page struct {
			NextPage *string `json:"next_page"`
		}
		require.NoError(r, json.Unmarshal(answer, &page))
		next = ""
		if page.NextPage != nil {
			next = "/v2/integrations/connections/resource-operations?size=100&cursor=" + url.QueryEscape(*page.NextPage)
		}
	}
	return out.String()
}

// endpoint is a partner's endpoint that answers badly once.
type endpoint struct{ calls safeBuffer }

func (r *rig) webhook() *endpoint {
	e := &endpoint{}
	var first sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		first.Do(func() {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, strings.Join(stray, " "))
		})
		_, _ = io.Copy(&e.calls, req.Body)
	}))
	r.Cleanup(server.Close)
	status, answer := r.send(http.MethodPost, "/v2/notifications/webhooks", map[string]any{
		"url": server.URL + "/" + stray[6] + "?key=" + stray[6], "event_name": "resource_operation.*", "secret": stray[5],
	})
	require.Equal(r, http.StatusOK, status, "%s", answer)
	return e
}

func (r *rig) sees(calls *safeBuffer, what string) {
	require.Eventually(r, func() bool { return calls.String() != "" }, 15*time.Second, pollEvery, what)
}
