// Package stack runs Writeback for tests as it runs in life: api, worker and
// provider sandbox as processes of their own, built from this module, on a
// nats-server and a redis-server that can be killed; and it gathers what package
// history checks.
//
// It is for tests alone. It starts nothing on fixed ports and leaves nothing
// running: on Linux a child ends with the test process, however that ends.
package stack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"writeback/internal/devissuer"
	"writeback/internal/history"
	"writeback/internal/redisurl"
	"writeback/internal/sandbox"
	"writeback/internal/testenv"
	"writeback/pkg/operation/redisstore"
)

func randomPort() int { return 12000 + rand.IntN(18000) }

// Options of a stack.
type Options struct {
	APIs, Workers int
	Registry      Registry
	// Via gives the address at which a program reaches a server: a proxy's, or the
	// target itself. Servers are "nats", "redis" and "sandbox". Nil: no proxies.
	Via func(program, server, target string) string
	// RedisURL is a Redis of the test's own, in a form of package redisurl. Empty: the
	// stack starts one.
	RedisURL string
	// Environ is put over the programs' environment.
	Environ []string
}

// Stack is a running Writeback.
type Stack struct {
	NATS *testenv.NATSProcess
	// Redis is nil when the test has its own.
	Redis   *testenv.RedisProcess
	Sandbox *Process
	APIs    []*Process
	Workers []*Process
	Limits  map[string]history.Limits

	t      testing.TB
	opts   Options
	dir    string
	bin    string
	issuer *httptest.Server
	tokens map[string]string // by connection
	rdb    redis.UniversalClient
	base   time.Time

	mu     sync.Mutex
	losses []history.Loss
}

// Start starts everything and waits until writes are accepted.
func Start(t testing.TB, o Options) *Stack {
	t.Helper()
	s := &Stack{t: t, opts: o, dir: t.TempDir(), bin: testenv.Programs(t, "api", "worker", "sandbox"), Limits: map[string]history.Limits{}, base: time.Now()}
	if s.opts.Via == nil {
		s.opts.Via = func(_, _, target string) string { return target }
	}
	s.NATS = testenv.StartNATS(t)
	if o.RedisURL == "" {
		s.Redis = testenv.RedisAOF(t, "")
	}
	rdb, err := redisurl.Open(s.redisURL("test"), redisurl.Options{Name: "test"})
	s.must(err)
	s.rdb = rdb
	t.Cleanup(func() { _ = s.rdb.Close() })
	s.startIssuer()
	s.startSandbox()
	for i := range o.APIs {
		s.APIs = append(s.APIs, s.API(fmt.Sprintf("api-%d", i), s.Registry("registry", s.opts.Registry)))
	}
	for i := range o.Workers {
		s.Workers = append(s.Workers, s.Worker(fmt.Sprintf("worker-%d", i), s.Registry("registry", s.opts.Registry)))
	}
	for _, p := range append(append([]*Process{}, s.APIs...), s.Workers...) {
		s.must(p.Start())
	}
	s.awaitShards()
	s.makeTokens()
	t.Cleanup(s.tell)
	return s
}

func (s *Stack) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// tell shows the programs' last lines when the test has failed.
func (s *Stack) tell() {
	if !s.t.Failed() {
		return
	}
	for _, p := range append(append([]*Process{s.Sandbox}, s.APIs...), s.Workers...) {
		s.t.Logf("%s:\n%s", p.Name, p.LogTail(8))
	}
}

func (s *Stack) startIssuer() {
	var issuer *devissuer.Issuer
	s.issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { issuer.ServeHTTP(w, r) }))
	s.t.Cleanup(s.issuer.Close)
	var err error
	issuer, err = devissuer.New(devissuer.Config{IssuerURL: s.issuer.URL + devissuer.Realm, TokenTTL: 2 * time.Hour})
	s.must(err)
}

func (s *Stack) startSandbox() {
	addr, err := freeAddr()
	s.must(err)
	s.Sandbox = newProcess(s.t, s.dir, "sandbox", filepath.Join(s.bin, "sandbox"), "http://"+addr+"/_control/health",
		append(plainEnviron(), "WRITEBACK_SANDBOX_ADDR="+addr))
	s.Sandbox.URL = "http://" + addr
	s.must(s.Sandbox.Start())
}

// Registry writes a registry file and gives its path. What it says of limits is
// what the history is checked against.
func (s *Stack) Registry(name string, r Registry) string {
	r.GeotabHost = strings.TrimPrefix(s.Sandbox.URL, "http://")
	path := filepath.Join(s.dir, name+".yaml")
	s.must(r.Write(path))
	for _, seed := range Seeds() {
		l := r.Limits
		l.Silent, l.Reads = seed.Provider == sandbox.Simulator, seed.Provider == sandbox.Geotab
		s.Limits[seed.Connection] = l
	}
	return path
}

