package devstack_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const anyPort = "127.0.0.1:0"

func options(t *testing.T, kind devstack.RedisKind) devstack.Options {
	t.Helper()
	return devstack.Options{
		APIAddr: anyPort, AdminAddr: anyPort, SandboxAddr: anyPort, Redis: kind, Log: t.Output(),
		Environ: []string{"WRITEBACK_LOG_LEVEL=warn"},
	}
}

func start(t *testing.T, o devstack.Options) *devstack.Stack {
	t.Helper()
	if o.Redis == devstack.RedisProcess && o.RedisURL == "" {
		needRedis(t)
	}
	s, err := devstack.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *devstack.Stack) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
}

// send makes a request and gives status and body.
func send(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Close = true
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// syncWrite writes to user 5 of connection 1 and expects it at the provider.
func syncWrite(t *testing.T, s *devstack.Stack, notes string) {
	t.Helper()
	token, err := s.Token(t.Context(), devstack.DemoClient, devstack.DemoSecret)
	require.NoError(t, err)
	status, body := send(t, http.MethodPatch, s.URLs().API+"/v2/telematics/users/"+sandbox.UserID(1, 5)+"?is_sync=true", token,
		`{"connection_id":"`+sandbox.ConnectionID(1)+`","notes":"`+notes+`"}`)
	require.Equal(t, http.StatusOK, status, body)
	_, users := send(t, http.MethodGet, s.URLs().Sandbox+"/_control/users?connection="+sandbox.ConnectionID(1), "", "")
	require.Contains(t, users, `"notes":"`+notes+`"`)
}

// asyncWrite writes the field of a user and waits for the operation's end.
func asyncWrite(t *testing.T, s *devstack.Stack, digit int, field, value string) {
	t.Helper()
	token, err := s.Token(t.Context(), devstack.DemoClient, devstack.DemoSecret)
	require.NoError(t, err)
	status, body := send(t, http.MethodPatch, s.URLs().API+"/v2/telematics/users/"+sandbox.UserID(digit, 6), token,
		`{"connection_id":"`+sandbox.ConnectionID(digit)+`","`+field+`":"`+value+`"}`)
	require.Equal(t, http.StatusAccepted, status, body)
	_, rest, _ := strings.Cut(body, `"payload":`)
	_, rest, _ = strings.Cut(rest, `"id":"`)
	id := rest[:36]
	require.Eventually(t, func() bool {
		_, body = send(t, http.MethodGet, s.URLs().API+"/v2/integrations/connections/"+sandbox.ConnectionID(digit)+"/resource-operations/"+id, token, "")
		return strings.Contains(body, `"status":"success","payload"`)
	}, time.Minute, 20*time.Millisecond, "%s", body)
}

// TestStart_WorksAndStopsCleanly starts each kind once: TestStart_DataDirIsKept starts
// again what was stopped.
func TestStart_WorksAndStopsCleanly(t *testing.T) {
	for _, tc := range []struct {
		name    string
		redis   devstack.RedisKind
		workers int
		note    string
	}{
		{"redis-server", devstack.RedisProcess, 2, "child process"},
		{"in memory", devstack.RedisMemory, 1, "KEEPS NOTHING"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			o := options(t, tc.redis)
			o.Workers = tc.workers
			o.Environ = append(o.Environ, "WRITEBACK_EVENTS_MAX_BYTES=2GiB", "WRITEBACK_NATS_URL=nats://elsewhere", "HOME=/nowhere")
			s := start(t, o)
			require.Contains(t, s.Redis(), tc.note)
			status, body := send(t, http.MethodGet, s.URLs().Admin+"/readyz", "", "")
			require.Equal(t, http.StatusOK, status, body)
			syncWrite(t, s, "hello")
			asyncWrite(t, s, 3, "notes", "hello")
			if tc.redis == devstack.RedisMemory {
				whatAStackDoes(t, s)
			}
			stop(t, s)
			stop(t, s) // the second does nothing
			select {
			case err := <-s.Failed():
				t.Fatal(err)
			default:
			}
			requireNothingListens(t, s.URLs())
			left, err := os.ReadDir(os.TempDir())
			require.NoError(t, err)
			require.Empty(t, left, "the temporary folder stays")
		})
	}
}

// whatAStackDoes has what needs one in memory and nothing of its own: another would take
// seconds.
func whatAStackDoes(t *testing.T, s *devstack.Stack) {
	t.Run("two partners", func(t *testing.T) { twoPartners(t, s) })
	t.Run("every provider takes a write", func(t *testing.T) { everyProviderTakesAWrite(t, s) })
	t.Run("a retried create makes no second user", func(t *testing.T) { aRetriedCreateMakesNoSecondUser(t, s) })
	t.Run("the tool's configuration is what is in force", func(t *testing.T) { toolConfigIsWhatIsInForce(t, s) })
}

