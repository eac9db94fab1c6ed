package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/devissuer"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation/redisstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPrograms_AnswerWhileTheyWait starts each program without NATS: an
// orchestrator must see it alive and not ready, and ready once NATS is there.
func TestPrograms_AnswerWhileTheyWait(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"worker", "api"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis, nats := testenv.Redis(t), testenv.StartNATS(t)
			nats.Kill()
			p := start(t, name, "WRITEBACK_NATS_URL=nats://us:hunter2@"+nats.Addr(), "WRITEBACK_REDIS_URL="+redis)

			status, _ := p.get("/healthz")
			require.Equal(t, http.StatusOK, status)
			status, body := p.get("/readyz")
			require.Equal(t, http.StatusServiceUnavailable, status)
			require.Equal(t, "starting", body.Status)
			want := "natsq: NATS is not connected (" + nats.URL() + ")"
			refused := func(check, want string) func() bool {
				return func() bool {
					status, body = p.get("/readyz")
					return strings.HasPrefix(body.Checks[check], want) && strings.HasSuffix(body.Checks[check], "connection refused")
				}
			}
			require.Eventually(t, refused("streams", want), 30*time.Second, 20*time.Millisecond)
			require.NotContains(t, body.Checks["streams"], "hunter2")

			require.NoError(t, nats.Restart())
			require.Eventually(t, func() bool { // started, and then a moment until it follows the directory
				status, body = p.get("/readyz")
				return body.Status != "starting" && body.Checks["directory"] == "ok"
			}, 30*time.Second, 20*time.Millisecond)
			require.Equal(t, "ok", body.Checks["redis"])
			if name == "api" { // its token issuer does not exist
				require.Contains(t, body.Checks, "token keys")
				require.NotEqual(t, "ok", body.Checks["token keys"])
				return
			}
			require.Equal(t, http.StatusOK, status)
			p.metricsAreDocumented()
			nats.Kill()
			require.Eventually(t, refused("nats", "degraded: "+want), 30*time.Second, 20*time.Millisecond)
			require.Equal(t, "degraded", body.Status)
			require.Equal(t, http.StatusOK, status, "work goes on without NATS")
		})
	}
}

// TestPrograms_WithoutRedis takes Redis away from running programs: an api stays ready,
// since it is the one that tells callers when to come back; a worker is not ready.
func TestPrograms_WithoutRedis(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		code         int
		status, text string
	}{
		"api":    {http.StatusOK, "degraded", "degraded: "},
		"worker": {http.StatusServiceUnavailable, "unavailable", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := testenv.StartRedis(t)
			p := start(t, name, "WRITEBACK_NATS_URL="+testenv.NATS(t), "WRITEBACK_REDIS_URL="+redis.URL(),
				"WRITEBACK_OIDC_ISSUER="+issuer(t))
			require.Eventually(t, func() bool { _, body := p.get("/readyz"); return body.Status == "ok" }, 30*time.Second, 20*time.Millisecond)
			redis.Kill()
			code, body := 0, readiness{}
			require.Eventually(t, func() bool { code, body = p.get("/readyz"); return body.Status != "ok" }, 30*time.Second, 20*time.Millisecond)
			require.Equal(t, want.code, code)
			require.Equal(t, want.status, body.Status)
			require.Contains(t, body.Checks["redis"], want.text)
			require.NotEqual(t, "ok", body.Checks["redis"])
		})
	}
}

// TestWorker_IsNotReadyBeforeAllItsRolesWork: what replaces one that delivers webhooks has
// to deliver them, too.
func TestWorker_IsNotReadyBeforeAllItsRolesWork(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	nc, err := nats.Connect(url, testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: natsq.StreamDeliveries, Subjects: []string{natsq.SubjectDelivery}, Storage: jetstream.MemoryStorage,
	})
	require.NoError(t, err)
	p := start(t, "worker", "WRITEBACK_NATS_URL="+url, "WRITEBACK_REDIS_URL="+testenv.Redis(t))
	status, body := 0, readiness{}
	require.Eventually(t, func() bool {
		status, body = p.get("/readyz")
		return strings.Contains(body.Checks["webhook streams"], "storage")
	},
		30*time.Second, 20*time.Millisecond)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "starting", body.Status)

	require.NoError(t, js.DeleteStream(t.Context(), natsq.StreamDeliveries))
	require.Eventually(t, func() bool { status, body = p.get("/readyz"); return body.Status == "ok" }, 30*time.Second, 20*time.Millisecond)
	require.Equal(t, http.StatusOK, status)
}

