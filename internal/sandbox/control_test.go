package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	samsara "writeback/pkg/tsp/samsara/box"
)

func TestControl_FaultsAreReadStrictly(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	for body, says := range map[string]string{
		`{`:                                                                    "not a fault",
		`{"provider":"samsara","stauts":500}`:                                  "stauts",
		`{"provider":"samsara","status":500} {}`:                               "more after",
		`{"provider":"samsara","status":"500"}`:                                "status",
		`{"provider":"nobody","status":500}`:                                   "provider",
		`{"status":500}`:                                                       "provider",
		`{"provider":"samsara"}`:                                               "nothing",
		`{"provider":"samsara","count":1}`:                                     "nothing",
		`{"provider":"samsara","status":99}`:                                   "status",
		`{"provider":"samsara","latency_ms":-1}`:                               "latency_ms",
		`{"provider":"samsara","status":500,"count":-1}`:                       "count",
		`{"provider":"samsara","hang":true,"reset":true}`:                      "hang",
		`{"provider":"samsara","retry_after":1}`:                               "retry_after",
		`{"provider":"samsara","geotab_error":"OverLimitException"}`:           "geotab_error",
		`{"provider":"geotab","geotab_error":"Overflow"}`:                      "geotab_error",
		`{"provider":"geotab","geotab_error":"GenericException","status":500}`: "geotab_error",
	} {
		r := b.call("POST", "/_control/faults", body)
		require.Equal(t, http.StatusBadRequest, r.status, body)
		require.Contains(t, r.json(t)["error"], says, body)
	}
	for _, path := range []string{"/_control/requests?foo=1", "/_control/requests?since=yesterday", "/_control/users?user=1", "/_control/requests?provider=a&provider=b"} {
		require.Equal(t, http.StatusBadRequest, b.call("GET", path, "").status, path)
	}
	require.Equal(t, http.StatusMethodNotAllowed, b.call("PUT", "/_control/faults", "{}").status)
	require.Equal(t, http.StatusNotFound, b.call("GET", "/nothing", "").status)
	require.Equal(t, http.StatusOK, b.call("GET", "/_control/health", "").status)
	require.Contains(t, b.call("GET", "/_control/faults", "").body, `"faults":[]`)
}

func TestFaults_AnswerInsteadOfTheProvider(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, fault string
		status      int
		retryAfter  string
		body        string
		kind        string
	}{
		{"5xx is plain text", `{"provider":"samsara","status":503}`, 503, "", "service unavailable", "text/plain"},
		{"4xx is an error object", `{"provider":"samsara","status":403}`, 403, "", `"message":"Forbidden"`, "application/json"},
		{"retry after as sent", `{"provider":"samsara","status":429,"retry_after":"0.40235"}`, 429, "0.40235", "requestId", "application/json"},
		{"retry after alone", `{"provider":"samsara","retry_after":"soon"}`, 429, "soon", "requestId", "application/json"},
		{"text body", `{"provider":"samsara","status":502,"body":"<html>"}`, 502, "", "<html>", "text/plain"},
		{"JSON body", `{"provider":"samsara","body":{"data":{}}}`, 200, "", `{"data":{}}`, "application/json"},
		{"garbage success", `{"provider":"samsara","status":200,"body":"{\"da"}`, 200, "", `{"da`, "text/plain"},
		{"by source id", `{"provider":"samsara","user":"494105","status":500}`, 500, "", "", "text/plain"},
		{"by dev id", `{"provider":"samsara","user":"` + sandbox.UserID(1, 5) + `","status":500}`, 500, "", "", "text/plain"},
		{"by connection", `{"provider":"samsara","connection":"` + sandbox.ConnectionID(1) + `","status":500}`, 500, "", "", "text/plain"},
		{"another provider", `{"provider":"motive","status":500}`, 200, "", "494105", "application/json"},
		{"another user", `{"provider":"samsara","user":"494106","status":500}`, 200, "", "494105", "application/json"},
		{"another connection", `{"provider":"samsara","connection":"` + sandbox.ConnectionID(9) + `","status":500}`, 200, "", "494105", "application/json"},
		{"latency alone", `{"provider":"samsara","latency_ms":1}`, 200, "", "494105", "application/json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Config{})
			b.fault(tt.fault)
			require.Equal(t, http.StatusOK, b.samsara("GET", driver5, "").status, "reads are not hit")
			r := b.samsara("PATCH", driver5, `{"notes":"x"}`)
			require.Equal(t, tt.status, r.status, r.body)
			require.Equal(t, tt.retryAfter, r.header.Get("Retry-After"))
			require.Contains(t, r.body, tt.body)
			require.Contains(t, r.header.Get("Content-Type"), tt.kind)
			last := b.last()
			require.Equal(t, tt.status, last.Status)
			require.Equal(t, strings.Contains(tt.name, "another"), !last.Fault)
			require.Equal(t, !last.Fault || tt.name == "latency alone", last.AppliedSeq == 1, "a fault does not write")
		})
	}
}

