package webhook_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/seal"
	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func TestTrip_TellsWhatHappened(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	other := newEndpoint(t, nil)
	r.subscribe(webhook.New{URL: e.URL + "/hook", EventName: "resource_operation.*"})
	r.subscribe(webhook.New{URL: other.URL, EventName: webhook.EventSucceeded, Filters: webhook.Filters{FleetIDs: []uuid.UUID{uuid.New()}}})
	r.subscribe(webhook.New{URL: other.URL, EventName: webhook.EventSucceeded, Filters: webhook.Filters{FleetRefs: []string{"then"}}})
	r.work()
	done := r.operation(true)
	failed := r.operation(false)
	r.operation(true, func(a *operation.Accepted) { a.PartnerID = uuid.New() })

	byName := map[string][]got{}
	for _, g := range e.after(t, 4) {
		byName[g.EventName] = append(byName[g.EventName], g)
		require.Equal(t, 1, g.DeliveryAttempt)
		require.Equal(t, "1.0", g.Version)
		require.Len(t, g.Data, 1)
		wh, err := standard.NewWebhookRaw([]byte(secret))
		require.NoError(t, err)
		require.NoError(t, wh.Verify(g.body, g.header), "the library of Standard Webhooks verifies it")
	}
	require.Len(t, byName[webhook.EventCreated], 2)
	require.Len(t, byName[webhook.EventSucceeded], 1)
	require.Len(t, byName[webhook.EventFailed], 1)
	g := byName[webhook.EventSucceeded][0]
	require.Equal(t, operation.EventID(done.ID, operation.EventSucceeded).String(), g.ID)
	require.Equal(t, wire.Stamp(done.UpdatedAt), g.Timestamp)
	want, err := json.Marshal(wire.ReadView(done))
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(g.Data[0]))
	require.Contains(t, string(g.body), "a < b", "no escapes meant for HTML pages")
	require.Equal(t, operation.EventID(failed.ID, operation.EventFailed).String(), byName[webhook.EventFailed][0].ID)
	for _, g := range byName[webhook.EventCreated] {
		var view wire.ResourceOperationRead
		require.NoError(t, json.Unmarshal(g.Data[0], &view))
		require.Equal(t, operation.Pending, view.Status)
		require.Empty(t, view.Logs)
		require.Equal(t, view.CreatedAt, g.Timestamp)
	}
	require.Len(t, other.after(t, 1), 1, "one filter matches, the other does not")
	require.Len(t, e.received(), 4, "nothing of another partner, nothing twice")
}

func TestTrip_SyncAndRepeatedEventsMakeNoNoise(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	op := r.operation(true)
	e.after(t, 1)
	event := operation.Event{Version: operation.Version, ID: uuid.New(), Kind: operation.EventSucceeded, Operation: op}
	require.NoError(t, p.fanout.Ended(t.Context(), event), "told again")
	event.Operation.Sync, event.Operation.ID = true, uuid.Must(uuid.NewV7())
	require.NoError(t, p.fanout.Ended(t.Context(), event))
	require.NoError(t, p.fanout.Created(t.Context(), operation.Message{Accepted: event.Operation.Accepted, Place: op.Place}))
	r.operation(true)
	e.after(t, 2)
	require.Eventually(t, func() bool { return r.queued(p, s) == 0 }, soon, often)
	require.Len(t, e.received(), 2)
}

func TestTrip_FourSendsThenDeadThenReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, status(http.StatusServiceUnavailable))
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	r.work()
	r.operation(true)
	requests := map[string]bool{}
	for i, g := range e.after(t, 4) {
		require.Equal(t, i+1, g.DeliveryAttempt)
		require.Equal(t, strconv.Itoa(i+1), g.header.Get("X-Delivery-Attempt"))
		require.Equal(t, e.received()[0].ID, g.ID)
		requests[g.header.Get("X-Request-ID")] = true
	}
	require.Len(t, requests, 4)
	metrics := func() webhook.Metrics {
		m, err := r.front.records.Metrics(t.Context(), r.partner, s.ID)
		require.NoError(t, err)
		return m
	}
	require.Eventually(t, func() bool { return metrics().DeadLetters == 1 }, soon, often)
	w := metrics().Hours6
	require.Equal(t, []int{4, 0, 1, 0}, []int{w.Attempts, w.Successes, w.Messages, w.Delivered})
	rows, more, err := r.front.records.Logs(t.Context(), r.partner, webhook.LogQuery{Webhook: s.ID, Limit: 10})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, rows, 4)
	require.Equal(t, webhook.LogFailed, rows[0].Status)
	require.Equal(t, 503, rows[0].StatusCode)
	require.Equal(t, e.received()[0].ID, rows[0].Reference.Message.String())

	_, err = r.front.records.Replay(t.Context(), uuid.New(), s.ID, webhook.ReplayQuery{})
	require.ErrorContains(t, err, "not_found")
	n, err := r.front.records.Replay(t.Context(), r.partner, s.ID, webhook.ReplayQuery{Messages: []uuid.UUID{uuid.New()}})
	require.NoError(t, err)
	require.Zero(t, n)
	e.answers(nil)
	n, err = r.front.records.Replay(t.Context(), r.partner, s.ID, webhook.ReplayQuery{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	all := e.after(t, 5)
	require.Equal(t, all[0].ID, all[4].ID)
	require.Equal(t, 1, all[4].DeliveryAttempt)
	require.Eventually(t, func() bool { return metrics().Hours6.Delivered == 1 }, soon, often)
	require.Zero(t, metrics().DeadLetters)
	rows, _, err = r.front.records.Logs(t.Context(), r.partner, webhook.LogQuery{Webhook: s.ID, Limit: 10})
	require.NoError(t, err)
	for _, status := range []webhook.LogStatus{webhook.LogFailed, webhook.LogSuccess} {
		n, err = r.front.records.Replay(t.Context(), r.partner, s.ID, webhook.ReplayQuery{Status: status, To: rows[0].CreatedAt})
		require.NoError(t, err)
		require.Zero(t, n, "it failed in the window, and has arrived since")
	}
	n, err = r.front.records.Replay(t.Context(), r.partner, s.ID, webhook.ReplayQuery{Status: webhook.LogSuccess})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	e.after(t, 6)
}

func TestTrip_RefusedIsFailedAndNotDead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, func(_ int, w http.ResponseWriter) {
		http.Redirect(w, &http.Request{}, "http://127.0.0.1:1/", http.StatusFound)
	})
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	r.work()
	r.operation(true)
	require.Eventually(t, func() bool {
		m, err := r.front.records.Metrics(t.Context(), r.partner, s.ID)
		return err == nil && m.Hours6.Messages == 1 && m.Hours6.Delivered == 0 && m.DeadLetters == 0
	}, soon, often)
	require.Len(t, e.received(), 1)
	e.answers(nil)
	n, err := r.front.records.Replay(t.Context(), r.partner, s.ID, webhook.ReplayQuery{Status: webhook.LogFailed})
	require.NoError(t, err)
	require.Equal(t, 1, n, "it can be replayed all the same, by its status")
	e.after(t, 2)
}

// TestTrip_RetryAfterIsOfTheEndpoint: what one asked for does not hold back the next.
func TestTrip_RetryAfterIsOfTheEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.made = time.Now
	r.front = r.process()
	away := newEndpoint(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	next := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: away.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	r.operation(true)
	require.Eventually(t, func() bool {
		lane, err := p.queue.Lane(t.Context(), s.ID)
		return err == nil && !lane.Blocked.IsZero()
	}, soon, often)
	r.operation(true)
	require.Eventually(t, func() bool { return r.queued(p, s) == 2 }, soon, often)
	require.Len(t, away.received(), 1)
	_, err := r.front.Update(t.Context(), r.partner, s.ID, webhook.Change{URL: &next.URL})
	require.NoError(t, err)
	next.after(t, 2)
	require.Len(t, away.received(), 1)
}

