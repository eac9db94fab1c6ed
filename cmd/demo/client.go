package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const (
	pollEvery = 20 * time.Millisecond
	maxAnswer = 16 << 20
	// asksMost is how often a call is sent that is asked to come later.
	asksMost = 5
)

// client speaks HTTP as a partner does, and to the sandbox's control paths.
type client struct {
	http         *http.Client
	api, sandbox string
	token        string
}

// call sends JSON and decodes the answer into the value, whatever its status. It comes
// again when the answer says so: such a call took nothing in.
func (c *client) call(ctx context.Context, method, url string, body, into any) (int, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	for asks := 1; ; asks++ {
		status, after, err := c.once(ctx, method, url, content, into)
		later := after > 0 && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable)
		if err != nil || !later || asks == asksMost {
			return status, err
		}
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return status, context.Cause(ctx)
		}
	}
}

// once sends a call, and gives after what time it may come again, if the answer says so.
func (c *client) once(ctx context.Context, method, url string, content []byte, into any) (status int, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, 0, fmt.Errorf("%s %s: %w", method, url, err)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		after = time.Duration(seconds) * time.Second
	}
	if into == nil || len(text) == 0 {
		return resp.StatusCode, after, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return 0, 0, fmt.Errorf("%s %s: answered %d with %.200q: %w", method, url, resp.StatusCode, text, err)
	}
	return resp.StatusCode, after, nil
}

// must is a call whose answer has the status.
func (c *client) must(ctx context.Context, want int, method, url string, body, into any) error {
	status, err := c.call(ctx, method, url, body, into)
	if err == nil && status != want {
		err = fmt.Errorf("%s %s: answered %d, not %d", method, url, status, want)
	}
	return err
}

// userURL is where a user is written.
func (c *client) userURL(u user) string { return c.api + "/v2/telematics/users/" + u.id() }

// operationURL is where an operation is read.
func (c *client) operationURL(connection string, id uuid.UUID) string {
	return c.api + operationPath(connection, id)
}

func operationPath(connection string, id uuid.UUID) string {
	return "/v2/integrations/connections/" + connection + "/resource-operations/" + id.String()
}

// ended reads the operation until it is not pending any more.
func (c *client) ended(ctx context.Context, connection string, id uuid.UUID) (wire.ResourceOperationRead, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var op wire.ResourceOperationRead
		err := c.must(ctx, http.StatusOK, http.MethodGet, c.operationURL(connection, id), nil, &op)
		switch {
		case err != nil:
			return op, err
		case op.Status != operation.Pending:
			return op, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return op, fmt.Errorf("operation %s is still pending: %w", id, context.Cause(ctx))
		}
	}
}

// received gives the provider's own record of the calls about a user.
func (c *client) received(ctx context.Context, u user) ([]sandbox.Record, error) {
	var log struct {
		Requests []sandbox.Record `json:"requests"`
	}
	if err := c.must(ctx, http.StatusOK, http.MethodGet, c.sandbox+"/_control/requests?provider="+u.provider, nil, &log); err != nil {
		return nil, err
	}
	var out []sandbox.Record
	for _, r := range log.Requests {
		if r.UserID == u.id() {
			out = append(out, r)
		}
	}
	return out, nil
}

// held gives the fields that the provider holds of a user now.
func (c *client) held(ctx context.Context, u user) (map[string]any, error) {
	text, err := c.heldText(ctx, u)
	if err != nil {
		return nil, err
	}
	out := make(map[string]any, len(text))
	for key, value := range text {
		var v any
		if err := json.Unmarshal(value, &v); err != nil {
			return nil, err
		}
		out[key] = v
	}
	return out, nil
}

// heldText gives the same to the letter: a number keeps all its digits.
func (c *client) heldText(ctx context.Context, u user) (map[string]json.RawMessage, error) {
	users, err := c.usersAt(ctx, u.connection())
	if err != nil {
		return nil, err
	}
	for _, one := range users {
		if one.UserID == u.id() {
			return one.Fields, nil
		}
	}
	return nil, fmt.Errorf("the provider does not know user %s", u.id())
}

// heldUser is a user as the provider holds it.
type heldUser struct {
	// UserID is ours, SourceID the provider's. One that was created there has no
	// UserID in the sandbox.
	UserID   string                     `json:"user_id"`
	SourceID string                     `json:"user"`
	Fields   map[string]json.RawMessage `json:"fields"`
}

func (c *client) usersAt(ctx context.Context, connection string) ([]heldUser, error) {
	var list struct {
		Users []heldUser `json:"users"`
	}
	err := c.must(ctx, http.StatusOK, http.MethodGet, c.sandbox+"/_control/users?connection="+connection, nil, &list)
	return list.Users, err
}

// fault orders the sandbox to answer badly.
func (c *client) fault(ctx context.Context, f sandbox.Fault) error {
	return c.must(ctx, http.StatusCreated, http.MethodPost, c.sandbox+"/_control/faults", f, nil)
}
