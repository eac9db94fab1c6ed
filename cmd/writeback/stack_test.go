package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/devstack"
	"writeback/internal/doctor"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const (
	simulatorConnection = "00000000-0000-7000-8000-0000000000c4"
	motiveConnection    = "00000000-0000-7000-8000-0000000000c2"
	geotabConnection    = "00000000-0000-7000-8000-0000000000c3"
	samsaraConnection   = "00000000-0000-7000-8000-0000000000c1"
	foreignConnection   = "00000000-0000-7000-8000-0000000000c9"
)

// bench is the tool before a whole development stack, once through the API and once
// at the store.
type bench struct {
	urls devstack.URLs
	// config is the file that the stack makes for the tool.
	config     string
	api, store *desk
}

// newBench keeps the stack's data in a folder.
func newBench(t *testing.T, folder string) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := devstack.Start(ctx, devstack.Options{APIAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", SandboxAddr: "127.0.0.1:0", DataDir: folder})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		require.NoError(t, s.Stop(ctx))
	})
	urls := s.URLs()
	environ := []string{"WRITEBACK_REDIS_URL=" + urls.Redis, "WRITEBACK_NATS_URL=" + urls.NATS}
	return &bench{
		urls: urls, config: s.ToolConfig(), store: &desk{t: t, environ: environ},
		api: &desk{t: t, environ: append([]string{"WRITEBACK_API_URL=" + urls.API}, environ...)},
	}
}

// write accepts an update of a user.
func (b *bench) write(t *testing.T, connection, user string) wire.ResourceOperation {
	t.Helper()
	c := &ctl{}
	defer c.close()
	c.settings.APIURL = b.urls.API
	a, err := c.api()
	require.NoError(t, err)
	var op wire.ResourceOperation
	body := map[string]any{"connection_id": connection, "first_name": secretName}
	require.NoError(t, a.call(t.Context(), http.MethodPatch, "/v2/telematics/users/"+user, nil, body, &op))
	return op
}

// fault orders the sandbox to answer badly, for ever.
func (b *bench) fault(t *testing.T, text string) {
	t.Helper()
	resp, err := http.Post(b.urls.Sandbox+"/_control/faults", "application/json", strings.NewReader(text))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusCreated, resp.StatusCode)
}

// heal takes all faults back.
func (b *bench) heal(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodDelete, b.urls.Sandbox+"/_control/faults", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

// TestStack is the tool before one stack, since each costs seconds to start and to stop.
// The parts come one after the other, and none counts what another has left.
func TestStack(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := newBench(t, folder)
	for _, part := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"Doctor", stackDoctor},
		{"ItsOwnConfig", stackOwnConfig},
		{"OperationsBothWays", stackOperations}, // the first that writes: it counts a partner's
		{"LaneList", stackLanes},
		{"PauseBeforeTheFirstWrite", stackPauseFirst},
		{"UsersSync", stackUsersSync},
		{"Loadtest", stackLoadtest},
		{"LoadtestFindsLoss", stackLoadtestFindsLoss},
		{"RotateKey", func(t *testing.T, b *bench) { stackRotateKey(t, b, folder) }}, // the last: it seals anew
	} {
		t.Run(part.name, func(t *testing.T) {
			defer b.heal(t)
			part.test(t, b)
		})
	}
}

