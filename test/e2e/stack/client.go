package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"writeback/internal/devissuer"
	"writeback/internal/history"
	"writeback/internal/sandbox"
)

// lastName marks the writes of these tests.
const lastName = "Endtoend"

const requestTimeout = 20 * time.Second

// makeTokens asks the issuer for a token of each partner.
func (s *Stack) makeTokens() {
	s.tokens = map[string]string{}
	clients := devissuer.DefaultClients()
	var tokens [2]string
	for i := range tokens {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {clients[i].ID}, "client_secret": {clients[i].Secret}}
		resp, err := http.PostForm(s.issuer.URL+devissuer.Realm+"/protocol/openid-connect/token", form)
		s.must(err)
		var answer struct {
			AccessToken string `json:"access_token"`
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		_ = resp.Body.Close()
		s.must(err)
		tokens[i] = answer.AccessToken
	}
	for _, seed := range Seeds() {
		s.tokens[seed.Connection] = tokens[0]
	}
	s.tokens[Foreign()] = tokens[1]
}

// Token gives an access token of the partner that the connection belongs to.
func (s *Stack) Token(connection string) string { return s.tokens[connection] }

// Since is the offset of a moment in the history.
func (s *Stack) Since(t time.Time) time.Duration { return t.Sub(s.base) }

// Client sends writes and never repeats one by itself. It may be used by one
// goroutine at a time.
type Client struct {
	stack *Stack
	http  *http.Client
}

// Client makes one with connections of its own.
func (s *Stack) Client() *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &Client{stack: s, http: &http.Client{Transport: transport, Timeout: requestTimeout}}
}

// Write sends one write to the api and gives what came of it. headers may be nil.
func (c *Client) Write(ctx context.Context, api *Process, r history.Request, headers http.Header) history.Request {
	body := fmt.Sprintf(`{"connection_id":%q,"first_name":%q,"last_name":%q}`, r.Connection, r.Marker, lastName)
	target := api.URL + "/v2/telematics/users/" + r.User
	if r.Sync {
		target += "?is_sync=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, target, strings.NewReader(body))
	if err != nil {
		return r
	}
	for name, values := range headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.stack.tokens[r.Connection])
	r.Sent = c.stack.Since(time.Now())
	resp, err := c.http.Do(req)
	if err != nil {
		return r
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return r // a part of an answer is none
	}
	r.Answered, r.Status = c.stack.Since(time.Now()), resp.StatusCode
	var answer struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(text, &answer) == nil {
		r.Operation = answer.ID
	}
	return r
}

// Fault orders a fault at the sandbox.
func (s *Stack) Fault(f sandbox.Fault) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	resp, err := http.Post(s.Sandbox.URL+"/_control/faults", "application/json", strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		why, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("stack: fault: %s: %s", resp.Status, why)
	}
	return nil
}

// ClearFaults takes all faults back.
func (s *Stack) ClearFaults() error {
	req, err := http.NewRequest(http.MethodDelete, s.Sandbox.URL+"/_control/faults", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
