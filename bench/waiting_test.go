package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/devissuer"
	"writeback/internal/history"
	"writeback/internal/natsq"
	"writeback/internal/sandbox"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
	"writeback/test/e2e/stack"
)

// allowed is how much more than idle a process may use while operations wait.
const allowed = 1.2

// overHTTP is how many of the operations are sent to the api, within what it admits
// at once; the others are accepted from here.
const overHTTP = 300

// BenchmarkWaiting lets operations wait for a provider that is down, with api and
// worker as processes, and measures what they hold meanwhile. Then it kills the
// worker, brings the provider back and looks for every operation.
func BenchmarkWaiting(b *testing.B) {
	down := closedPort(b)
	s := newWaiting(b, down)
	dead, quiet := uuid.MustParse(sandbox.ConnectionID(1)), uuid.MustParse(sandbox.ConnectionID(4))

	// Idle is a process that has worked before.
	s.accept(min(many(), 5_000), quiet, sandbox.Simulator)
	s.send(quiet)
	s.await(func(d redisstore.Depth) bool { return d.Outstanding == 0 && d.Outbox == 0 })
	idle, idleDelay := s.usage(), s.probe(quiet)

	s.send(dead)
	s.accept(many()-overHTTP, dead, sandbox.Samsara)
	s.await(func(d redisstore.Depth) bool { return d.Open == 1 && d.InFlight == 0 && d.Outbox == 0 })
	busy, busyDelay := s.usage(), s.probe(quiet)
	pending, unacked := s.consumer()
	waiting := s.depth().Outstanding

	b.Logf("%d waiting; idle: %s | waiting: %s | unacked %d, undelivered %d", waiting, idle, busy, unacked, pending)
	ratio := float64(busyDelay.at(0.99)) / float64(bound(idleDelay))
	b.Logf("quiet connection beside it: idle %s | waiting %s | p99 is %.3f of the bound", idleDelay, busyDelay, ratio)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratio, "of-bound")
	for name, was := range idle {
		now := busy[name]
		b.ReportMetric(now/was, strings.ReplaceAll(name, " ", "-")+"-ratio")
		if now > was*allowed && !strings.HasSuffix(name, "heap") { // which is part of what is resident
			b.Errorf("P6: %s is %.0f with %d operations waiting, %.0f idle", name, now, waiting, was)
		}
	}
	require.Zero(b, unacked, "P6: a waiting operation holds no message")
	require.Zero(b, pending)
	require.InDelta(b, many(), waiting, 20)
	require.LessOrEqual(b, ratio, 1.0, "P4 beside a dead provider")
	s.restart(down, waiting)
}

// restart kills the worker, and brings the provider back.
func (s *waiting) restart(down string, waiting int) {
	b := s.b
	worker := s.Workers[0]
	worker.Kill()
	require.NoError(b, worker.Start())
	require.Equal(b, waiting, s.depth().Outstanding, "P6: waiting survives a restart")
	var calls atomic.Int64
	ln, err := net.Listen("tcp", down)
	require.NoError(b, err)
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		http.Error(w, `{"message":"no such driver"}`, http.StatusNotFound) // ends the operation
	})}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { _ = srv.Close() })
	began := time.Now()
	left := s.await(func(d redisstore.Depth) bool { return d.Outstanding < waiting-min(waiting/2, 2000) }).Outstanding
	require.Positive(b, calls.Load())
	worker.Kill()
	pending, ended := s.count()
	b.Logf("after a kill -9 of the worker all %d were there; %d ended within %s of the provider's return; %d records pending, %d ended",
		waiting, waiting-left, time.Since(began).Round(time.Second), pending, ended)
	require.Equal(b, s.accepted, pending+ended, "P6: none is lost")
	require.Equal(b, s.depth().Outstanding, pending)
}

// waiting is a stack of processes, and an accepter on its servers.
type waiting struct {
	*stack.Stack
	b        *testing.B
	rdb      *redis.Client
	store    *redisstore.Store
	js       jetstream.JetStream
	accepter *work.Accepter
	partner  uuid.UUID
	accepted int
}

func newWaiting(b *testing.B, samsara string) *waiting {
	b.Helper()
	s := &waiting{
		Stack: stack.Start(b, stack.Options{
			APIs: 1, Workers: 1, Registry: stack.Registry{Limits: history.Limits{InFlight: 8, PerSecond: 1000, Burst: 100}},
			Environ: []string{"WRITEBACK_SAMSARA_URL=http://" + samsara, "WRITEBACK_LOG_LEVEL=warn", "WRITEBACK_PROVIDER_LOCAL=true"},
		}),
		b: b, partner: devissuer.DefaultClients()[0].PartnerID,
	}
	log := slog.New(slog.DiscardHandler)
	opt, err := redis.ParseURL(s.Redis.URL())
	require.NoError(b, err)
	opt.PoolSize = 64
	s.rdb = redis.NewClient(opt)
	nc, err := natsq.Connect(s.NATS.URL(), "bench", log)
	require.NoError(b, err)
	require.Eventually(b, nc.IsConnected, 10*time.Second, time.Millisecond)
	s.js, err = jetstream.New(nc)
	require.NoError(b, err)
	s.store = redisstore.New(s.rdb, redisstore.Config{})
	acker := work.NewAcker(s.store, log)
	s.accepter = work.NewAccepter(work.Parts{Store: s.store, Publisher: natsq.NewPublisher(nc, s.js), Log: log}, work.Config{}, acker)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- acker.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done; drain(nc, s.rdb) })
	return s
}

func drain(nc *nats.Conn, rdb *redis.Client) {
	nc.Close()
	_ = rdb.Close()
}