// stackOperations: the store and the API show and do the same.
func stackOperations(t *testing.T, b *bench) {
	b.fault(t, `{"provider":"samsara","status":400,"body":"no","user":"00000000-0000-7000-8000-00000000a101"}`)
	b.fault(t, `{"provider":"samsara","status":503,"user":"00000000-0000-7000-8000-00000000a102"}`)
	b.fault(t, `{"provider":"samsara","status":503,"user":"00000000-0000-7000-8000-00000000a103"}`)
	failed := b.write(t, samsaraConnection, "00000000-0000-7000-8000-00000000a101")
	waiting := []wire.ResourceOperation{
		b.write(t, samsaraConnection, "00000000-0000-7000-8000-00000000a102"), b.write(t, samsaraConnection, "00000000-0000-7000-8000-00000000a103"),
	}
	get := func(d *desk, id string) operationView {
		return asJSON[operationView](d, "operation", "get", samsaraConnection, id)
	}
	require.Eventually(t, func() bool { return get(b.store, failed.ID.String()).Status == operation.Failed }, 20*time.Second, 20*time.Millisecond)
	for i, d := range []*desk{b.store, b.api} {
		v := get(d, failed.ID.String())
		require.Equal(t, operation.Failed, v.Status)
		require.Equal(t, []operation.Field{operation.FieldFirstName}, v.Fields)
		require.Len(t, v.Attempts, 1)
		require.Equal(t, 400, v.Attempts[0].Code)
		require.Nil(t, v.Payload)
		out, _ := d.ctl(0, "operation", "get", samsaraConnection, failed.ID.String(), "--payload")
		require.Contains(t, out, secretName)
		require.Len(t, v.Attempts[0].TraceID, 32, "from an attempt one comes to its trace")
		require.Contains(t, out, "failed validation 400, trace "+v.Attempts[0].TraceID)

		list := asJSON[[]operationView](d, "operation", "list", "--connection", samsaraConnection, "--status", "failed")
		require.NotEmpty(t, list)
		require.Equal(t, failed.ID, list[0].ID)
		require.Empty(t, asJSON[[]operationView](d, "operation", "list", "--connection", simulatorConnection))
		require.Len(t, asJSON[[]operationView](d, "operation", "list", "--connection", samsaraConnection, "--limit", "1"), 1)

		again := asJSON[operationView](d, "operation", "retry", samsaraConnection, failed.ID.String())
		require.Equal(t, failed.ID, *again.RetryOf)
		require.NotEqual(t, failed.ID, again.ID)
		require.Eventually(t, func() bool { return get(d, again.ID.String()).Status == operation.Failed }, 20*time.Second, 20*time.Millisecond)

		id := waiting[i].ID.String()
		_, errOut := d.ctl(1, "operation", "retry", samsaraConnection, id)
		require.Contains(t, errOut, "only a failed one can be retried")
		cancelled := asJSON[operationView](d, "operation", "cancel", samsaraConnection, id)
		require.True(t, cancelled.Status == operation.Failed || cancelled.Cancelling)
		require.Eventually(t, func() bool { return get(d, id).Status == operation.Failed }, 20*time.Second, 20*time.Millisecond)
		if !cancelled.Cancelling {
			require.Len(t, cancelled.Attempts, cancelled.Attempted+1, "the row of the cancel is no attempt")
			out, _ := d.ctl(0, "operation", "get", samsaraConnection, id)
			require.NotContains(t, out, fmt.Sprintf("attempt %d ", len(cancelled.Attempts)))
		}
		_, errOut = d.ctl(1, "operation", "cancel", samsaraConnection, id)
		require.Contains(t, errOut, "has ended as failed")
		d.ctl(1, "operation", "get", simulatorConnection, failed.ID.String())
		d.ctl(1, "operation", "cancel", simulatorConnection, id)
	}
	require.Empty(t, asJSON[[]operationView](b.store, "operation", "list", "--connection", foreignConnection))
	require.Len(t, asJSON[[]operationView](b.store, "operation", "list", "--partner", failed.PartnerID.String()), 5)
	_, errOut := b.api.ctl(2, "operation", "list", "--partner", failed.PartnerID.String())
	require.Contains(t, errOut, "not for the API")
}

