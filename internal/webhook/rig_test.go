package webhook_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/egress"
	"writeback/internal/natsq"
	"writeback/internal/seal"
	"writeback/internal/testenv"
	"writeback/internal/webhook"
	"writeback/internal/webhook/journal"
	"writeback/internal/webhook/registry"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	receive "writeback/pkg/webhook"
)

const (
	soon   = 30 * time.Second
	often  = 5 * time.Millisecond
	secret = "a-secret-of-the-partner"
)

// got is one request as an endpoint received it, its signature checked.
type got struct {
	receive.Event
	header http.Header
	body   []byte
}

// endpoint is a partner's endpoint. It answers as it is told and remembers every
// request.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	all    []got
	answer func(n int, w http.ResponseWriter)
}

func newEndpoint(t *testing.T, answer func(n int, w http.ResponseWriter)) *endpoint {
	t.Helper()
	e := &endpoint{answer: answer}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := receive.ReadBody(r, 1<<20)
		if err != nil {
			t.Errorf("body: %v", err)
		}
		event, err := receive.Verify([]string{secret}, r.Header, body, time.Now())
		if err != nil {
			t.Errorf("verify: %v", err)
		}
		e.mu.Lock()
		e.all = append(e.all, got{event, r.Header.Clone(), body})
		n, answer := len(e.all), e.answer
		e.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		answer(n, w)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) answers(f func(n int, w http.ResponseWriter)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = f
}

func (e *endpoint) received() []got {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// after waits for at least n requests.
func (e *endpoint) after(t *testing.T, n int) []got {
	t.Helper()
	require.Eventually(t, func() bool { return len(e.received()) >= n }, soon, often, "fewer than %d requests", n)
	return e.received()
}

func status(code int) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) { w.WriteHeader(code) }
}

// rig is webhooks on a real NATS and a real Redis.
type rig struct {
	t          *testing.T
	nats, rdb  string
	operations *redisstore.Store
	redis      *redis.Client
	js         jetstream.JetStream
	pub        *natsq.Publisher
	partner    uuid.UUID
	connection uuid.UUID
	fleet      uuid.UUID
	keyset     []byte
	// newConnection: the processes have not heard of the connection.
	newConnection atomic.Bool
	// made is the clock of those who create subscriptions.
	made func() time.Time
	// call replaces the bound of an attempt, and so the life of a lease.
	call time.Duration
	// slots of each worker.
	slots int
	// bound of what may wait for one endpoint. Zero: the store's.
	bound int
	// front is the process that the test itself acts in, as an api would.
	front *process
}

func newRig(t *testing.T) *rig {
	t.Helper()
	keyset, err := seal.Generate()
	require.NoError(t, err)
	r := &rig{
		t: t, nats: testenv.NATS(t), rdb: testenv.Redis(t), partner: uuid.Must(uuid.NewV7()), connection: uuid.Must(uuid.NewV7()),
		fleet: uuid.Must(uuid.NewV7()), keyset: keyset, call: webhook.Call, slots: 16,
		// Long ago for the breaker, which leaves what is new alone.
		made: func() time.Time { return time.Now().Add(-30 * time.Minute) },
	}
	opt, err := redis.ParseURL(r.rdb)
	require.NoError(t, err)
	r.redis = redis.NewClient(opt)
	t.Cleanup(func() { _ = r.redis.Close() })
	nc, err := nats.Connect(r.nats, testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	r.js, err = jetstream.New(nc)
	require.NoError(t, err)
	require.NoError(t, natsq.Ensure(t.Context(), r.js, natsq.Config{OperationsMaxBytes: 64 << 20, EventsMaxBytes: 64 << 20}))
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), r.js, natsq.WebhookConfig{MaxBytes: 256 << 20}))
	r.pub = natsq.NewPublisher(nc, r.js)
	r.operations = redisstore.New(r.redis, redisstore.Config{})
	require.NoError(t, r.operations.Begin(t.Context(), shards()))
	r.front = r.process()
	return r
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func shards() []int {
	all := make([]int, operation.Shards)
	for i := range all {
		all[i] = i
	}
	return all
}

// process is what one process has of the webhooks.
type process struct {
	*registry.Registry
	records *webhook.Records
	journal *journal.Journal
	queue   *redisstore.Store
	acker   *work.Acker
	fanout  *webhook.Fanout
	attempt *webhook.Attempter
	worker  *work.Worker
	keeper  *webhook.Keeper
	stop    func()
}

