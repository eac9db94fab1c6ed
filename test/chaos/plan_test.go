package chaos_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
)

// fault is a kind of step.
type fault string

const (
	killAPI     fault = "kill api"
	killWorker  fault = "kill worker"
	killNATS    fault = "kill nats"
	killRedis   fault = "kill redis"
	wipeRedis   fault = "wipe redis"
	flushRedis  fault = "flush redis"
	rewindRedis fault = "set redis back"
	fillRedis   fault = "fill redis's memory"
	pauseWorker fault = "pause worker beyond its lease"
	pauseAPI    fault = "pause api"
	provider    fault = "provider"
	network     fault = "network"
)

// step is one fault: when, what, to whom, for how long.
type step struct {
	// at is the number of accepted operations after which it happens.
	at   int
	kind fault
	// which of several programs.
	which int
	// lasts is how long until it is undone.
	lasts time.Duration
	// whole: it waits until Redis has all that an earlier loss took.
	whole bool
	// order is what the sandbox is told; path and toxic are for the network.
	order sandbox.Fault
	path  string
	toxic toxic
}

func (s step) String() string {
	text := fmt.Sprintf("%6d %s", s.at, s.name())
	switch s.kind {
	case network:
		text += " on " + s.path
	case provider:
		text += fmt.Sprintf(" of %s ×%d", s.order.Provider, s.order.Count)
	case killAPI, killWorker, pauseWorker, pauseAPI:
		text += fmt.Sprintf(" %d", s.which)
	case killNATS, killRedis, wipeRedis, flushRedis, rewindRedis, fillRedis:
	}
	if s.lasts > 0 {
		text += fmt.Sprintf(" for %s", s.lasts)
	}
	return text
}

// name is the kind of fault in the report.
func (s step) name() string {
	switch s.kind {
	case provider:
		return "provider: " + orderName(s.order)
	case network:
		return "network: " + s.toxic.Type
	default:
		return string(s.kind)
	}
}

func orderName(f sandbox.Fault) string {
	switch {
	case f.Hang:
		return "hang"
	case f.Reset && f.Apply:
		return "reset after the write"
	case f.Reset:
		return "reset"
	case f.RetryAfter != "":
		return "429 with Retry-After"
	case f.Status != 0:
		return fmt.Sprint(f.Status)
	default:
		return "slow"
	}
}

// plan is a schedule and the load that it goes with.
type plan struct {
	seed    uint64
	ops     int
	clients int
	pause   time.Duration
	drain   time.Duration
	steps   []step
}

func (p plan) String() string {
	lines := []string{fmt.Sprintf("seed %d, %d operations, %d faults", p.seed, p.ops, len(p.steps))}
	for _, s := range p.steps {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, "\n")
}