func stackLanes(t *testing.T, b *bench) {
	require.Empty(t, asJSON[[]laneRow](b.store, "lane", "list"))
	b.fault(t, `{"provider":"motive","status":429,"retry_after":"300"}`)
	b.write(t, motiveConnection, "00000000-0000-7000-8000-00000000a201")
	b.write(t, simulatorConnection, "00000000-0000-7000-8000-00000000a401")
	require.Eventually(t, func() bool {
		rows := asJSON[[]laneRow](b.store, "lane", "list")
		return len(rows) == 1 && rows[0].Blocked != nil
	}, 20*time.Second, 20*time.Millisecond)
	row := asJSON[[]laneRow](b.store, "lane", "list")[0]
	require.Equal(t, []any{motiveConnection, "motive", 1, false}, []any{row.Connection.String(), row.Provider, row.Outstanding, row.Paused})
	all := asJSON[[]laneRow](b.store, "lane", "list", "--all")
	require.Len(t, all, len(asJSON[[]connectionView](b.store, "connection", "list")), "idle ones too, used or not")
	require.Greater(t, len(all), 2)
	b.store.ctl(0, "lane", "pause", simulatorConnection)
	rows := asJSON[[]laneRow](b.store, "lane", "list")
	require.Len(t, rows, 2, "a paused lane is shown though it has no work")
	require.True(t, rows[1].Paused)
	text, _ := b.store.ctl(0, "lane", "list")
	require.Regexp(t, motiveConnection+` +motive +1 +`, text)

	without := &desk{t: t, environ: append([]string{"WRITEBACK_NATS_URL=nats://127.0.0.1:1"}, b.store.environ[0])}
	out, errOut := without.ctl(0, "lane", "list", "--json")
	require.Contains(t, errOut, "only lanes in the due index")
	require.Contains(t, out, motiveConnection)

	// A shell is offered the connections.
	out, _ = b.store.ctl(0, "__complete", "lane", "show", "")
	require.Contains(t, out, motiveConnection+"\tmotive")
	out, _ = b.store.ctl(0, "__complete", "operation", "list", "--connection", "")
	require.Contains(t, out, motiveConnection+"\tmotive")
	out, _ = b.store.ctl(0, "__complete", "operation", "")
	require.Contains(t, out, "retry\t")
	b.store.ctl(0, "lane", "resume", simulatorConnection)
}

// stackPauseFirst: a connection that nothing was accepted for can be paused, as one that
// is in doubt; one that there is not cannot.
func stackPauseFirst(t *testing.T, b *bench) {
	_, errOut := b.store.ctl(1, "lane", "show", geotabConnection)
	require.Contains(t, errOut, "nothing was ever accepted")
	type answer struct{ Paused, Kept bool }
	require.Equal(t, answer{true, true}, asJSON[answer](b.store, "lane", "pause", geotabConnection))
	op := b.write(t, geotabConnection, "00000000-0000-7000-8000-00000000a301")
	l := asJSON[laneView](b.store, "lane", "show", geotabConnection)
	require.Equal(t, []any{true, 1, 0}, []any{l.Paused, l.Outstanding, l.InFlight})
	get := func() operation.Status {
		return asJSON[operationView](b.store, "operation", "get", geotabConnection, op.ID.String()).Status
	}
	require.Equal(t, operation.Pending, get())
	require.Equal(t, answer{false, true}, asJSON[answer](b.store, "lane", "resume", geotabConnection))
	require.Eventually(t, func() bool { return get() == operation.Succeeded }, 20*time.Second, 20*time.Millisecond)

	_, errOut = b.store.ctl(1, "lane", "pause", "00000000-0000-7000-8000-00000000ffff")
	require.Contains(t, errOut, "there is no such connection")
	without := &desk{t: t, environ: append([]string{"WRITEBACK_NATS_URL=nats://127.0.0.1:1"}, b.store.environ[0])}
	_, errOut = without.ctl(1, "lane", "pause", "00000000-0000-7000-8000-0000000000c5")
	require.Contains(t, errOut, "whether there is one cannot be told")
}

func stackUsersSync(t *testing.T, b *bench) {
	out, _ := b.store.ctl(0, "users", "sync", samsaraConnection)
	require.Regexp(t, samsaraConnection+` +samsara +finished`, out)
	v := asJSON[[]syncView](b.store, "users", "status", samsaraConnection)[0]
	require.Positive(t, v.Users)
	require.NotNil(t, v.FinishedAt)
}

