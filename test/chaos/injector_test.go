package chaos_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"writeback/test/e2e/stack"
)

// injector carries a plan out.
type injector struct {
	t     *testing.T
	stack *stack.Stack
	net   *net
	plan  plan

	mu      sync.Mutex
	next    int
	faults  map[string]int
	repairs map[string]int
	// outages are when a server was away or lost data, for the report.
	outages []string

	// busy keeps two faults from the same program or server.
	busy    map[string]*sync.Mutex
	running sync.WaitGroup
}

func newInjector(t *testing.T, s *stack.Stack, n *net, p plan) *injector {
	in := &injector{t: t, stack: s, net: n, plan: p, faults: map[string]int{}, repairs: map[string]int{}, busy: map[string]*sync.Mutex{}}
	for _, st := range p.steps {
		in.busy[st.target()] = &sync.Mutex{}
	}
	return in
}

// target is what a step takes for itself.
func (s step) target() string {
	switch s.kind {
	case killAPI, pauseAPI:
		return fmt.Sprintf("api-%d", s.which)
	case killWorker, pauseWorker:
		return fmt.Sprintf("worker-%d", s.which)
	case network:
		return s.path
	case killRedis, wipeRedis, flushRedis, rewindRedis, fillRedis:
		return "redis"
	default:
		return string(s.kind)
	}
}

// sent starts the steps whose time has come.
func (in *injector) sent(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.next < len(in.plan.steps) && in.plan.steps[in.next].at <= n {
		s := in.plan.steps[in.next]
		in.next++
		in.faults[s.name()]++
		in.running.Go(func() {
			lock := in.busy[s.target()]
			lock.Lock()
			defer lock.Unlock()
			if s.whole {
				in.stack.AwaitWhole()
			}
			from := time.Now()
			if err := in.do(s); err != nil {
				in.t.Errorf("%s: %v", s, err)
			}
			in.note(s, from)
		})
	}
}

// note keeps what a loss can be explained by.
func (in *injector) note(s step, from time.Time) {
	switch s.kind {
	case killNATS, killRedis, wipeRedis, flushRedis, rewindRedis, fillRedis:
		in.mu.Lock()
		defer in.mu.Unlock()
		in.outages = append(in.outages, fmt.Sprintf("%s to %s", in.stack.Since(from).Round(time.Millisecond), in.stack.Since(time.Now()).Round(time.Millisecond))+": "+string(s.kind))
	case killAPI, killWorker, pauseWorker, pauseAPI, provider, network:
	}
}

// finish waits until every fault is undone, and adds up the repairs.
func (in *injector) finish() {
	in.running.Wait()
	if err := in.stack.ClearFaults(); err != nil {
		in.t.Error(err)
	}
}

func (in *injector) do(s step) error {
	switch s.kind {
	case killAPI:
		return in.restart(in.stack.APIs[s.which], s.lasts)
	case killWorker:
		in.count(in.stack.Workers[s.which])
		return in.restart(in.stack.Workers[s.which], s.lasts)
	case killNATS:
		in.stack.NATS.Kill()
		time.Sleep(s.lasts)
		return in.stack.NATS.Restart()
	case killRedis:
		in.stack.Redis.Kill()
		time.Sleep(s.lasts)
		return in.stack.Redis.Restart()
	case wipeRedis:
		return in.stack.WipeRedis(s.lasts)
	case flushRedis:
		return in.stack.FlushRedis(in.t.Context())
	case rewindRedis:
		return in.stack.RewindRedis(s.lasts)
	case fillRedis:
		return in.stack.FillRedis(in.t.Context(), s.lasts)
	case pauseWorker:
		return pause(in.stack.Workers[s.which], s.lasts)
	case pauseAPI:
		return pause(in.stack.APIs[s.which], s.lasts)
	case provider:
		if s.order.RetryAfter == inThreeSeconds {
			s.order.RetryAfter = time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat)
		}
		return in.stack.Fault(s.order)
	default:
		undo, err := in.net.poison(s.path, s.toxic)
		if err != nil {
			return err
		}
		time.Sleep(s.lasts)
		return undo()
	}
}

// pause has the program stand still.
func pause(p *stack.Process, lasts time.Duration) error {
	if err := p.Pause(); err != nil {
		return err
	}
	time.Sleep(lasts)
	return p.Resume()
}

// restart kills the program and starts it again. It may have to wait for a server
// that is away itself, so readiness is not asked for.
func (in *injector) restart(p *stack.Process, after time.Duration) error {
	p.Kill()
	time.Sleep(after)
	return p.Spawn()
}

// count adds a worker's repairs up, before they are lost with it and at the end.
func (in *injector) count(w *stack.Process) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Admin+"/metrics", nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "writeback_repairs_total{")
		if !ok {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		n, _ := strconv.ParseFloat(value, 64)
		_, kind, _ := strings.Cut(labels, `kind="`)
		kind, _, _ = strings.Cut(kind, `"`)
		in.repairs[kind] += int(n)
	}
}

// String says what was done and what was repaired.
func (in *injector) String() string {
	for _, w := range in.stack.Workers {
		in.count(w)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	var b strings.Builder
	shards, overtaken := in.stack.Rebuilt()
	fmt.Fprintf(&b, "losses of Redis %d, shards rebuilt %d, writes ended as overtaken %d\n", len(in.stack.Losses()), shards, overtaken)
	for _, outage := range in.outages {
		fmt.Fprintf(&b, "  %s\n", outage)
	}
	for title, counts := range map[string]map[string]int{"faults": in.faults, "repairs": in.repairs} {
		fmt.Fprintf(&b, "%s\n", title)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "  %s: %d\n", name, counts[name])
		}
	}
	return b.String()
}