// planFor draws the schedule; the same arguments give the same one.
func planFor(long bool, ops int, seed uint64) plan {
	p := plan{seed: seed, ops: ops, clients: 24, pause: 350 * time.Millisecond, drain: 4 * time.Minute}
	d := dice{rand.New(rand.NewPCG(seed, 0xc4a05)), 1}
	every := 22
	if long {
		p.clients, p.pause, p.drain = 32, 150*time.Millisecond, 5*time.Minute
		d.stretch, every = 2, 60
	}
	if p.ops <= 0 {
		p.ops = map[bool]int{false: 600, true: 10_000}[long]
	}
	// Each kind at least once, then what the dice say.
	kinds := []fault{killAPI, killWorker, killNATS, killRedis, pauseWorker, pauseAPI, fillRedis}
	if long {
		kinds = append(append(append(kinds, fillRedis), losing...), losing...)
	}
	for range max(p.ops/every-len(kinds), 0) {
		kinds = append(kinds, d.kind())
	}
	for _, kind := range kinds {
		p.steps = append(p.steps, d.step(kind, p.ops))
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return p
}

// losing are the faults that take data from Redis. Each closes the store for some
// seconds, so the dice do not draw them: a plan says how many it wants.
var losing = []fault{wipeRedis, flushRedis, rewindRedis}

// lossPlan is a short schedule with each loss once, far enough apart that the store
// is open again before the next, and a few faults of the provider between them.
func lossPlan(seed uint64) plan {
	p := plan{seed: seed, ops: 450, clients: 16, pause: 200 * time.Millisecond, drain: 3 * time.Minute}
	d := dice{rand.New(rand.NewPCG(seed, 0x1055)), 1}
	for i, kind := range losing {
		s := d.step(kind, p.ops)
		s.at, s.whole = 100*(i+1), true
		p.steps = append(p.steps, s)
		s = d.step(provider, p.ops)
		s.at = 100*(i+1) - 20
		p.steps = append(p.steps, s)
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return p
}

// dice draws steps.
type dice struct {
	*rand.Rand
	stretch int
}

func (d dice) ms(least, most int) time.Duration {
	return time.Duration(d.stretch*(least+d.IntN(most-least))) * time.Millisecond
}

func (d dice) kind() fault {
	switch n := d.IntN(21); {
	case n < 2:
		return killAPI
	case n < 4:
		return killWorker
	case n < 5:
		return killNATS
	case n < 6:
		return killRedis
	case n < 7:
		return pauseWorker
	case n < 8:
		return pauseAPI
	case n < 14:
		return provider
	default:
		return network
	}
}

// step draws one; all of them come in the first nine tenths of the load.
func (d dice) step(kind fault, ops int) step {
	s := step{at: d.IntN(max(ops*9/10, 1)), kind: kind, which: d.IntN(2), lasts: d.ms(200, 1500)}
	switch kind {
	case pauseWorker:
		s.lasts = 8*time.Second + d.ms(0, 1000) // a lease is 7 s
	case pauseAPI:
		s.lasts = 2*time.Second + d.ms(0, 3000) // clients may have gone by then, and Redis may have lost its data
	case provider:
		s.order, s.lasts = d.order(), 0
	case network:
		s.path, s.toxic = d.toxic()
	case flushRedis:
		s.lasts = 0
	case rewindRedis:
		s.lasts = time.Duration(700+d.IntN(800)) * time.Millisecond
	case killAPI, killWorker, killNATS, killRedis, wipeRedis, fillRedis:
	}
	return s
}

// order draws what the sandbox does to the next few writes. Network faults are
// few in a row: five open the breaker for half a minute.
func (d dice) order() sandbox.Fault {
	f := sandbox.Fault{
		Provider: []string{sandbox.Samsara, sandbox.Motive, sandbox.Geotab}[d.IntN(3)], Count: 1 + d.IntN(3),
	}
	switch d.IntN(7) {
	case 0:
		f.Status, f.RetryAfter, f.Count = 429, "2", 1
	case 1:
		f.Status, f.RetryAfter, f.Count = 429, "1.5", 1
	case 2:
		f.Status, f.RetryAfter, f.Count = 429, inThreeSeconds, 1
	case 3:
		f.Status = []int{500, 502, 503}[d.IntN(3)]
	case 4:
		f.Hang = true
	case 5:
		f.Reset, f.Apply = true, d.IntN(2) == 0
	case 6:
		f.LatencyMS = 100 + d.IntN(1500)
	}
	return f
}

// inThreeSeconds stands for an HTTP date, which is made when the fault is ordered.
const inThreeSeconds = "date"

// toxic draws a path and what is wrong with it.
func (d dice) toxic() (string, toxic) {
	path := []string{"api-0>redis", "api-1>redis", "api-0>nats", "api-1>nats", "worker-0>redis", "worker-1>redis",
		"worker-0>nats", "worker-1>nats", "worker-0>sandbox", "worker-1>sandbox"}[d.IntN(10)]
	stream := []string{"upstream", "downstream"}[d.IntN(2)]
	switch d.IntN(5) {
	case 0:
		return path, toxic{Type: "latency", Stream: stream, Attributes: map[string]int{"latency": 50 + d.IntN(250), "jitter": 50}}
	case 1:
		return path, toxic{Type: "reset_peer", Stream: stream, Attributes: map[string]int{"timeout": d.IntN(200)}}
	case 2:
		return path, toxic{Type: "timeout", Stream: stream, Attributes: map[string]int{"timeout": 0}}
	case 3:
		return path, toxic{Type: "bandwidth", Stream: stream, Attributes: map[string]int{"rate": 8 + d.IntN(32)}}
	default:
		return path, toxic{Type: "slicer", Stream: stream, Attributes: map[string]int{"average_size": 64, "size_variation": 32, "delay": 2000}}
	}
}

func TestPlan_IsReplayedByItsSeed(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{false, true} {
		a, b := planFor(long, 0, 5), planFor(long, 0, 5)
		require.Equal(t, a, b)
		require.NotEqual(t, a.steps, planFor(long, 0, 6).steps)
		for _, kind := range []fault{killAPI, killWorker, killNATS, killRedis, pauseWorker, pauseAPI, fillRedis, provider, network} {
			require.True(t, slices.ContainsFunc(a.steps, func(s step) bool { return s.kind == kind }), "no %s", kind)
		}
		for _, kind := range losing {
			require.Equal(t, long, slices.ContainsFunc(a.steps, func(s step) bool { return s.kind == kind }), "%s", kind)
		}
	}
}