func TestFaults_CountReadsAndApply(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	b.fault(`{"provider":"motive","status":429,"count":2}`)
	b.fault(`{"provider":"motive","status":500,"count":1,"reads":true,"body":"later"}`)
	patch := func() int { return b.motive("PUT", user5, `{"first_name":"A"}`).status }
	require.Equal(t, []int{429, 429, 500, 200}, []int{patch(), patch(), patch(), patch()})
	b.fault(`{"provider":"motive","status":500,"reads":true}`)
	require.Equal(t, 500, b.motive("GET", user5, "").status)
	require.Equal(t, http.StatusNoContent, b.call("DELETE", "/_control/faults", "").status)
	require.Equal(t, 200, b.motive("GET", user5, "").status)

	b.fault(`{"provider":"motive","status":504,"apply":true,"count":1}`)
	r := b.motive("PUT", user5, `{"first_name":"Applied"}`)
	require.Equal(t, 504, r.status)
	require.Contains(t, r.json(t), "error_message")
	require.Equal(t, int64(2), b.last().AppliedSeq)
	require.Equal(t, "Applied", person(t, b.motive("GET", user5, "").body)["first_name"])
}

func TestFaults_Geotab(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	session := b.login()
	e := b.entity(session)
	b.fault(`{"provider":"geotab","geotab_error":"OverLimitException","retry_after":"58","user":"b6","count":1}`)
	require.NotEmpty(t, b.login(), "logins are not hit")
	r := b.setEntity(session, e)
	require.Equal(t, "OverLimitException", exception(t, r))
	require.Equal(t, "58", r.header.Get("Retry-After"))
	b.fault(`{"provider":"geotab","status":502,"connection":"` + sandbox.ConnectionID(3) + `","count":1}`)
	r = b.setEntity(session, e)
	require.Equal(t, 502, r.status)
	require.Contains(t, r.header.Get("Content-Type"), "text/html")
	b.fault(`{"provider":"geotab","geotab_error":"DbUnavailableException","logins":true,"count":1}`)
	r = b.rpc(`{"method":"Authenticate","params":{"database":"sandbox_c3","userName":"service@northwind.example","password":"sandbox-geotab-c3"}}`)
	require.Equal(t, "DbUnavailableException", exception(t, r))
	require.Empty(t, exception(t, b.setEntity(session, e)))
}

func TestFaults_Reset(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	b.fault(`{"provider":"samsara","reset":true,"count":1}`)
	_, err := b.try("PATCH", "/samsara"+driver5, `{}`, "Authorization", "Bearer "+samsaraToken, "Content-Type", jsonType)
	require.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF), "%v", err)
	require.Equal(t, 0, b.last().Status)
	require.True(t, b.last().Fault)
}

