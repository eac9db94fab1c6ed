package devstack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
)

// op is what the tests of retries read of an operation.
type op struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	SourceID string `json:"source_id"`
	RetryOf  string `json:"retry_of"`
	text     string
}

// A create gets through, its answer is lost, and it ends failed. Its retries, two at
// once, find the user that it made: there is one.
func aRetriedCreateMakesNoSecondUser(t *testing.T, s *devstack.Stack) {
	token, err := s.Token(t.Context(), devstack.DemoClient, devstack.DemoSecret)
	require.NoError(t, err)
	for _, row := range []struct {
		digit          int
		provider, name string
	}{{1, "samsara", "lost.answer"}, {3, "geotab", "lost.answer@example.com"}} {
		t.Run(row.provider, func(t *testing.T) {
			call := func(method, path, body string, want int) (o op) {
				t.Helper()
				status, text := send(t, method, s.URLs().API+path, token, body)
				require.Equal(t, want, status, text)
				require.NoError(t, json.Unmarshal([]byte(text), &o))
				o.text = text
				return o
			}
			status, text := send(t, http.MethodPost, s.URLs().Sandbox+"/_control/faults", "",
				fmt.Sprintf(`{"provider":%q,"status":500,"apply":true,"count":1}`, row.provider))
			require.Equal(t, http.StatusCreated, status, text)

			connection := sandbox.ConnectionID(row.digit)
			operations := "/v2/integrations/connections/" + connection + "/resource-operations/"
			failed := call(http.MethodPost, "/v2/telematics/users?is_sync=true",
				fmt.Sprintf(`{"connection_id":%q,"username":%q,"first_name":"Lost","last_name":"Answer"}`, connection, row.name), http.StatusBadGateway)
			require.Equal(t, "failed", failed.Status)

			retries := []op{
				call(http.MethodPost, operations+failed.ID+"/retry", "", http.StatusAccepted),
				call(http.MethodPost, operations+failed.ID+"/retry", "", http.StatusAccepted),
			}
			for i := range retries {
				require.Eventually(t, func() bool {
					retries[i] = call(http.MethodGet, operations+retries[i].ID, "", http.StatusOK)
					return retries[i].Status != "pending"
				}, time.Minute, 20*time.Millisecond)
				require.Equal(t, "success", retries[i].Status, retries[i].text)
				require.Equal(t, failed.ID, retries[i].RetryOf)
				require.NotEmpty(t, retries[i].SourceID)
			}
			require.Equal(t, retries[0].SourceID, retries[1].SourceID)
			_, users := send(t, http.MethodGet, s.URLs().Sandbox+"/_control/users?connection="+connection, "", "")
			require.Equal(t, 1, strings.Count(users, `name":"`+row.name+`"`), "users of that name at the provider")
		})
	}
}
