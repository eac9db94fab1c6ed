package testenv_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func redisClient(t testing.TB, url string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	require.NoError(t, err)
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func stream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

func TestNATS_CarriesStreams(t *testing.T) {
	t.Parallel()
	js := stream(t, testenv.NATS(t))
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	ack, err := js.Publish(t.Context(), "s", []byte("x"))
	require.NoError(t, err)
	require.EqualValues(t, 1, ack.Sequence)
}

func TestStartNATS_KeepsStreamsOverKill(t *testing.T) {
	t.Parallel()
	n := testenv.StartNATS(t, "max_payload: 2MB")
	url := n.URL()
	js := stream(t, url)
	require.EqualValues(t, 2<<20, js.Conn().MaxPayload())
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "s", []byte("x"))
	require.NoError(t, err)

	n.Kill()
	require.NoError(t, n.Restart())
	require.Equal(t, url, n.URL())
	again := stream(t, url)
	s, err := again.Stream(t.Context(), "S")
	require.NoError(t, err)
	require.EqualValues(t, 1, s.CachedInfo().State.Msgs)
}

func TestRedis_EachItsOwn(t *testing.T) {
	t.Parallel()
	a, b := testenv.Redis(t), testenv.Redis(t)
	require.NotEqual(t, a, b)
	require.NoError(t, redisClient(t, a).Set(t.Context(), "k", "v", 0).Err())
	require.ErrorIs(t, redisClient(t, b).Get(t.Context(), "k").Err(), redis.Nil)
}

func TestRedisProcess_Restart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		start func(testing.TB) *testenv.RedisProcess
		want  error
	}{
		{"the append-only file survives a kill", func(t testing.TB) *testenv.RedisProcess { return testenv.RedisAOF(t, "") }, nil},
		{"nothing survives without one", func(t testing.TB) *testenv.RedisProcess { return testenv.StartRedis(t) }, redis.Nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := tc.start(t)
			require.NoError(t, redisClient(t, r.URL()).Set(t.Context(), "k", "v", 0).Err())
			r.Kill()
			require.Error(t, redisClient(t, r.URL()).Ping(t.Context()).Err())
			require.NoError(t, r.Restart())
			require.ErrorIs(t, redisClient(t, r.URL()).Get(t.Context(), "k").Err(), tc.want)
		})
	}
}

func TestProcess_PauseAnswersNothing(t *testing.T) {
	t.Parallel()
	r := testenv.StartRedis(t)
	c := redisClient(t, r.URL())
	require.NoError(t, c.Ping(t.Context()).Err())
	require.NoError(t, r.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, c.Ping(ctx).Err())
	require.NoError(t, r.Resume())
	require.NoError(t, c.Ping(t.Context()).Err())
}

// TestChild_DiesWithParent runs itself as a process that starts a redis-server,
// kills it and expects the redis-server to go too.
func TestChild_DiesWithParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, NOT PASSED: only Linux kills a child with its parent")
	}
	if os.Getenv("TESTENV_PARENT") != "" {
		r := testenv.StartRedis(t)
		info, err := redisClient(t, r.URL()).Info(t.Context(), "server").Result()
		require.NoError(t, err)
		_, rest, _ := strings.Cut(info, "process_id:")
		pid, _, _ := strings.Cut(rest, "\r\n")
		require.NoError(t, os.WriteFile(os.Getenv("TESTENV_PARENT"), []byte(pid), 0o600))
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
	}
	file := t.TempDir() + "/pid"
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild_DiesWithParent$")
	cmd.Env = append(os.Environ(), "TESTENV_PARENT="+file)
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	text, err := os.ReadFile(file)
	require.NoError(t, err, string(out))
	pid, err := strconv.Atoi(string(text))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, time.Minute, 10*time.Millisecond)
}

// TestPrograms_CanRunAtOnce: while other tests start processes without end.
func TestPrograms_CanRunAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	for range 4 {
		others.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command("true").Run()
			}
		})
	}
	for range 20 {
		program := exec.Command(filepath.Join(testenv.Programs(t, "sandbox"), "sandbox"), "-h")
		require.NoError(t, program.Start())
		_ = program.Wait()
	}
}