func stackLoadtest(t *testing.T, b *bench) {
	v := asJSON[loadView](b.api, "loadtest", "--rate", "100", "--count", "120", "--users", "10")
	require.Equal(t, []int{120, 120, 120, 0, 0}, []int{v.Sent, v.Accepted, v.Succeeded, v.Failed, v.Lost})
	require.Positive(t, v.Accept.P50)
	require.GreaterOrEqual(t, v.End.Max, v.End.P99)
	out, _ := b.api.ctl(0, "loadtest", "--rate", "20", "--duration", "500ms", "--connection", samsaraConnection)
	require.Regexp(t, `accepted +10, `, out)
	require.Regexp(t, `lost +0`, out)
	require.Regexp(t, `time to end +p50 `, out)

	// One that does not end in time is lost, and so the code.
	b.fault(t, `{"provider":"samsara","status":503}`)
	out, errOut := b.api.ctl(1, "loadtest", "--count", "1", "--settle", "1s", "--connection", samsaraConnection, "--json")
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, 1, v.Lost)
	require.Len(t, v.LostIDs, 1)
	require.Contains(t, errOut, "1 of them lost")
}

// stackRotateKey seals what a running stack has stored under a new key.
func stackRotateKey(t *testing.T, b *bench, folder string) {
	c := &ctl{}
	defer c.close()
	c.settings.APIURL = b.urls.API
	a, err := c.api()
	require.NoError(t, err)
	hook := map[string]any{"event_name": "resource_operation.succeeded", "url": "http://127.0.0.1:1/hook"}
	require.NoError(t, a.call(t.Context(), http.MethodPost, "/v2/notifications/webhooks", nil, hook, nil))

	keyset := filepath.Join(folder, "keyset.json")
	d := &desk{t: t, environ: append(b.store.environ, "WRITEBACK_KEYSET_FILE="+keyset)}
	rotate := func() map[string]sealedView { return asJSON[map[string]sealedView](d, "connection", "rotate-key") }
	require.Equal(t, sealedView{Unchanged: 1}, rotate()["webhooks"])
	d.ctl(0, "keyset", "add", keyset)
	d.ctl(0, "keyset", "promote", keyset)
	sealed := rotate()
	require.Equal(t, sealedView{Sealed: 1}, sealed["webhooks"])
	require.Positive(t, sealed["credentials"].Sealed)
	require.Zero(t, sealed["credentials"].Unchanged)
	require.Equal(t, sealedView{Unchanged: 1}, rotate()["webhooks"])

	other := filepath.Join(t.TempDir(), "keyset.json")
	d.ctl(0, "keyset", "create", other)
	d.environ = append(b.store.environ, "WRITEBACK_KEYSET_FILE="+other)
	_, errOut := d.ctl(1, "connection", "rotate-key")
	require.Contains(t, errOut, "WRITEBACK_KEYSET_FILE does not open them")
}

// stackLoadtestFindsLoss has an API that forgets every tenth operation.
func stackLoadtestFindsLoss(t *testing.T, b *bench) {
	target, err := url.Parse(b.urls.API)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	forgetful := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/resource-operations/") && strings.HasSuffix(r.URL.Path, "0") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(forgetful.Close)
	d := &desk{t: t, environ: []string{"WRITEBACK_API_URL=" + forgetful.URL}}
	out, _ := d.ctl(1, "loadtest", "--rate", "200", "--count", "200", "--json")
	var v loadView
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, 200, v.Accepted)
	require.Positive(t, v.Lost)
	require.Equal(t, 200, v.Lost+v.Succeeded)
}

