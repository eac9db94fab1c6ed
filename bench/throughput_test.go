package bench

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

func flow() int {
	if testing.Short() {
		return 2_000
	}
	return 10_000
}

// BenchmarkThroughput measures how fast operations are accepted with no worker
// running, how fast a worker ends them with no accepts, and both at once. The
// provider takes 5 ms; everything shares the machine.
func BenchmarkThroughput(b *testing.B) {
	r := newRig(b, &provider{latency: 5 * time.Millisecond, limits: tsp.Limits{InFlight: 32}})
	over := lanes(32)
	accepts := r.fill(flow(), over)
	r.worker(4 * slots)
	began, cpu, scripts, own := time.Now(), r.redisCPU(), r.scripts(), ownCPU(b)
	r.drained()
	ends := float64(flow()) / time.Since(began).Seconds()
	each := cost{redis: perOperation(r.redisCPU() - cpu), client: perOperation(ownCPU(b) - own)}
	per := float64(r.scripts()-scripts) / float64(flow())

	began = time.Now()
	both := r.fill(flow(), over)
	r.drained()
	through := float64(flow()) / time.Since(began).Seconds()
	require.GreaterOrEqual(b, r.provider.calls.Load(), int64(2*flow()))
	b.Logf("accepts %.0f/s alone, %.0f/s beside a worker | ended %.0f/s alone (%s, %.1f scripts each) | accepted and ended %.0f/s",
		accepts, both, ends, each, per, through)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(accepts, "accepts/s")
	b.ReportMetric(ends, "ended/s")
	b.ReportMetric(through, "through/s")
}

// drained waits until nothing is outstanding.
func (r *rig) drained() {
	r.b.Helper()
	require.Eventually(r.b, func() bool { return r.depth().Outstanding == 0 }, 3*time.Minute, 200*time.Millisecond)
}

// BenchmarkAccept measures what one accept costs: the script alone, and the whole of
// it with publish and confirmation.
func BenchmarkAccept(b *testing.B) {
	r := newRig(b, &provider{})
	l := r.provider.limits.WithDefaults()
	over := lanes(64)
	store := redisstore.Limits{InFlight: l.InFlight, Call: l.Call, Life: l.Deadline}
	var took delays
	for range flow() / 10 {
		began := time.Now()
		_, err := r.accepter.Accept(b.Context(), change(r.partner, over[0], "fake"), l)
		require.NoError(b, err)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	script := r.cost(func(a operation.Accepted) error { _, err := r.store.Accept(b.Context(), a, store); return err }, over)
	whole := r.cost(func(a operation.Accepted) error { _, err := r.accepter.Accept(b.Context(), a, l); return err }, over)
	b.Logf("one by one: %s | script: %s | whole accept: %s", took, script, whole)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(took.at(0.5))*1000, "p50-us")
	b.ReportMetric(script.redis, "redis-script-us")
	b.ReportMetric(whole.redis, "redis-us")
	b.ReportMetric(whole.client, "client-us")
}

// cost is CPU time in microseconds for one accept.
type cost struct{ redis, client float64 }

func (c cost) String() string {
	return strings.Join([]string{"redis", micros(c.redis), "client", micros(c.client)}, " ")
}

func micros(us float64) string { return time.Duration(us * 1000).Round(100 * time.Nanosecond).String() }

func (r *rig) cost(accept func(operation.Accepted) error, over []uuid.UUID) cost {
	r.b.Helper()
	redis, client := r.redisCPU(), ownCPU(r.b)
	g := errgroup.Group{}
	g.SetLimit(64)
	for i := range flow() {
		g.Go(func() error { return accept(change(r.partner, over[i%len(over)], "fake")) })
	}
	require.NoError(r.b, g.Wait())
	return cost{redis: perOperation(r.redisCPU() - redis), client: perOperation(ownCPU(r.b) - client)}
}

// perOperation gives microseconds.
func perOperation(d time.Duration) float64 { return float64(d.Microseconds()) / float64(flow()) }

// scripts counts the scripts that were run so far.
func (r *rig) scripts() int {
	r.b.Helper()
	text, err := r.rdb.Info(r.b.Context(), "commandstats").Result()
	require.NoError(r.b, err)
	_, found, _ := strings.Cut(text, "cmdstat_evalsha:calls=")
	number, _, _ := strings.Cut(found, ",")
	n, err := strconv.Atoi(number)
	require.NoError(r.b, err)
	return n
}

// redisCPU is what the server has used so far.
func (r *rig) redisCPU() time.Duration {
	r.b.Helper()
	text, err := r.rdb.Info(r.b.Context(), "cpu").Result()
	require.NoError(r.b, err)
	var sum time.Duration
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			d, err := time.ParseDuration(value + "s")
			require.NoError(r.b, err)
			sum += d
		}
	}
	require.Positive(r.b, sum)
	return sum
}

// ownCPU is what this process has used so far.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
