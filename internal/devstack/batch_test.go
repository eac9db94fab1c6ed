package devstack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
	"writeback/pkg/operation"
	simulator "writeback/pkg/tsp/simulator/box"
	"writeback/pkg/webhook"
)

// told keeps which operations an endpoint was told of.
type told struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (d *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := webhook.ReadBody(r, 1<<20)
	var event webhook.Event
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, raw := range event.Data {
		var op struct{ ID string }
		if json.Unmarshal(raw, &op) == nil {
			d.ids[event.EventName+" "+op.ID] = true
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

func (d *told) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ids)
}

// TestBatch_EveryElementEnds sends 130 updates in one request through the programs as
// they ship: each ends, the last one of a user is what its provider has, and webhooks
// are told of each accept and each end.
func TestBatch_EveryElementEnds(t *testing.T) {
	const n, users, digit = 130, 13, 4 // the simulator; two full messages and a bit
	s := start(t, options(t, devstack.RedisProcess))
	endpoint := &told{ids: map[string]bool{}}
	receiver := httptest.NewServer(endpoint)
	t.Cleanup(receiver.Close)
	token, err := s.Token(t.Context(), devstack.DemoClient, devstack.DemoSecret)
	require.NoError(t, err)
	for _, event := range []string{"resource_operation.created", "resource_operation.succeeded"} {
		status, body := send(t, http.MethodPost, s.URLs().API+"/v2/notifications/webhooks", token,
			`{"url":"`+receiver.URL+`","event_name":"`+event+`"}`)
		require.Equal(t, http.StatusOK, status, body)
	}
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"user_id":"%s","connection_id":"%s","notes":"note %d"}`+"\n",
			sandbox.UserID(digit, i%users), sandbox.ConnectionID(digit), i)
	}
	ids := sendLines(t, s.URLs().API+"/v2/telematics/users/batch", token, lines.String())
	require.Len(t, ids, n)
	require.Eventually(t, func() bool { return endpoint.count() == 2*n }, 60*time.Second, 50*time.Millisecond,
		"webhooks are told of each accept and each end")
	connection := uuid.MustParse(sandbox.ConnectionID(digit))
	for i := n - users; i < n; i++ {
		has := s.SimulatorUser(connection, simulator.UserID(i%users))
		require.Equal(t, fmt.Sprintf("note %d", i), has[operation.FieldNotes].Text(), "the last write of the user")
	}
	for _, id := range ids {
		require.True(t, endpoint.ids["resource_operation.created "+id])
		require.True(t, endpoint.ids["resource_operation.succeeded "+id])
	}
}

// sendLines sends a batch as lines and gives the ids of its operations.
func sendLines(t *testing.T, url, token, body string) (ids []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Close = true
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	for dec := json.NewDecoder(resp.Body); dec.More(); {
		var result struct {
			Status    int
			Operation struct{ ID string }
		}
		require.NoError(t, dec.Decode(&result))
		require.Equal(t, http.StatusAccepted, result.Status)
		ids = append(ids, result.Operation.ID)
	}
	return ids
}
