package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/natsq"
	"writeback/internal/sandbox"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/test/e2e/stack"
)

// TestKill_WorkerHoldingAMessageOfMany kills the only worker while it holds, unacked, a
// message of many operations, some of which have been called and some not, since all its
// slots wait for a slow provider. Another worker starts. Every operation ends, in order,
// logged.
//
// The due index alone would bring all of that about: it has every lane with work. So the
// entry of one lane, which no other message names, is taken out of it, and its operation
// ends only if the message was still the stream's to give out again.
func TestKill_WorkerHoldingAMessageOfMany(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs programs of its own")
	}
	registry := stack.Registry{Limits: history.Limits{InFlight: 8, PerSecond: 100, Burst: 20, Call: 4 * time.Second}}
	s := stack.Start(t, stack.Options{
		APIs: 1, Workers: 1, Environ: []string{fmt.Sprintf("WRITEBACK_WORKER_CONCURRENCY=%d", heldSlots), "WRITEBACK_ROLES=operations"},
		Registry: registry,
	})
	h := newHolding(t, s)
	message, alone := h.killHolding()
	require.NotEmpty(t, message, "no worker was killed while it held a message of many: the test proves nothing")
	t.Logf("killed with a message of %d operations; only that names the lane %s", len(message), alone.ConnectionID)

	// A newer write of users whose older ones wait.
	for n := range waveOfGeotab {
		h.write(sandbox.Geotab, n)
	}
	h.writing.Wait()
	require.NoError(t, s.ClearFaults())
	h.forget(alone.ConnectionID)
	other := s.Worker("worker-other", s.Registry("registry", registry))
	s.Workers = append(s.Workers, other)
	require.NoError(t, other.Start())
	h.giveOutAgain()

	require.Eventually(t, func() bool {
		op, err := h.store.Get(t.Context(), alone.ConnectionID, alone.ID)
		return err == nil && op.Status == operation.Succeeded
	}, patience, 20*time.Millisecond, "the operation that only the held message names has not ended")
	seen, err := s.Collect(t.Context(), h.requests, 90*time.Second)
	require.NoError(t, err)
	report := history.Check(seen)
	t.Logf("\n%s", report)
	require.True(t, report.Clean(), report.String())
	require.Empty(t, report.Residue)
	require.Zero(t, report.Counts.Failed)
	require.NotZero(t, report.Counts.CalledAgain, "the killed worker had no call under way")
	require.Eventually(t, func() bool {
		info := h.consumer()
		return info.NumPending == 0 && info.NumAckPending == 0
	}, patience, 20*time.Millisecond, "messages are left over")
}

const (
	heldSlots = 4
	// heldFreed is how many slots get free for what the messages ask for: one for the
	// connection with many operations, which is then known, and one for the first of
	// those with one.
	heldFreed = 2
	// heldTries bounds how often it is tried to have a worker hold what is wanted: what
	// travels in one message is up to the moment.
	heldTries = 20
	patience  = 60 * time.Second
	// waveOfGeotab is how many users of one connection are written to at once: so few
	// that their messages wake a worker.
	waveOfGeotab = 7
)

// holding brings a worker to hold a message of many.
type holding struct {
	t     *testing.T
	stack *stack.Stack
	js    jetstream.JetStream
	rdb   *redis.Client
	store *redisstore.Store
	// conn is a connection of each provider, and foreign one of the second partner.
	conn    map[string]sandbox.Seed
	clients chan *stack.Client

	writing  sync.WaitGroup
	mu       sync.Mutex
	requests []history.Request
}

const foreign = "foreign"

