package redismodes

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/testenv"
	"writeback/test/e2e/stack"
)

// inFlight bounds the calls at a time of all connections of a stack.
const inFlight = 4 * 8

var fast = history.Limits{InFlight: 8, PerSecond: 100, Burst: 20, Call: 3 * time.Second}

// run sends a load to a stack on that Redis and gives its whole history.
func run(t *testing.T, url string, load stack.Load, sent func(n int)) (*stack.Stack, history.History) {
	t.Helper()
	s := stack.Start(t, stack.Options{APIs: 2, Workers: 2, RedisURL: url, Registry: stack.Registry{Limits: fast}})
	load.Clients, load.Users, load.Sent = 12, 25, sent
	requests := s.Run(t.Context(), load)
	h, err := s.Collect(t.Context(), requests, within)
	require.NoError(t, err)
	return s, h
}

// TestCluster_Programs: api and worker as they are, with all that they keep in Redis.
func TestCluster_Programs(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load")
	}
	nodes := testenv.RedisCluster(t, 3)
	_, h := run(t, clusterURL(nodes), stack.Load{Name: "cluster", Operations: 300, SyncShare: 0.1, Seed: 1}, nil)
	report := history.Check(h)
	t.Logf("\n%s", report)
	require.True(t, report.Clean(), report.String())
	require.GreaterOrEqual(t, report.Counts.Accepted, 300)
	require.Zero(t, report.Counts.Failed)
	require.Empty(t, report.Residue)
}

// TestSentinel_Programs: the primary is killed under load. What it had not passed on
// to the replica comes back from the streams; everything answered ends, in order.
//
// One thing is not held against it, as docs/durability.md says: a lease that had not
// reached the replica is unknown there, so that its call may be made again before the
// worker that makes it has noticed the loss.
func TestSentinel_Programs(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load")
	}
	servers := testenv.RedisSentinels(t)
	var once sync.Once
	var killed time.Time
	s, h := run(t, servers.URL(), stack.Load{Name: "failover", Operations: 500, Seed: 2}, func(n int) {
		if n >= 250 {
			once.Do(func() { killed = time.Now(); servers.Primary.Kill() })
		}
	})
	require.Error(t, servers.Primary.Resume(), "the primary was killed")
	h.Losses = append(h.Losses, history.Loss{Since: s.Since(killed.Add(-time.Second)), Until: s.Since(killed)})
	report := history.Check(h)
	t.Logf("\n%s", report)
	var broken []history.Violation
	for _, v := range report.Violations {
		if v.Rule != history.Repeated {
			broken = append(broken, v)
		}
	}
	require.Empty(t, broken)
	require.LessOrEqual(t, report.Count(history.Repeated), inFlight, "more was repeated than was under way")
	require.GreaterOrEqual(t, report.Counts.Accepted, 500)
	require.Zero(t, report.Counts.Failed)
}
