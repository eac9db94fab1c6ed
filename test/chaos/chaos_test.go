// Package chaos_test breaks a running Writeback at random, by a seed, and holds
// what was seen against the promises. The short forms run with every test; the
// long one is
//
//	go test ./test/chaos -chaos.long -chaos.ops=10000 -chaos.seed=7 -v -timeout 30m
package chaos_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/pkg/operation"
	"writeback/test/e2e/stack"
)

var (
	flagOps  = flag.Int("chaos.ops", 0, "answered operations (0: 600, long 10000)")
	flagSeed = flag.Uint64("chaos.seed", 1, "seed of the schedule and the load")
	flagLong = flag.Bool("chaos.long", false, "more and longer faults")
)

func TestMain(m *testing.M) {
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.Disabled) // the proxies'
	os.Exit(m.Run())
}

// limits keep leases short: start window 1 s, call 2 s, margin 4 s.
var limits = history.Limits{InFlight: 8, PerSecond: 50, Burst: 10, Call: 2 * time.Second}

const users = 12

// TestChaos_KeepsThePromises runs one schedule.
func TestChaos_KeepsThePromises(t *testing.T) {
	if testing.Short() {
		t.Skip("chaos takes up to a minute")
	}
	t.Parallel()
	p := planFor(*flagLong, *flagOps, *flagSeed)
	s, report := run(t, p)
	require.NotZero(t, report.Counts.Unanswered, "no fault was felt: the run proves nothing")
	if len(s.Losses()) > 0 {
		shards, _ := s.Rebuilt()
		require.NotZero(t, shards, "no shard was rebuilt: the losses were not noticed")
	}
}

// TestChaos_RedisLosesData takes the data from Redis in each way once, under load.
func TestChaos_RedisLosesData(t *testing.T) {
	if testing.Short() || *flagLong {
		t.Skip("the long form has these faults too")
	}
	t.Parallel()
	s, _ := run(t, lossPlan(*flagSeed))
	require.Len(t, s.Losses(), len(losing))
	shards, _ := s.Rebuilt()
	require.GreaterOrEqual(t, shards, len(losing)*operation.Shards, "after each loss every shard is rebuilt")
}

// run carries a plan out and checks what was seen.
func run(t *testing.T, p plan) (*stack.Stack, history.Report) {
	t.Helper()
	t.Logf("%s", p)
	n := newNet(t)
	s := stack.Start(t, stack.Options{APIs: 2, Workers: 2, Via: n.via, Registry: stack.Registry{Users: users, Limits: limits}})
	in := newInjector(t, s, n, p)
	began := time.Now()
	requests := s.Run(t.Context(), stack.Load{
		Name: "chaos", Operations: p.ops, Clients: p.clients, Users: users, SyncShare: 0.03, Pause: p.pause, Seed: p.seed, Sent: in.sent,
	})
	in.finish()
	loaded := time.Now()
	h, err := s.Collect(t.Context(), requests, p.drain)
	require.NoError(t, err)
	h.Transit = limits.Call // proxies may hold a call as long as it lives

	report := history.Check(h)
	t.Logf("load %s, drain %s\n%s%s", loaded.Sub(began).Round(time.Second), time.Since(loaded).Round(time.Second), report, in)
	if !report.Clean() {
		t.Logf("%s\nwhat the store holds:\n%s", h.Stories(report), s.Lanes(t.Context()))
	}
	require.True(t, report.Clean(), "seed %d breaks promises:\n%s", p.seed, report)
	return s, report
}
