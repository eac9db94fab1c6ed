package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	motive "writeback/pkg/tsp/motive/box"
	samsara "writeback/pkg/tsp/samsara/box"
)

const (
	samsaraToken = "sandbox-samsara-c1"
	motiveToken  = "sandbox-motive-c2"
	jsonType     = "application/json"
)

// box is a sandbox behind a real server.
type box struct {
	t      *testing.T
	sb     *sandbox.Sandbox
	url    string
	client *http.Client
}

func newBox(t *testing.T, cfg sandbox.Config) *box {
	t.Helper()
	if cfg.Parts == nil {
		cfg.Parts = boxes.Parts(boxes.Config{})
	}
	sb := sandbox.New(cfg)
	server := httptest.NewServer(sb.Handler())
	t.Cleanup(func() {
		sb.Close()
		server.Close()
	})
	return &box{t: t, sb: sb, url: server.URL, client: server.Client()}
}

// oauthSeeds are the dev connections with credentials that can be refreshed.
func oauthSeeds() []sandbox.Seed {
	return sandbox.Seeds(boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true}, Motive: motive.Config{OAuth: true}}))
}

type result struct {
	status int
	header http.Header
	body   string
}

// json decodes the body with numbers as they were written.
func (r result) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(r.body))
	d.UseNumber()
	require.NoError(t, d.Decode(&v), "body: %s", r.body)
	return v
}

// try makes a call and gives the transport's error.
func (b *box) try(method, path, body string, headers ...string) (result, error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, bytes.NewReader([]byte(body)))
	require.NoError(b.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return result{resp.StatusCode, resp.Header, string(raw)}, err
}

func (b *box) call(method, path, body string, headers ...string) result {
	b.t.Helper()
	r, err := b.try(method, path, body, headers...)
	require.NoError(b.t, err)
	return r
}

func (b *box) samsara(method, path, body string) result {
	b.t.Helper()
	return b.call(method, "/samsara"+path, body, "Authorization", "Bearer "+samsaraToken, "Content-Type", jsonType)
}

func (b *box) motive(method, path, body string) result {
	b.t.Helper()
	return b.call(method, "/motive"+path, body, "Authorization", "Bearer "+motiveToken, "Content-Type", jsonType)
}

func (b *box) rpc(body string) result {
	b.t.Helper()
	return b.call("POST", "/geotab/apiv1", body, "Content-Type", jsonType)
}

// login gives the credentials member of a session.
func (b *box) login() string {
	b.t.Helper()
	r := b.rpc(`{"method":"Authenticate","params":{"database":"sandbox_c3","userName":"service@northwind.example","password":"sandbox-geotab-c3"}}`)
	result, ok := r.json(b.t)["result"].(map[string]any)
	require.True(b.t, ok, r.body)
	raw, err := json.Marshal(result["credentials"])
	require.NoError(b.t, err)
	return string(raw)
}

// geotab makes a data call; params is the inside of the object.
func (b *box) geotab(session, method, params string) result {
	b.t.Helper()
	return b.rpc(`{"method":"` + method + `","params":{"credentials":` + session + `,` + params + `}}`)
}

// exception gives the name of a Geotab error, or "".
func exception(t *testing.T, r result) string {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	failure, _ := r.json(t)["error"].(map[string]any)
	if failure == nil {
		return ""
	}
	name := failure["data"].(map[string]any)["type"].(string)
	require.Equal(t, name, failure["errors"].([]any)[0].(map[string]any)["name"])
	return name
}

func (b *box) fault(body string) {
	b.t.Helper()
	r := b.call("POST", "/_control/faults", body)
	require.Equal(b.t, http.StatusCreated, r.status, r.body)
}

type recordList struct {
	Requests []sandbox.Record `json:"requests"`
	Dropped  uint64           `json:"dropped"`
}

func (b *box) records(query string) recordList {
	b.t.Helper()
	r := b.call("GET", "/_control/requests"+query, "")
	require.Equal(b.t, http.StatusOK, r.status, r.body)
	var list recordList
	require.NoError(b.t, json.Unmarshal([]byte(r.body), &list), r.body)
	return list
}

func (b *box) last() sandbox.Record {
	b.t.Helper()
	list := b.records("").Requests
	require.NotEmpty(b.t, list)
	return list[len(list)-1]
}

// clock is a settable time.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}