func TestTrip_TenInARowMakeItStale(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e, told := newEndpoint(t, status(http.StatusBadRequest)), newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL + "/secret-path", EventName: webhook.EventSucceeded})
	r.subscribe(webhook.New{URL: told.URL, EventName: webhook.EventStaled})
	p, stop := r.work()
	for range 10 {
		r.operation(true)
	}
	g := told.after(t, 1)[0]
	require.Equal(t, webhook.EventStaled, g.EventName)
	var data map[string]any
	require.NoError(t, json.Unmarshal(g.Data[0], &data))
	require.Equal(t, s.ID.String(), data["id"])
	require.Equal(t, "stale", data["status"])
	require.Equal(t, "*****", data["secret"])
	require.NotContains(t, string(g.body), "secret-path")
	require.Len(t, e.received(), 10)

	e.answers(nil)
	for range 5 {
		r.operation(true)
	}
	require.Eventually(t, func() bool { return r.queued(p, s) == 5 }, soon, often)
	stop() // and a new worker does not make it active either
	p2, _ := r.work()
	got, err := r.front.Get(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Stale, got.Status)
	require.Equal(t, 5, r.queued(p2, s))
	require.Len(t, e.received(), 10)
	require.Len(t, told.received(), 1)
	_, err = r.front.Activate(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	e.after(t, 15)
	require.Eventually(t, func() bool { return r.queued(p2, s) == 0 }, soon, often)
}

// TestFanout_StaledBeforeTheSubscription: who asks to be told of endpoints that are given up
// is not told of one that was given up before.
func TestFanout_StaledBeforeTheSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	told := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventStaled})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	given := webhook.Subscription{ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, StaledAt: told.CreatedAt.Add(-time.Hour)}
	require.NoError(t, r.front.fanout.Staled(t.Context(), given))
	require.Zero(t, r.queued(r.front, told))
	given.StaledAt = told.CreatedAt.Add(time.Second)
	require.NoError(t, r.front.fanout.Staled(t.Context(), given))
	require.Equal(t, 1, r.queued(r.front, told))
}

func TestTrip_NewEndpointsAreLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, status(http.StatusBadRequest))
	r.made = time.Now
	r.front = r.process()
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	for range 12 {
		r.operation(true)
	}
	e.after(t, 12)
	require.Eventually(t, func() bool { return r.queued(p, s) == 0 }, soon, often)
	got, err := r.front.Get(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, got.Status)
	e.answers(status(http.StatusGone))
	r.operation(true)
	require.Eventually(t, func() bool {
		got, err := r.front.Get(t.Context(), r.partner, s.ID)
		return err == nil && got.Status == webhook.Stale
	}, soon, often, "410 is no failure to be judged but a wish")
	require.Len(t, e.received(), 13)
}

func TestTrip_DeletedGetsNothingMore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	_, err := r.front.Pause(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		lane, err := p.queue.Lane(t.Context(), s.ID)
		return err == nil && lane.Paused || err != nil
	}, soon, often)
	for range 20 {
		r.operation(true)
	}
	require.Eventually(t, func() bool { return r.queued(p, s) == 20 }, soon, often)
	require.NoError(t, r.front.Delete(t.Context(), r.partner, s.ID))
	require.Eventually(t, func() bool { return r.queued(p, s) == 0 }, soon, often)
	require.Empty(t, e.received())
}

// TestTrip_LostSendIsRepeated makes a send whose worker dies before it can record it.
func TestTrip_LostSendIsRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.call = 500 * time.Millisecond
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	op := r.operation(true)
	event := operation.Event{Version: operation.Version, ID: uuid.New(), Kind: operation.EventSucceeded, Operation: op}
	require.NoError(t, r.front.fanout.Ended(t.Context(), event))
	limits := r.front.fanout.Limits(s.ID)
	limits.Call = r.call
	out, err := r.front.queue.Next(t.Context(), s.ID, limits, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(t, err)
	require.Len(t, out.Leases, 1)
	require.Equal(t, operation.Succeed, r.front.attempt.Attempt(t.Context(), out.Leases[0]).Decision.Verdict)
	e.after(t, 1)

	r.work()
	all := e.after(t, 2)
	require.Equal(t, all[0].ID, all[1].ID)
	require.Equal(t, 2, all[1].DeliveryAttempt)
	require.Eventually(t, func() bool { return r.queued(r.front, s) == 0 }, soon, often)
	require.Len(t, e.received(), 2)
}