// process joins the parts as the programs do, and follows the subscriptions.
func (r *rig) process() *process {
	t, log := r.t, slog.New(slog.DiscardHandler)
	sealer, err := seal.New(r.keyset)
	require.NoError(t, err)
	guard := egress.New(egress.Config{Open: true})
	client := guard.Client(webhook.SendTimeout)
	p := &process{journal: journal.New(r.redis, nil)}
	p.Registry, err = registry.Open(t.Context(), r.js, sealer, guard.CheckURL, registry.Config{Now: r.made})
	require.NoError(t, err)
	p.queue = redisstore.New(r.redis, redisstore.Config{
		Prefix: "wh", Unlisted: true, RecordTTL: time.Hour, StartWindow: 500 * time.Millisecond, Margin: 100 * time.Millisecond,
		LaneBound: r.bound, BreakerThreshold: webhook.SilentSends, BreakerOpen: webhook.SilentPause,
	})
	p.acker = work.NewAcker(p.queue, log)
	ends := webhook.Ends{Publisher: natsq.NewDeliveries(r.pub), Dead: p.journal}
	p.fanout = &webhook.Fanout{
		Subscriptions: p.Registry, Queue: p.queue, Publisher: ends, Note: p.acker.Note, Dead: p.journal, Log: log,
		Fleet: func(uuid.UUID) (uuid.UUID, string, bool) {
			return r.fleet, "now", !r.newConnection.Load()
		},
	}
	p.records = &webhook.Records{Owned: p.Registry, Journal: p.journal, Fanout: p.fanout}
	p.attempt = &webhook.Attempter{
		Endpoints: p.Registry, Operations: r.operations, Queue: p.queue, Diary: p.journal, Client: client, Log: log,
	}
	restorer := work.NewRestorer(p.queue, natsq.NewDeliveryHistory(r.js, slog.New(slog.DiscardHandler)), work.RestoreConfig{
		Settle: 50 * time.Millisecond, LongestCalls: func() (none [operation.Shards]time.Duration) { return none },
	}, log)
	p.worker = work.NewLaneWorker(work.Parts{Store: p.queue, Publisher: ends, Log: log},
		work.Config{Concurrency: r.slots, Poll: 10 * time.Millisecond, Grace: 5 * time.Second}, p.acker, restorer,
		work.Lanes{Queue: "webhooks", Attempt: p.attempt, Limits: func(id uuid.UUID) redisstore.Limits {
			l := p.fanout.Limits(id)
			l.Call = r.call
			return l
		}})
	p.keeper = webhook.NewKeeper(p.Registry, p.queue, p.fanout, log)
	p.stop = r.run(p.acker.Run, func(ctx context.Context) error { return p.Run(ctx, p.keeper.Changed) })
	t.Cleanup(func() { p.stop(); client.CloseIdleConnections() })
	return p
}

// run runs functions until the returned stop is called; again is nothing.
func (r *rig) run(all ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for _, f := range all {
		done.Go(func() {
			if err := f(ctx); err != nil {
				r.t.Errorf("background: %v", err)
			}
		})
	}
	return func() { cancel(); done.Wait() }
}

type feed struct {
	*natsq.Feed
	fanout *webhook.Fanout
}

func (f feed) Run(ctx context.Context, _ natsq.Pass) error {
	return f.Feed.Run(ctx, f.fanout.Created, f.fanout.Ended)
}

// work starts a worker and gives its stop.
func (r *rig) work() (p *process, stop func()) {
	p = r.process()
	p.fanout.Look = p.worker.Look
	source := feed{natsq.NewFeed(r.js, slog.New(slog.DiscardHandler)), p.fanout}
	stop = r.run(p.keeper.Run, func(ctx context.Context) error { return p.worker.Run(ctx, source) })
	r.t.Cleanup(stop)
	// Before its shards have begun nothing can be put into the queue.
	require.Eventually(r.t, func() bool {
		missing, err := p.queue.Missing(r.t.Context())
		return err == nil && len(missing) == 0
	}, soon, often)
	return p, stop
}

func (r *rig) subscribe(n webhook.New) webhook.Subscription {
	r.t.Helper()
	if n.Secret == "" {
		n.Secret = secret
	}
	made, err := r.front.Create(r.t.Context(), r.partner, n)
	require.NoError(r.t, err)
	return made[0].Subscription
}

// operation accepts an operation, tells of it, ends it and tells of that.
func (r *rig) operation(succeeds bool, edit ...func(*operation.Accepted)) operation.Operation {
	r.t.Helper()
	a := operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, ConnectionID: r.connection, FleetRef: "then",
		Provider: "samsara", Resource: operation.ResourceUser, ResourceID: uuid.New(), SourceID: "77", Type: operation.Update,
		Changes: operation.Changes{operation.FieldNotes: operation.Text("a < b")},
	}
	for _, e := range edit {
		e(&a)
	}
	limits := redisstore.Limits{InFlight: 100, Call: 10 * time.Second, Life: time.Hour}
	receipt, err := r.operations.Accept(r.t.Context(), a, limits)
	require.NoError(r.t, err)
	require.NoError(r.t, r.pub.Accepted(r.t.Context(), operation.Message{Accepted: a, Place: receipt.Place}, true))
	out, err := r.operations.Next(r.t.Context(), a.ConnectionID, limits, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(r.t, err)
	require.Len(r.t, out.Leases, 1)
	row := operation.Attempt{
		ID: out.Leases[0].AttemptID, OperationID: a.ID, StartedAt: time.Now().UTC(), EndedAt: time.Now().UTC(),
		Status: operation.AttemptSucceeded, StatusCode: 200, Header: map[string]string{"X-Request-Id": "1"},
	}
	decision := operation.Decision{Verdict: operation.Succeed}
	if !succeeds {
		decision.Verdict = operation.Fail
		row.Status, row.StatusCode, row.ErrorType, row.Detail = operation.AttemptFailed, 422, operation.ErrorValidation, "no"
	}
	rec, err := r.operations.Record(r.t.Context(), redisstore.Outcome{
		Connection: a.ConnectionID, Attempt: row, Decision: decision, Reach: redisstore.Answered,
	})
	require.NoError(r.t, err)
	op := rec.Operation
	kind := operation.FinalKind(op.Status)
	require.NoError(r.t, r.pub.Event(r.t.Context(), operation.Event{
		Version: operation.Version, ID: operation.EventID(op.ID, kind), Kind: kind, Operation: op,
	}))
	return op
}

// queued counts the deliveries of a subscription that have not ended.
func (r *rig) queued(p *process, s webhook.Subscription) int {
	lane, err := p.queue.Lane(r.t.Context(), s.ID)
	if err != nil {
		return 0
	}
	return lane.Outstanding
}