func plainEnviron() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
}

// redisURL is the address of Redis for a program.
func (s *Stack) redisURL(program string) string {
	switch {
	case s.Redis == nil:
		return s.opts.RedisURL
	case program == "test":
		return s.Redis.URL()
	}
	return "redis://" + s.opts.Via(program, "redis", s.Redis.Addr()) + "/0"
}

// environ is what api and worker have in common.
func (s *Stack) environ(name, admin, registry string) []string {
	sandbox := "http://" + s.opts.Via(name, "sandbox", strings.TrimPrefix(s.Sandbox.URL, "http://"))
	return append(append(plainEnviron(),
		"WRITEBACK_NATS_URL=nats://"+s.opts.Via(name, "nats", s.NATS.Addr()),
		"WRITEBACK_REDIS_URL="+s.redisURL(name),
		"WRITEBACK_ADMIN_ADDR="+admin,
		"WRITEBACK_REGISTRY_FILE="+registry,
		"WRITEBACK_SANDBOX_URL="+sandbox,
		"WRITEBACK_OPERATIONS_MAX_BYTES=256MiB", "WRITEBACK_EVENTS_MAX_BYTES=512MiB",
		// One partner brings all the load; the bounds on it are tested elsewhere.
		"WRITEBACK_SYNC_EVERY=0", "WRITEBACK_PROVIDER_LOCAL=true", "WRITEBACK_PARTNER_RATE=1000000", "WRITEBACK_PARTNER_BURST=1000000",
	), s.opts.Environ...)
}

// API describes one more api; it is not started.
func (s *Stack) API(name, registry string) *Process {
	addr, err := freeAddr()
	s.must(err)
	admin, err := freeAddr()
	s.must(err)
	p := newProcess(s.t, s.dir, name, filepath.Join(s.bin, "api"), "http://"+admin+"/readyz", append(s.environ(name, admin, registry),
		"WRITEBACK_LOG_LEVEL=debug", "WRITEBACK_API_ADDR="+addr, "WRITEBACK_OIDC_ISSUER="+s.issuer.URL+devissuer.Realm))
	p.URL, p.Admin = "http://"+addr, "http://"+admin
	return p
}

// Worker describes one more worker; it is not started.
func (s *Stack) Worker(name, registry string) *Process {
	admin, err := freeAddr()
	s.must(err)
	p := newProcess(s.t, s.dir, name, filepath.Join(s.bin, "worker"), "http://"+admin+"/readyz", s.environ(name, admin, registry))
	p.URL, p.Admin = "http://"+admin, "http://"+admin
	return p
}

// awaitShards waits until every shard of the store has been started.
func (s *Stack) awaitShards() {
	store := redisstore.New(s.rdb, redisstore.Config{})
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	for {
		missing, err := store.Missing(ctx)
		if err == nil && len(missing) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("stack: %d shards are not started: %v", len(missing), err)
		case <-time.After(probeEvery):
		}
	}
}

// Lanes tells what the store holds of the lanes that have work, for a test that
// has failed.
func (s *Stack) Lanes(ctx context.Context) string {
	var b strings.Builder
	keys, err := s.rdb.Keys(ctx, "wb:*:pend:*").Result()
	if err != nil {
		return err.Error()
	}
	for _, key := range keys {
		prefix, lane, _ := strings.Cut(key, "pend:")
		hash, _ := s.rdb.HGetAll(ctx, prefix+"lane:"+lane).Result()
		held, _ := s.rdb.HLen(ctx, prefix+"held:"+lane).Result()
		due, _ := s.rdb.ZScore(ctx, prefix+"due", lane).Result()
		notBefore, _ := s.rdb.Get(ctx, prefix+"not_before").Result()
		fmt.Fprintf(&b, "lane %s: %v held %d due in %.0f ms, not before %q, redis %v\n", lane, hash, held, due-float64(time.Now().UnixMilli()), notBefore, time.Now().UnixMilli())
		for _, list := range []string{"pend:", "ready:", "flight:"} {
			size, _ := s.rdb.ZCard(ctx, prefix+list+lane).Result()
			first, _ := s.rdb.ZRangeWithScores(ctx, prefix+list+lane, 0, 2).Result()
			fmt.Fprintf(&b, "  %s%d %v\n", list, size, first)
			for _, z := range first {
				op, _ := s.rdb.HGetAll(ctx, prefix+"op:"+fmt.Sprint(z.Member)).Result()
				delete(op, "doc")
				fmt.Fprintf(&b, "    %v %v\n", z.Member, op)
			}
		}
	}
	return b.String()
}
