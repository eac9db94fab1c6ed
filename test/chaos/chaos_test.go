// Package chaos_test breaks a running Writeback at random, by a seed, and holds
// what was seen against the promises. The short form runs with every test; the
// long one is
//
//	go test ./test/chaos -chaos.long -chaos.ops=10000 -chaos.seed=7 -v -timeout 30m
package chaos_test

import (
	"flag"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
)

var (
	flagOps  = flag.Int("chaos.ops", 0, "answered operations (0: 600, long 10000)")
	flagSeed = flag.Uint64("chaos.seed", 1, "seed of the schedule and the load")
	flagLong = flag.Bool("chaos.long", false, "more and longer faults")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(stack.Main(m))
}

// limits keep leases short: start window 1 s, call 2 s, margin 4 s.
var limits = history.Limits{InFlight: 8, PerSecond: 50, Burst: 10, Call: 2 * time.Second}

const users = 12

// TestChaos_KeepsThePromises runs one schedule.
func TestChaos_KeepsThePromises(t *testing.T) {
	if testing.Short() {
		t.Skip("chaos takes up to a minute")
	}
	p := planFor(*flagLong, *flagOps, *flagSeed)
	t.Logf("%s", p)

	n := newNet(t)
	s := stack.Start(t, stack.Options{APIs: 2, Workers: 2, Via: n.via, Registry: stack.Registry{Users: users, Limits: limits}})
	// A worker that dies while it logs in at Geotab keeps the connection from others
	// for a minute and a half. The short form logs in before.
	var requests []history.Request
	if !*flagLong {
		requests = append(requests, s.Client().Write(t.Context(), s.APIs[0], history.Request{
			Marker: "mk-login-1", Connection: sandbox.ConnectionID(3), User: sandbox.UserID(3, 0), Sync: true,
		}, nil))
		require.Equal(t, http.StatusOK, requests[0].Status)
	}
	in := newInjector(t, s, n, p)
	began := time.Now()
	requests = append(requests, s.Run(t.Context(), stack.Load{
		Name: "chaos", Operations: p.ops, Clients: p.clients, Users: users, SyncShare: 0.03, Pause: p.pause, Seed: p.seed, Sent: in.sent,
	})...)
	in.finish()
	loaded := time.Now()
	h, err := s.Collect(t.Context(), requests, p.drain)
	require.NoError(t, err)
	h.Transit = limits.Call // proxies may hold a call as long as it lives

	report := history.Check(h)
	t.Logf("load %s, drain %s\n%s%s", loaded.Sub(began).Round(time.Second), time.Since(loaded).Round(time.Second), report, in)
	if !report.Clean() {
		t.Logf("what the store holds:\n%s", s.Lanes(t.Context()))
	}
	require.True(t, report.Clean(), "seed %d breaks promises:\n%s", p.seed, report)
	require.NotZero(t, report.Counts.Unanswered, "no fault was felt: the run proves nothing")
}