// TestTrip_DeadEndpointSlowsNoOther counts and does not measure: an endpoint that
// never answers holds its share of the slots, and another gets all of its events.
func TestTrip_DeadEndpointSlowsNoOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	held := make(chan struct{})
	var calls atomic.Int64
	dead := newEndpoint(t, func(int, http.ResponseWriter) { calls.Add(1); <-held })
	live := newEndpoint(t, nil)
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	hung := r.subscribe(webhook.New{URL: dead.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	for range 100 {
		r.operation(true)
	}
	dead.after(t, webhook.DefaultInFlight)
	r.subscribe(webhook.New{URL: live.URL, EventName: webhook.EventFailed})
	require.Eventually(t, func() bool { return len(p.Matching(r.partner, webhook.EventFailed)) == 1 }, soon, often)
	for range 50 {
		r.operation(false)
	}
	live.after(t, 50)
	lane, err := p.queue.Lane(t.Context(), hung.ID)
	require.NoError(t, err)
	require.LessOrEqual(t, lane.InFlight, webhook.DefaultInFlight)
	require.Greater(t, lane.Outstanding, 50)
	release()
}

// TestTrip_WaitingCostsNothing has many deliveries wait for an endpoint that was
// given up.
func TestTrip_WaitingCostsNothing(t *testing.T) {
	t.Parallel()
	n := 10_000
	if testing.Short() {
		n = 2_000
	}
	r := newRig(t)
	s := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventSucceeded})
	p, _ := r.work()
	_, err := r.front.Stale(t.Context(), s, "for the test")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		lane, err := p.queue.Lane(t.Context(), s.ID)
		return err == nil && lane.Paused || err != nil
	}, soon, often)
	op := r.operation(true)
	before := used()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for range n/16 + w/15*(n%16) {
				e := operation.Event{Version: operation.Version, Kind: operation.EventSucceeded, Operation: op}
				e.Operation.ID = uuid.Must(uuid.NewV7())
				if err := p.fanout.Ended(t.Context(), e); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return r.queued(p, s) >= n }, soon, often)
	require.Equal(t, 16, p.worker.Free(), "no slot is held")
	for stream, name := range map[string]string{natsq.StreamEvents: natsq.ConsumerEnded, natsq.StreamOperations: natsq.ConsumerCreated} {
		c, err := r.js.Consumer(t.Context(), stream, name)
		require.NoError(t, err)
		require.Eventually(t, func() bool { info, err := c.Info(t.Context()); return err == nil && info.NumAckPending == 0 }, soon, often)
	}
	after := used()
	require.Less(t, after.bytes, before.bytes+24<<20, "memory grew with what waits")
	// Other tests run beside this one, so only a goroutine for each would show.
	require.Less(t, after.goroutines, before.goroutines+n/4)
}

type use struct {
	bytes      uint64
	goroutines int
}

func used() use {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return use{m.HeapAlloc, runtime.NumGoroutine()}
}

// deliveries counts what a stream holds; some may share a message.
func deliveries(t *testing.T, stream jetstream.Stream) (n int) {
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		all, err := natsq.DecodeMessages(m.Data)
		require.NoError(t, err)
		n += len(all)
	}
	return n
}