func TestFaults_HangUntilTheClientLeaves(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	b.fault(`{"provider":"samsara","hang":true}`)
	ctx, leave := context.WithCancelCause(t.Context())
	req, err := http.NewRequestWithContext(ctx, "PATCH", b.url+"/samsara"+driver5, strings.NewReader(`{}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+samsaraToken)
	req.Header.Set("Content-Type", jsonType)
	done := make(chan error, 1)
	go func() {
		resp, err := b.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}()
	require.Eventually(t, func() bool {
		list := b.records("?provider=samsara").Requests
		return len(list) == 1 && list[0].Open
	}, 10*time.Second, time.Millisecond, "the call is seen while it hangs")
	leave(errors.New("enough"))
	require.Error(t, <-done)
	require.Eventually(t, func() bool { return !b.last().Open }, 10*time.Second, time.Millisecond)
}

func TestFaults_HangEndsWithTheSandbox(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	b.fault(`{"provider":"samsara","hang":true}`)
	done := make(chan error, 1)
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", b.url+"/samsara"+driver5, strings.NewReader(`{}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+samsaraToken)
	req.Header.Set("Content-Type", jsonType)
	go func() {
		resp, err := b.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}()
	require.Eventually(t, func() bool { return len(b.records("").Requests) == 1 }, 10*time.Second, time.Millisecond)
	b.sb.Close()
	require.Error(t, <-done)
}

func TestRecords_MaskCredentials(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	session := b.login()
	e := b.entity(session)
	e["password"] = "hunter22"
	require.Empty(t, exception(t, b.setEntity(session, e)))
	b.samsara("PATCH", driver5, `{"password":"hunter22"}`)
	b.samsara("PATCH", driver5, `{"p\u0061ssword":"hunter22"}`)
	b.samsara("PATCH", driver5, `{"password":"hunter22"`)
	b.call("POST", "/samsara/oauth2/token", "grant_type=refresh_token&refresh_token=hunter22", "Content-Type", "application/x-www-form-urlencoded")
	b.call("GET", "/motive"+user5+"?access_token=hunter22", "")
	var credentials map[string]string
	require.NoError(t, json.Unmarshal([]byte(session), &credentials))
	log := b.call("GET", "/_control/requests", "").body
	for _, secret := range []string{"hunter22", "sandbox-geotab-c3", samsaraToken, motiveToken, credentials["sessionId"]} {
		require.NotContains(t, log, secret)
	}
	require.Contains(t, log, `"sessionId":"*****"`)
	require.Contains(t, log, "9223372036854775807", "what is not secret is exact")
	require.NotContains(t, b.call("GET", "/_control/users", "").body, "hunter22")
}

func TestRecords_ShowTheCallAndFilter(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{MaxRequests: 5})
	b.samsara("PATCH", driver5, `{"notes":"one"}`)
	b.samsara("PATCH", driver5, `{"notes":1}`)
	b.motive("GET", user5, "")
	list := b.records("").Requests
	require.Len(t, list, 3)
	first := list[0]
	require.Equal(t, []any{"samsara", sandbox.ConnectionID(1), "494105", sandbox.UserID(1, 5), "patch driver", "PATCH", "/samsara" + driver5, true, 200, int64(1)},
		[]any{first.Provider, first.Connection, first.User, first.UserID, first.Call, first.Method, first.Path, first.Write, first.Status, first.AppliedSeq})
	require.JSONEq(t, `{"notes":"one"}`, string(first.Body))
	require.Positive(t, first.Duration)
	require.Equal(t, 400, list[1].Status)
	require.Zero(t, list[1].AppliedSeq)
	require.Len(t, b.records("?provider=motive").Requests, 1)
	require.Len(t, b.records("?since=2").Requests, 1)
	since := list[0].Time.Format(time.RFC3339Nano)
	require.Len(t, b.records("?since="+since).Requests, 2)
	for range 4 {
		b.motive("GET", user5, "")
	}
	full := b.records("")
	require.Len(t, full.Requests, 5)
	require.Equal(t, uint64(2), full.Dropped)
	require.Equal(t, uint64(3), full.Requests[0].ID)
	require.Equal(t, http.StatusNoContent, b.call("DELETE", "/_control/requests", "").status)
	require.Empty(t, b.records("").Requests)
	b.motive("GET", user5, "")
	require.Equal(t, uint64(8), b.last().ID, "ids go on")
}

func TestRecords_AreBoundedInBytes(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{MaxRequestBytes: 2500})
	for range 5 {
		b.samsara("PATCH", driver5, `{"notes":"`+strings.Repeat("x", 1000)+`"}`)
	}
	require.Len(t, b.records("").Requests, 2)
	require.Equal(t, uint64(3), b.records("").Dropped)
}

func TestBody_TooLarge(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	r := b.samsara("PATCH", driver5, `{"notes":"`+strings.Repeat("x", 5<<20)+`"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, r.status)
}

func TestAppliedSeq_IsTheOrderOfTheState(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() {
			path := fmt.Sprintf("/samsara/fleet/drivers/%s", samsara.UserID(1, n%2))
			_, err := b.try("PATCH", path, fmt.Sprintf(`{"notes":"%d"}`, n), "Authorization", "Bearer "+samsaraToken, "Content-Type", jsonType)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last := map[string]sandbox.Record{}
	count := map[string]int64{}
	for _, r := range b.records("").Requests {
		count[r.User]++
		if r.AppliedSeq > last[r.User].AppliedSeq {
			last[r.User] = r
		}
	}
	for n := range 2 {
		id := samsara.UserID(1, n)
		require.Equal(t, int64(20), count[id])
		require.Equal(t, int64(20), last[id].AppliedSeq)
		var sent map[string]any
		require.NoError(t, json.Unmarshal(last[id].Body, &sent))
		now := b.samsara("GET", "/fleet/drivers/"+id, "").json(t)["data"].(map[string]any)
		require.Equal(t, sent["notes"], now["notes"])
	}
}

func TestUsers_ShowTheState(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	b.motive("PUT", user5, `{"eld_mode":"exempt","time_tracking_mode":"timecards","dot_id":"77"}`)
	users := b.call("GET", "/_control/users?provider=motive&connection="+sandbox.ConnectionID(2), "").json(t)["users"].([]any)
	require.Len(t, users, 100)
	five := users[5].(map[string]any)
	require.Equal(t, sandbox.UserID(2, 5), five["user_id"])
	require.Equal(t, json.Number("1"), five["applied_seq"])
	require.Equal(t, "timecards", five["fields"].(map[string]any)["time_tracking_mode"])
	require.Len(t, b.call("GET", "/_control/users", "").json(t)["users"].([]any), 100*(len(boxes.Seeds())-1), "the simulator has no wire")
}