func limits() tsp.Limits {
	return tsp.Limits{InFlight: 8, PerSecond: 1000, Burst: 100}.WithDefaults()
}

// accept accepts n operations of the connection from here.
func (s *waiting) accept(n int, connection uuid.UUID, provider string) {
	s.b.Helper()
	fill(s.b, s.accepter, limits(), n, func(int) operation.Accepted { return s.change(connection, provider) })
	s.accepted += n
}

func (s *waiting) change(connection uuid.UUID, provider string) operation.Accepted {
	a := change(s.partner, connection, provider)
	a.SourceID = "494100" // of the form that the provider gives
	return a
}

// send sends operations of the connection to the api.
func (s *waiting) send(connection uuid.UUID) {
	s.b.Helper()
	client := s.Client()
	users := usersOf(connection.String())
	for i := range overHTTP {
		r := client.Write(s.b.Context(), s.APIs[0], history.Request{
			Connection: connection.String(), User: users[i%len(users)], Marker: fmt.Sprint("m", i),
		}, nil)
		require.Equal(s.b, http.StatusAccepted, r.Status)
	}
	s.accepted += overHTTP
}

func usersOf(connection string) []string {
	var out []string
	for _, seed := range sandbox.Seeds() {
		for _, u := range seed.Users {
			if seed.Connection == connection && u.CatenaID != "" {
				out = append(out, u.CatenaID)
			}
		}
	}
	return out
}

func (s *waiting) depth() redisstore.Depth { return depthOf(s.b, s.store) }

func (s *waiting) await(ok func(redisstore.Depth) bool) redisstore.Depth {
	s.b.Helper()
	var d redisstore.Depth
	require.Eventually(s.b, func() bool { d = s.depth(); return ok(d) }, 2*time.Minute, 100*time.Millisecond)
	return d
}

// probe gives the times from accept to first attempt, as the log tells them.
func (s *waiting) probe(quiet uuid.UUID) delays {
	s.b.Helper()
	out := make(delays, 0, probes())
	for range probes() {
		a := s.change(quiet, sandbox.Simulator)
		_, err := s.accepter.Accept(s.b.Context(), a, limits())
		require.NoError(s.b, err)
		s.accepted++
		var op operation.Operation
		require.Eventually(s.b, func() bool {
			op, err = s.store.Get(s.b.Context(), quiet, a.ID)
			return err == nil && op.Status.Terminal()
		}, time.Minute, probeEvery)
		out = append(out, op.Attempts[0].StartedAt.Sub(op.CreatedAt()))
	}
	slices.Sort(out)
	return out
}

// consumer gives what the workers' consumer has not delivered, and not acked.
func (s *waiting) consumer() (undelivered, unacked int) {
	s.b.Helper()
	c, err := s.js.Consumer(s.b.Context(), natsq.StreamOperations, natsq.ConsumerQuiet)
	require.NoError(s.b, err)
	return int(c.CachedInfo().NumPending), c.CachedInfo().NumAckPending
}

// usage is what the processes use.
type usage map[string]float64

func (u usage) String() string {
	return fmt.Sprintf("worker %.1f MiB heap %.1f MiB resident %.0f goroutines, api %.1f MiB heap %.1f MiB resident %.0f goroutines",
		u["worker heap"]/(1<<20), u["worker resident"]/(1<<20), u["worker goroutines"],
		u["api heap"]/(1<<20), u["api resident"]/(1<<20), u["api goroutines"])
}

// usage reads the processes after a collection.
func (s *waiting) usage() usage {
	s.b.Helper()
	u := usage{}
	for name, p := range map[string]*stack.Process{"worker": s.Workers[0], "api": s.APIs[0]} {
		resp := s.read(p.Admin + "/debug/pprof/heap?gc=1&debug=1")
		_ = resp.Body.Close()
		resp = s.read(p.Admin + "/metrics")
		page, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		require.NoError(s.b, err)
		for short, metric := range map[string]string{
			"heap": "go_memstats_heap_alloc_bytes", "resident": "process_resident_memory_bytes", "goroutines": "go_goroutines",
		} {
			found := regexp.MustCompile(`(?m)^` + metric + ` (\S+)$`).FindSubmatch(page)
			require.Len(s.b, found, 2, metric)
			u[name+" "+short], err = strconv.ParseFloat(string(found[1]), 64)
			require.NoError(s.b, err)
		}
	}
	return u
}

func (s *waiting) read(url string) *http.Response {
	s.b.Helper()
	req, err := http.NewRequestWithContext(s.b.Context(), http.MethodGet, url, nil)
	require.NoError(s.b, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.b, err)
	require.Equal(s.b, http.StatusOK, resp.StatusCode)
	return resp
}

// count reads every record.
func (s *waiting) count() (pending, ended int) {
	s.b.Helper()
	ctx, seen := s.b.Context(), map[string]bool{}
	for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
		keys, next, err := s.rdb.Scan(ctx, cursor, "wb:*:op:*", 2000).Result()
		require.NoError(s.b, err)
		cursor = next
		if len(keys) == 0 {
			continue
		}
		cmds, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, key := range keys {
				pipe.HGet(ctx, key, "st")
			}
			return nil
		})
		require.NoError(s.b, err)
		for i, cmd := range cmds {
			if seen[keys[i]] { // a scan may show a key twice
				continue
			}
			seen[keys[i]] = true
			if cmd.(*redis.StringCmd).Val() == string(operation.Pending) {
				pending++
			} else {
				ended++
			}
		}
	}
	return pending, ended
}

// closedPort gives an address that refuses connections.
func closedPort(b *testing.B) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	require.NoError(b, ln.Close())
	return ln.Addr().String()
}