func stackDoctor(t *testing.T, b *bench) {
	d := &desk{t: t, environ: append([]string{
		"WRITEBACK_OIDC_ISSUER=" + b.urls.API + "/realms/catena", "WRITEBACK_OPERATIONS_MAX_BYTES=512MiB", "WRITEBACK_EVENTS_MAX_BYTES=1GiB",
	}, b.store.environ...)}
	var v doctorView
	require.Eventually(t, func() bool {
		// The stack has a keyset of its own, and keeps nothing on disk.
		out, _ := d.ctl(2, "doctor", "--json")
		require.NoError(t, json.Unmarshal([]byte(out), &v))
		return !slices.ContainsFunc(v.Findings, begins)
	}, 20*time.Second, 100*time.Millisecond, "the first polls come after the start")
	require.Equal(t, doctor.Fail, v.Status)
	for _, f := range v.Findings {
		require.True(t, f.Status == doctor.OK || f.Check == "credentials" || f.Check == "keyset" || f.Check == "redis persistence", "%+v", f)
	}
	text, _ := d.ctl(2, "doctor")
	require.Regexp(t, `FAIL +credentials +those of \d+ of \d+ connections are sealed`, text)
	require.Contains(t, text, "→ set WRITEBACK_KEYSET_FILE")
	require.Regexp(t, `\d+ ok, \d+ warnings, 1 failures`, text)
}

// begins tells the findings that are of a stack which has just started.
func begins(f doctor.Finding) bool {
	return f.Status != doctor.OK && (f.Check == "workers" || f.Check == "webhook queue")
}

// stackOwnConfig: with the file that the stack makes for it, the tool finds
// everything, and nothing that is wrong.
func stackOwnConfig(t *testing.T, b *bench) {
	var v doctorView
	require.Eventually(t, func() bool {
		var out, errOut bytes.Buffer
		code := run(t.Context(), []string{"doctor", "--config", b.config, "--json"}, nil, &out, &errOut)
		require.NoError(t, json.Unmarshal(out.Bytes(), &v), errOut.String())
		require.Equal(t, map[doctor.Status]int{doctor.OK: 0, doctor.Warn: 1, doctor.Fail: 2}[v.Status], code)
		return !slices.ContainsFunc(v.Findings, begins)
	}, 20*time.Second, 100*time.Millisecond, "the first polls come after the start")
	for _, f := range v.Findings {
		require.True(t, f.Status == doctor.OK || f.Check == "redis persistence", "%+v", f)
	}
	warned := &desk{t: t, environ: []string{"WRITEBACK_NAST_URL=x"}}
	out, _ := warned.ctl(1, "doctor", "--config", b.config)
	require.Contains(t, out, "did you mean WRITEBACK_NATS_URL?")
	out, _ = (&desk{t: t}).ctl(0, "connection", "show", samsaraConnection, "--config", b.config)
	require.Regexp(t, `locked +no`, out)
}

func TestAPI_NeedsAToken(t *testing.T) {
	t.Parallel()
	d := &desk{t: t, environ: []string{"WRITEBACK_API_URL=https://api.example.com"}}
	_, errOut := d.ctl(2, "operation", "list")
	require.Contains(t, errOut, "WRITEBACK_CLIENT_SECRET")
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"message":"Forbidden","detail":"not with %t"}`, r.Header.Get("Authorization") == "Bearer planted")
	}))
	t.Cleanup(refusing.Close)
	d.environ = []string{"WRITEBACK_API_URL=" + refusing.URL, "WRITEBACK_TOKEN=planted"}
	_, errOut = d.ctl(1, "operation", "list")
	require.Contains(t, errOut, "the API answered 403: not with true")
	require.NotContains(t, errOut, "planted")
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"message":"Conflict","detail":"it has ended"}`:                                                                                "it has ended",
		`{"message":"Too Many Requests","detail":{"retry_after_seconds":3,"message":"slower"}}`:                                         "slower",
		`{"message":"Invalid","detail":[{"path":"body.a","input":"planted","message":"is bad"},{"path":"body.b","message":"is none"}]}`: "body.a is bad; body.b is none",
		`{"message":"Gone","detail":null}`:                                                                                              "Gone",
		`<html>`:                                                                                                                        "no JSON",
	} {
		require.Equal(t, want, refusal([]byte(body)))
	}
}