func requireNothingListens(t *testing.T, u devstack.URLs) {
	t.Helper()
	for _, url := range []string{u.API, u.Admin, u.Sandbox, u.NATS, strings.TrimSuffix(u.Redis, "/0")} {
		_, addr, _ := strings.Cut(url, "://")
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		require.Error(t, err, "%s still listens", url)
	}
}

func TestStart_DataDirIsKept(t *testing.T) {
	dir := t.TempDir()
	o := options(t, devstack.RedisProcess)
	o.DataDir = filepath.Join(dir, "data")
	s := start(t, o)
	if runtime.GOOS == "linux" {
		_, err := devstack.Start(t.Context(), o)
		require.ErrorContains(t, err, "another stack uses it")
	}
	syncWrite(t, s, "kept")
	asyncWrite(t, s, 3, "notes", "a session is kept")
	token, err := s.Token(t.Context(), devstack.DemoClient, devstack.DemoSecret)
	require.NoError(t, err)
	list := "/v2/integrations/connections/resource-operations"
	_, before := send(t, http.MethodGet, s.URLs().API+list, token, "")
	stop(t, s)

	s = start(t, o)
	token, err = s.Token(t.Context(), devstack.DemoClient, devstack.DemoSecret)
	require.NoError(t, err)
	_, after := send(t, http.MethodGet, s.URLs().API+list, token, "")
	require.Equal(t, 2, strings.Count(before, `"operation_type"`), before)
	items := func(page string) string { text, _, _ := strings.Cut(page, `"current_page"`); return text }
	require.Equal(t, items(before), items(after))
	// The session of the first life is not of this sandbox, on another port.
	asyncWrite(t, s, 3, "notes", "a new session")
	stop(t, s)
	require.DirExists(t, o.DataDir)
}

func twoPartners(t *testing.T, s *devstack.Stack) {
	t.Helper()
	for _, tc := range []struct {
		client, secret string
		digit          int
		status         int
	}{
		{devstack.DemoClient, devstack.DemoSecret, 1, http.StatusOK},
		{devstack.DemoClient, devstack.DemoSecret, 9, http.StatusNotFound},
		{devstack.OtherClient, devstack.OtherSecret, 9, http.StatusOK},
		{devstack.OtherClient, devstack.OtherSecret, 1, http.StatusNotFound},
	} {
		token, err := s.Token(t.Context(), tc.client, tc.secret)
		require.NoError(t, err)
		status, body := send(t, http.MethodGet, s.URLs().API+"/v2/telematics/users/"+sandbox.UserID(tc.digit, 5), token, "")
		require.Equal(t, tc.status, status, body)
	}
	_, err := s.Token(t.Context(), devstack.DemoClient, "wrong")
	require.ErrorContains(t, err, "401")
}

func TestStart_Fails(t *testing.T) {
	taken, err := net.Listen("tcp", anyPort)
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	for _, tc := range []struct {
		name     string
		change   func(*devstack.Options)
		want     string
		settings bool
	}{
		{"port in use", func(o *devstack.Options) { o.SandboxAddr = taken.Addr().String() }, "sandbox address", false},
		{"too many workers", func(o *devstack.Options) { o.Workers = 1000 }, "1 to 64", true},
		{"bad setting", func(o *devstack.Options) { o.Environ = []string{"WRITEBACK_LOG_LEVEL=loud"} }, "WRITEBACK_LOG_LEVEL", true},
		{"bad redis url", func(o *devstack.Options) { o.RedisURL = "http://127.0.0.1" }, "WRITEBACK_REDIS_URL", true},
		{"data folder is a file", func(o *devstack.Options) {
			o.DataDir = filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(o.DataDir, nil, 0o600))
		}, "data folder", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(t, devstack.RedisMemory)
			tc.change(&o)
			_, err := devstack.Start(t.Context(), o)
			require.ErrorContains(t, err, tc.want)
			var settings *devstack.SettingsError
			require.Equal(t, tc.settings, errors.As(err, &settings))
		})
	}
}

// The file has what the environment says instead of the stack's own, and nobody else can
// read it.
func toolConfigIsWhatIsInForce(t *testing.T, s *devstack.Stack) {
	t.Helper()
	info, err := os.Stat(s.ToolConfig())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(s.ToolConfig())
	require.NoError(t, err)
	for _, want := range []string{
		"WRITEBACK_EVENTS_MAX_BYTES: 2GiB\n", "WRITEBACK_OPERATIONS_MAX_BYTES: 512MiB\n", "WRITEBACK_NATS_URL: " + s.URLs().NATS + "\n",
		"WRITEBACK_REDIS_URL: " + s.URLs().Redis + "\n",
	} {
		require.Contains(t, string(text), want)
	}
	require.NotContains(t, string(text), "HOME")
	require.NotContains(t, string(text), `""`)
}