// TestTrip_WipedQueueComesBack loses all of Redis while deliveries wait.
func TestTrip_WipedQueueComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, stop := r.work()
	first := r.operation(true)
	e.after(t, 1)
	require.Eventually(t, func() bool { return r.queued(p, s) == 0 }, soon, often)
	_, err := r.front.Pause(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool { lane, err := p.queue.Lane(t.Context(), s.ID); return err == nil && lane.Paused }, soon, often)
	for range 7 {
		r.operation(true)
	}
	stream, err := r.js.Stream(t.Context(), natsq.StreamDeliveries)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return deliveries(t, stream) >= 8 && r.queued(p, s) == 7 }, soon, often)
	ended, err := r.js.Stream(t.Context(), natsq.StreamDeliveryEvents)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := ended.Info(t.Context())
		return err == nil && info.State.Msgs >= 1
	}, soon, often)
	stop()

	require.NoError(t, r.redis.FlushAll(t.Context()).Err())
	operations := work.NewRestorer(r.operations, natsq.NewHistory(r.js), work.RestoreConfig{
		Settle: 50 * time.Millisecond, LongestCalls: func() (none [operation.Shards]time.Duration) { return none },
	}, discard())
	require.NoError(t, operations.Restore(t.Context(), shards()))
	p2, _ := r.work()
	require.Eventually(t, func() bool { return r.queued(p2, s) == 7 }, soon, often)
	_, err = r.front.Activate(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	all := e.after(t, 8)
	ids := map[string]bool{}
	for _, g := range all {
		ids[g.ID] = true
	}
	require.Len(t, ids, 8)
	require.True(t, ids[operation.EventID(first.ID, operation.EventSucceeded).String()])
	require.Eventually(t, func() bool { return r.queued(p2, s) == 0 }, soon, often)
	require.Len(t, e.received(), 8, "what had arrived is not sent again")
}

func TestTrip_RotationSignsWithBoth(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.made = time.Now
	r.front = r.process()
	e := newEndpoint(t, nil) // verifies with the old secret alone
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	fresh := "the-new-secret-of-the-partner"
	changed, err := r.front.Update(t.Context(), r.partner, s.ID, webhook.Change{Secret: &fresh})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, ok, err := p.Find(t.Context(), s.ID)
		return err == nil && ok && got.Revision == changed.Revision
	}, soon, often)
	r.operation(true)
	g := e.after(t, 1)[0]
	for _, key := range []string{fresh, secret} {
		wh, err := standard.NewWebhookRaw([]byte(key))
		require.NoError(t, err)
		require.NoError(t, wh.Verify(g.body, g.header))
	}
}

// TestAttempt_HoldsALaneThatShouldBe has a lane that a loss of Redis made forget that
// it is held: no send, no attempt, and it is held again.
func TestAttempt_HoldsALaneThatShouldBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	_, err := r.front.Pause(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	op := r.operation(true)
	event := operation.Event{Version: operation.Version, Kind: operation.EventSucceeded, Operation: op}
	require.NoError(t, r.front.fanout.Ended(t.Context(), event))
	lease := func() []redisstore.Lease {
		out, err := r.front.queue.Next(t.Context(), s.ID, r.front.fanout.Limits(s.ID), []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
		require.NoError(t, err)
		return out.Leases
	}
	first := lease()
	require.Len(t, first, 1)
	require.Zero(t, r.front.attempt.Attempt(t.Context(), first[0]))
	require.NoError(t, r.front.queue.Release(t.Context(), first[0], 0))
	require.Empty(t, lease())
	got, err := r.front.queue.Get(t.Context(), s.ID, first[0].ID)
	require.NoError(t, err)
	require.Zero(t, got.Attempted)
	require.Empty(t, e.received())
}

// TestAttempt_LogsSeldomWhatGoesOn: a delivery that cannot be made comes back every second.
func TestAttempt_LogsSeldomWhatGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventSucceeded})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	op := r.operation(true)
	require.NoError(t, r.front.fanout.Ended(t.Context(), operation.Event{Version: operation.Version, Kind: operation.EventSucceeded, Operation: op}))
	var err error
	r.keyset, err = seal.Generate()
	require.NoError(t, err)
	locked := r.process() // its keyset does not open the secret
	var out bytes.Buffer
	locked.attempt.Log = slog.New(slog.NewTextHandler(&out, nil))
	for range 3 {
		got, err := locked.queue.Next(t.Context(), s.ID, locked.fanout.Limits(s.ID), []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
		require.NoError(t, err)
		require.Len(t, got.Leases, 1)
		require.Zero(t, locked.attempt.Attempt(t.Context(), got.Leases[0]))
		require.NoError(t, locked.queue.Release(t.Context(), got.Leases[0], 0))
	}
	require.Equal(t, 1, strings.Count(out.String(), "its secret cannot be opened"), out.String())
}