func newHolding(t *testing.T, s *stack.Stack) *holding {
	nc, err := nats.Connect(s.NATS.URL(), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	opt, err := redis.ParseURL(s.Redis.URL())
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	h := &holding{
		t: t, stack: s, js: js, rdb: rdb, store: redisstore.New(rdb, redisstore.Config{}),
		conn: map[string]sandbox.Seed{}, clients: make(chan *stack.Client, 16),
	}
	for _, seed := range stack.Seeds() {
		if seed.Connection == stack.Foreign() {
			h.conn[foreign] = seed
		} else {
			h.conn[seed.Provider] = seed
		}
	}
	for range cap(h.clients) {
		h.clients <- s.Client()
	}
	return h
}

// write begins a write to user n of a connection.
func (h *holding) write(to string, n int) {
	conn := h.conn[to]
	h.mu.Lock()
	i := len(h.requests)
	h.requests = append(h.requests, history.Request{
		Marker: fmt.Sprintf("mk-held-%d", i), Connection: conn.Connection, User: conn.Users[n].CatenaID,
	})
	r := h.requests[i]
	h.mu.Unlock()
	h.writing.Go(func() {
		c := <-h.clients
		defer func() { h.clients <- c }()
		r = c.Write(h.t.Context(), h.stack.APIs[0], r, nil)
		if r.Status != http.StatusAccepted {
			h.t.Errorf("write answered %d", r.Status)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.requests[i] = r
	})
}

// killHolding kills the worker while it holds a message of many, and gives what is in
// it and that of its operations whose lane no other message has named since.
func (h *holding) killHolding() (message []operation.Message, alone operation.Message) {
	for range heldTries {
		h.fillSlots()
		since := h.consumer().Delivered.Stream
		h.wave()
		held := func() bool {
			message, alone = h.held(since)
			return len(message) > 0
		}
		// The freed slots have calls again, so some of the message was looked at. It is
		// not waited longer than until all slots get free.
		taken := func() bool {
			return h.called(h.conn[sandbox.Geotab], h.conn[sandbox.Motive], h.conn[foreign]) >= heldFreed
		}
		hot := h.conn[sandbox.Samsara]
		for (!taken() || !held()) && h.called(hot) > 0 {
			time.Sleep(5 * time.Millisecond)
		}
		if len(message) > 0 {
			h.stack.Workers[0].Kill()
			if held() { // not acked just before
				return message, alone
			}
			require.NoError(h.t, h.stack.Workers[0].Start())
		}
		h.settle()
	}
	return nil, operation.Message{}
}

// fillSlots gives every slot of the worker a call. Some end, one after the other: their
// slots go to the messages, in order. The others hang.
func (h *holding) fillSlots() {
	hot := h.conn[sandbox.Samsara]
	for n := range heldFreed {
		h.order(sandbox.Fault{Provider: hot.Provider, User: hot.Users[n].CatenaID, LatencyMS: 1000 + 500*n})
	}
	for _, seed := range h.conn {
		if seed.Provider != sandbox.Simulator {
			// The write happens, and nobody is told.
			h.order(sandbox.Fault{Provider: seed.Provider, Connection: seed.Connection, Hang: true, Apply: true})
		}
	}
	for n := range heldSlots {
		h.write(sandbox.Samsara, n)
	}
	h.writing.Wait()
	require.Eventually(h.t, func() bool { return h.called(hot) == heldSlots }, patience, 10*time.Millisecond)
}

func (h *holding) order(f sandbox.Fault) { require.NoError(h.t, h.stack.Fault(f)) }

// called counts the calls under way of some connections.
func (h *holding) called(of ...sandbox.Seed) (open int) {
	calls, err := h.stack.Calls(h.t.Context())
	require.NoError(h.t, err)
	for _, c := range calls {
		if c.End == 0 && slices.ContainsFunc(of, func(s sandbox.Seed) bool { return s.Connection == c.Connection }) {
			open++
		}
	}
	return open
}

// wave writes to users of several connections while NATS stands still, so that they
// travel together.
func (h *holding) wave() {
	require.NoError(h.t, h.stack.NATS.Pause())
	before := h.outstanding()
	began := time.Now()
	await := func(n int) { // not longer than the api waits for an ack
		for h.outstanding() < before+n && time.Since(began) < time.Second {
			time.Sleep(time.Millisecond)
		}
	}
	h.write(sandbox.Geotab, 0) // it travels alone
	await(1)
	for n := 1; n < waveOfGeotab; n++ {
		h.write(sandbox.Geotab, n)
	}
	h.write(sandbox.Motive, 0)
	h.write(foreign, 0)
	await(waveOfGeotab + 2)
	require.NoError(h.t, h.stack.NATS.Resume())
	h.writing.Wait()
}

func (h *holding) outstanding() (n int) {
	for _, seed := range h.conn {
		lane, err := h.store.Lane(h.t.Context(), uuid.MustParse(seed.Connection))
		if err == nil { // else it has had nothing yet
			n += lane.Outstanding
		}
	}
	return n
}

// settle lets all end that was begun.
func (h *holding) settle() {
	require.NoError(h.t, h.stack.ClearFaults())
	require.Eventually(h.t, func() bool { return h.outstanding() == 0 }, patience, 20*time.Millisecond)
}

func (h *holding) consumer() *jetstream.ConsumerInfo {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	c, err := h.js.Consumer(ctx, natsq.StreamOperations, natsq.ConsumerQuiet)
	require.NoError(h.t, err)
	return c.CachedInfo()
}

// held gives the message of many that was given out and is not acked, and of its
// operations one that has not been called, in a lane that no other message after since
// names. Empty: there is no such.
func (h *holding) held(since uint64) (message []operation.Message, alone operation.Message) {
	info := h.consumer()
	out, named := 0, map[uuid.UUID]int{}
	for _, m := range h.accepted(since) {
		lanes := map[uuid.UUID]bool{}
		for _, one := range m.operations {
			lanes[one.ConnectionID] = true
		}
		for lane := range lanes {
			named[lane]++
		}
		if m.seq > info.AckFloor.Stream && m.seq <= info.Delivered.Stream && m.subject != natsq.SubjectBusy {
			if out++; m.subject == natsq.SubjectQuietBatch {
				message = m.operations
			}
		}
	}
	if out != info.NumAckPending { // it is not known which
		return nil, operation.Message{}
	}
	called := h.markers()
	for _, m := range message {
		if named[m.ConnectionID] == 1 && !called[h.marker(m)] && m.ConnectionID.String() != h.conn[sandbox.Geotab].Connection {
			alone = m
		}
	}
	if alone.ID == uuid.Nil {
		return nil, operation.Message{}
	}
	return message, alone
}

// accepted is a message of the operation stream.
type accepted struct {
	seq        uint64
	subject    string
	operations []operation.Message
}

// accepted gives the messages after since.
func (h *holding) accepted(since uint64) (out []accepted) {
	stream, err := h.js.Stream(h.t.Context(), natsq.StreamOperations)
	require.NoError(h.t, err)
	for seq := since + 1; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(h.t.Context(), seq)
		require.NoError(h.t, err)
		all, err := natsq.DecodeMessages(m.Data)
		require.NoError(h.t, err)
		out = append(out, accepted{seq, m.Subject, all})
	}
	return out
}

// markers are those of all calls.
func (h *holding) markers() map[string]bool {
	calls, err := h.stack.Calls(h.t.Context())
	require.NoError(h.t, err)
	out := map[string]bool{}
	for _, c := range calls {
		out[c.Marker] = true
	}
	return out
}

func (h *holding) marker(m operation.Message) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if r.Operation == m.ID.String() {
			return r.Marker
		}
	}
	return ""
}

// forget takes a lane out of the due index.
func (h *holding) forget(lane uuid.UUID) {
	due := fmt.Sprintf("wb:{%02d}:due", operation.ShardOf(lane))
	n, err := h.rdb.ZRem(h.t.Context(), due, lane.String()).Result()
	require.NoError(h.t, err)
	require.EqualValues(h.t, 1, n, "the lane is in the due index")
}

// giveOutAgain lets the stream give out what was given to the killed worker without
// waiting for its time to pass.
func (h *holding) giveOutAgain() {
	cfg := h.consumer().Config
	cfg.AckWait = 5 * time.Second
	_, err := h.js.UpdateConsumer(h.t.Context(), natsq.StreamOperations, cfg)
	require.NoError(h.t, err)
}
