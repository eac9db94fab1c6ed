// Package rolling restarts every program in turn under load, as an upgrade does.
package rolling

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
	"writeback/test/otlp"
)

const (
	// grace is the programs' default, and time to flush.
	grace   = 30 * time.Second
	settle  = 30 * time.Second
	clients = 12
	// tries bounds how often a client asks another api.
	tries = 50
	// refusals is how many calls the provider refuses during each restart.
	refusals = 4
)

var limits = history.Limits{InFlight: 8, PerSecond: 100, Burst: 20, Call: 3 * time.Second}

// TestRolling_NothingIsLostOrDoubled stops and starts two apis and three workers, one
// after the other, while clients write. Each client asks the next api when one refuses
// the connection, as a load balancer does. Every write is accepted, every accepted one
// ends, none reaches the provider twice without having been refused by it, no program is
// cut off, and the traces have no gap.
func TestRolling_NothingIsLostOrDoubled(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load")
	}
	receiver := otlp.Start(t)
	s := stack.Start(t, stack.Options{
		APIs: 2, Workers: 3, Registry: stack.Registry{Limits: limits}, Environ: append(receiver.Environ(), onlyAtTheEnd...),
	})
	programs := append(append([]*stack.Process{}, s.APIs...), s.Workers...)
	misbehave(t, s)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := &load{stack: s}
	var writing sync.WaitGroup
	for n := range clients {
		writing.Go(func() { l.write(ctx, n) })
	}
	for _, p := range programs {
		before := l.accepted.Load()
		misbehave(t, s)
		hesitate(t, s)
		end(t, p)
		l.await(t, before+20) // the others go on alone
		require.NoError(t, p.Start(), p.Name)
		l.await(t, before+40)
	}
	stop()
	writing.Wait()

	require.Zero(t, l.gaveUp.Load(), "writes that no api took")
	require.Zero(t, l.declined.Load(), "writes that an api answered with an error")
	require.NotZero(t, l.refused.Load(), "nobody met a stopped api: the test proves nothing")
	h, err := s.Collect(t.Context(), l.requests, settle)
	require.NoError(t, err)
	report := history.Check(h)
	t.Logf("\n%s", report)
	require.True(t, report.Clean(), report.String())
	require.Zero(t, report.Counts.Failed)
	require.Empty(t, report.Residue)
	for _, op := range h.Operations {
		for i, row := range op.Rows[:len(op.Rows)-1] {
			require.Equal(t, http.StatusServiceUnavailable, row.Code, "attempt %d of %s: a restart broke a call off", i+1, op.ID)
		}
	}
	for _, p := range programs {
		end(t, p)
	}
	checkTraces(t, receiver, h.Operations)
}

// misbehave lets a provider refuse the next calls, so that what one worker tries another
// may try again, and all be slow, so that calls are under way.
func misbehave(t *testing.T, s *stack.Stack) {
	t.Helper()
	require.NoError(t, s.ClearFaults())
	const slow = 100
	require.NoError(t, s.Fault(sandbox.Fault{
		Provider: sandbox.Samsara, Status: http.StatusServiceUnavailable, LatencyMS: slow, Count: refusals,
	}))
	for _, provider := range []string{sandbox.Samsara, sandbox.Motive, sandbox.Geotab} {
		require.NoError(t, s.Fault(sandbox.Fault{Provider: provider, LatencyMS: slow}))
	}
}

// hesitate lets the streams stand still for a moment, so that what is told at a stop takes
// its time, too.
func hesitate(t *testing.T, s *stack.Stack) {
	t.Helper()
	require.NoError(t, s.NATS.Pause())
	time.AfterFunc(400*time.Millisecond, func() { assert.NoError(t, s.NATS.Resume()) })
}

// end stops a program, which gives up nothing by it.
func end(t *testing.T, p *stack.Process) {
	t.Helper()
	code, err := p.Stop(grace)
	require.NoError(t, err, p.Name)
	require.Zero(t, code, "%s: %s", p.Name, p.LogTail(5))
}

// load is what the clients did.
type load struct {
	stack *stack.Stack

	accepted, refused, declined, gaveUp atomic.Int64

	mu       sync.Mutex
	requests []history.Request
}

// write sends one write after the other until ctx ends; a started one is finished.
func (l *load) write(ctx context.Context, client int) {
	c := l.stack.Client()
	for n := 0; ctx.Err() == nil; n++ {
		l.one(ctx, c, client, n)
	}
}

// one sends one write until an api answers. The key makes it one write, whatever became
// of the tries before.
func (l *load) one(ctx context.Context, c *stack.Client, client, n int) {
	ctx = context.WithoutCancel(ctx)
	r := request(client, n)
	headers := http.Header{"Idempotency-Key": {r.Marker}}
	sent := l.stack.Since(time.Now())
	for try := range tries {
		answer := c.Write(ctx, l.stack.APIs[(client+n+try)%len(l.stack.APIs)], r, headers)
		if answer.Status == 0 {
			l.refused.Add(1)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		answer.Sent = sent
		l.keep(answer)
		if answer.Status != http.StatusOK && answer.Status != http.StatusAccepted {
			l.declined.Add(1)
			return
		}
		l.accepted.Add(1)
		return
	}
	l.gaveUp.Add(1)
}

// request is the client's nth write.
func request(client, n int) history.Request {
	seeds := stack.Seeds()
	seed := seeds[(client+n)%len(seeds)]
	return history.Request{
		Marker:     fmt.Sprintf("mk-roll-%d", client*100_000+n),
		Connection: seed.Connection,
		User:       seed.Users[(client*7+n)%25].CatenaID,
	}
}

func (l *load) keep(r history.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
}

// await waits until so many writes are accepted.
func (l *load) await(t *testing.T, want int64) {
	t.Helper()
	require.Eventually(t, func() bool { return l.accepted.Load() >= want }, settle, 10*time.Millisecond)
}
