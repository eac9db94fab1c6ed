package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisProcess is a redis-server of the test's own. Its methods may be called
// from any goroutine.
type RedisProcess struct{ process }

// URL is the address in the form that redis.ParseURL reads; it stays the same
// over restarts.
func (r *RedisProcess) URL() string { return "redis://" + r.Addr() + "/0" }

// Redis starts a redis-server without persistence for the test and gives its
// URL.
func Redis(t testing.TB) string {
	t.Helper()
	return StartRedis(t).URL()
}

// RedisAOF starts a redis-server with an append-only file (fsync everysec) in
// dir and gives its handle. An empty dir stands for one of the test's own.
func RedisAOF(t testing.TB, dir string) *RedisProcess {
	t.Helper()
	return startRedis(t, dir, "--appendonly", "yes", "--appendfsync", "everysec")
}

// StartRedis starts a redis-server without persistence, but for what args says,
// and gives its handle. Without redis-server on the PATH the test fails if CI
// is set in the environment, and is skipped otherwise.
func StartRedis(t testing.TB, args ...string) *RedisProcess {
	t.Helper()
	return startRedis(t, "", append([]string{"--appendonly", "no"}, args...)...)
}

func startRedis(t testing.TB, dir string, args ...string) *RedisProcess {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	return startRedisWith(t, dir, func(port int) []string {
		return append([]string{
			"--port", strconv.Itoa(port), "--bind", host, "--dir", dir,
			"--save", "", "--maxmemory-policy", "noeviction", "--hash-max-listpack-value", "4096",
		}, args...)
	})
}

// startRedisWith starts redis-server with the arguments alone.
func startRedisWith(t testing.TB, dir string, args func(port int) []string) *RedisProcess {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		missing(t, "redis-server is not on the PATH: install it, nothing about Redis is tested without it")
	}
	r := &RedisProcess{process{binary: binary, dir: dir, args: args, answers: redisAnswers}}
	t.Cleanup(r.Kill)
	if err := r.startAnywhere(); err != nil {
		t.Fatal(err)
	}
	return r
}

// redisAnswers asks for the process id. A server that still loads its file
// answers INFO but nothing else, so a PING comes first.
func redisAnswers(port, pid int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("%s:%d", host, port), MaxRetries: -1, PoolSize: 1})
	defer func() { _ = c.Close() }()
	if err := c.Ping(ctx).Err(); err != nil {
		return err
	}
	text, err := c.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(text, fmt.Sprintf("\r\nprocess_id:%d\r\n", pid)) {
		return fmt.Errorf("another server answers on port %d", port)
	}
	return nil
}

// missing fails the test in CI and skips it elsewhere.
func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(reason)
	}
	t.Skip("SKIPPED, NOT PASSED: " + reason)
}