// issuer is a token issuer for the test.
func issuer(t *testing.T) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	url := "http://" + srv.Listener.Addr().String() + devissuer.Realm
	i, err := devissuer.New(devissuer.Config{IssuerURL: url})
	require.NoError(t, err)
	srv.Config.Handler = i
	srv.Start()
	t.Cleanup(srv.Close)
	return url
}

// TestAPI_TellsOfATakenAddressAtOnce: whoever is away, and however long the start would take.
func TestAPI_TellsOfATakenAddressAtOnce(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	api := exec.CommandContext(ctx, filepath.Join(testenv.Programs(t, "api"), "api"))
	api.Env = append(os.Environ(), "WRITEBACK_API_ADDR="+taken.Addr().String(), "WRITEBACK_ADMIN_ADDR=127.0.0.1:0",
		"WRITEBACK_OIDC_ISSUER=http://127.0.0.1:1/realm", "WRITEBACK_NATS_URL=nats://127.0.0.1:1", "WRITEBACK_REDIS_URL=redis://127.0.0.1:1/0")
	out, err := api.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode(), string(out))
	require.Contains(t, string(out), "WRITEBACK_API_ADDR: listen tcp "+taken.Addr().String())
}

// TestAPI_StartsTheShards: it can accept before there is a worker.
func TestAPI_StartsTheShards(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	start(t, "api", "WRITEBACK_NATS_URL="+testenv.NATS(t), "WRITEBACK_REDIS_URL="+url)
	opt, err := redis.ParseURL(url)
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	require.Eventually(t, func() bool {
		missing, err := redisstore.New(rdb, redisstore.Config{}).Missing(t.Context())
		return err == nil && len(missing) == 0
	}, 30*time.Second, 20*time.Millisecond)
}

// TestPrograms_StopWhileTheyWait ends a program that has never been ready.
func TestPrograms_StopWhileTheyWait(t *testing.T) {
	t.Parallel()
	p := start(t, "worker", "WRITEBACK_NATS_URL=nats://127.0.0.1:1", "WRITEBACK_REDIS_URL=redis://127.0.0.1:1/0")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-p.ended, "a stop that was asked for is no failure")
}

// program is a running binary and the address of its admin port.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	admin string
	ended chan error
}

// start runs a program of ours.
func start(t *testing.T, name string, environ ...string) *program {
	t.Helper()
	// Killed, with its pipe, at the end at the latest.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &program{t: t, cmd: exec.CommandContext(ctx, filepath.Join(testenv.Programs(t, name), name)), ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), append([]string{"WRITEBACK_ADMIN_ADDR=127.0.0.1:0",
		"WRITEBACK_API_ADDR=127.0.0.1:0", "WRITEBACK_OIDC_ISSUER=http://127.0.0.1:1/realm"}, environ...)...)
	logs, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	admin := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(admin)
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			var line struct{ Msg, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "admin port open" {
				admin <- line.Admin
				_, _ = io.Copy(io.Discard, logs)
				break
			}
		}
		p.ended <- p.cmd.Wait()
	}()
	t.Cleanup(func() { cancel(); <-done })
	p.admin = <-admin
	require.NotEmpty(t, p.admin, "the program ended at its start")
	return p
}

// metricsAreDocumented compares the worker's own metrics with the table of metrics.
func (p *program) metricsAreDocumented() {
	p.t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(p.t, err)
	name := regexp.MustCompile(`(?m)^# TYPE (writeback_\w+) `)
	names := map[string]bool{}
	require.Eventually(p.t, func() bool {
		for _, m := range name.FindAllSubmatch(p.read("/metrics"), -1) {
			names[string(m[1])] = true
		}
		return names["writeback_operations_pending"]
	}, 20*time.Second, 100*time.Millisecond)
	for n := range names {
		require.Contains(p.t, string(page), "`"+n+"`", "docs/metrics.md explains every metric")
	}
}

func (p *program) read(path string) []byte {
	p.t.Helper()
	resp := p.ask(path)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return body
}

type readiness struct {
	Status string
	Checks map[string]string
}

func (p *program) get(path string) (int, readiness) {
	p.t.Helper()
	resp := p.ask(path)
	defer func() { _ = resp.Body.Close() }()
	var body readiness
	require.NoError(p.t, json.NewDecoder(resp.Body).Decode(&body))
	return resp.StatusCode, body
}

// ask is answered with an open body.
func (p *program) ask(path string) *http.Response {
	p.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.admin+path, nil)
	require.NoError(p.t, err)
	resp, err := client.Do(req)
	require.NoError(p.t, err)
	return resp
}
