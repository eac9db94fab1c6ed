package work_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// provider is a fake of the one kind that may be faked: it answers as it is told
// and remembers every call.
type provider struct {
	mu     sync.Mutex
	calls  []tsp.UserUpdate
	answer func(ctx context.Context, n int, u tsp.UserUpdate) error
	limits tsp.Limits
	// spent says with each success that the budget is used up for an hour.
	spent bool
}

func (p *provider) Describe() tsp.Description {
	return tsp.Description{Name: "fake", Limits: p.limits}
}

func (p *provider) UpdateUser(ctx context.Context, _ tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	p.mu.Lock()
	p.calls = append(p.calls, u)
	n := len(p.calls)
	p.mu.Unlock()
	if p.answer != nil {
		if err := p.answer(ctx, n, u); err != nil {
			return tsp.Result{}, err
		}
	}
	if p.spent {
		return tsp.Result{StatusCode: 200, RetryAfter: time.Hour}, nil
	}
	return tsp.Result{StatusCode: 200, Header: requestID}, nil
}

// requestID is a header of each success.
var requestID = map[string]string{"X-Request-Id": "r-1"}

func (p *provider) received() []tsp.UserUpdate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]tsp.UserUpdate{}, p.calls...)
}

// connections is a directory of active connections to the fake provider.
type connections struct{ limits directory.LimitsOverride }

// User knows nobody.
func (connections) User(_, _ uuid.UUID) (directory.User, directory.Connection, bool) {
	return directory.User{}, directory.Connection{}, false
}

func (c connections) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	return directory.Connection{ID: id, Provider: "fake", Status: directory.ConnectionActive, Limits: c.limits}, true
}

func (connections) Credentials(context.Context, uuid.UUID, tsp.Credentials, tsp.Refresher) (tsp.Credentials, error) {
	return tsp.Credentials{}, nil
}

func (connections) Learn(context.Context, uuid.UUID, []tsp.ListedUser) (directory.Count, error) {
	return directory.Count{}, nil
}

// rig is the trip on a real NATS and a real Redis.
type rig struct {
	t        *testing.T
	cfg      work.Config
	provider *provider
	parts    work.Parts
	store    *redisstore.Store
	rdb      *redis.Client
	nc       *nats.Conn
	js       jetstream.JetStream
	pub      *natsq.Publisher
	acker    *work.Acker
	accepter *work.Accepter
	conn     uuid.UUID
	partner  uuid.UUID
	waiters  sync.WaitGroup
	// last is the worker that was started last.
	last *work.Worker
}

func newRig(t *testing.T, natsURL, redisURL string, p *provider) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	opt, err := redis.ParseURL(redisURL)
	require.NoError(t, err)
	r := &rig{
		t: t, provider: p, rdb: redis.NewClient(opt), conn: uuid.Must(uuid.NewV7()), partner: uuid.Must(uuid.NewV7()),
		cfg: work.Config{
			Concurrency: 8, Poll: 10 * time.Millisecond, Grace: 5 * time.Second,
			Backoff: operation.Backoff{Base: 20 * time.Millisecond, Cap: 50 * time.Millisecond},
		},
	}
	r.nc, err = natsq.Connect(natsURL, "test", log)
	require.NoError(t, err)
	r.js, err = jetstream.New(r.nc, natsq.Publishing()...)
	require.NoError(t, err)
	require.NoError(t, natsq.Ensure(t.Context(), r.js, natsq.Config{OperationsMaxBytes: 64 << 20, EventsMaxBytes: 64 << 20}))
	r.store = redisstore.New(r.rdb, redisstore.Config{})
	r.pub = natsq.NewPublisher(r.nc, r.js)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	r.parts = work.Parts{Store: r.store, Publisher: r.pub, Directory: connections{}, Providers: registry, Log: log}
	r.acker = work.NewAcker(r.store, log)
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	t.Cleanup(func() {
		r.waiters.Wait()
		r.nc.Close()
		_ = r.rdb.Close()
	})
	r.background(r.acker.Run)
	shards := make([]int, operation.Shards)
	for i := range shards {
		shards[i] = i
	}
	require.NoError(t, r.store.Begin(t.Context(), shards))
	return r
}

// background runs f until the test ends or the returned stop is called.
func (r *rig) background(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.waiters.Go(func() {
		defer close(done)
		if err := f(ctx); err != nil {
			r.t.Errorf("background: %v", err)
		}
	})
	stop = func() { cancel(); <-done }
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) worker() (stop func()) {
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{
		Settle: 50 * time.Millisecond, LongestCalls: func() (none [operation.Shards]time.Duration) { return none },
	}, r.parts.Log)
	w := work.NewWorker(r.parts, r.cfg, r.acker, restorer)
	r.last = w
	wakes := natsq.NewWakes(r.js, r.pub, w.Free, w.DeadLetter, r.parts.Log)
	return r.background(func(ctx context.Context) error { return w.Run(ctx, wakes) })
}

func (r *rig) change(user uuid.UUID, text string) operation.Accepted {
	return operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, ConnectionID: r.conn,
		MaxAttempts: 1000, Provider: "fake", Resource: operation.ResourceUser, ResourceID: user, SourceID: user.String(),
		Type: operation.Update, Changes: operation.Changes{operation.FieldNotes: operation.Text(text)},
	}
}

func (r *rig) limits() tsp.Limits { return r.provider.Describe().Limits.WithDefaults() }

func (r *rig) accept(a operation.Accepted) operation.Operation {
	r.t.Helper()
	op, err := r.accepter.Accept(r.t.Context(), a, r.limits())
	require.NoError(r.t, err)
	require.Equal(r.t, operation.Pending, op.Status)
	return op
}

// ended waits until the operation is terminal.
func (r *rig) ended(id uuid.UUID) operation.Operation {
	r.t.Helper()
	var op operation.Operation
	require.Eventually(r.t, func() bool {
		var err error
		op, err = r.store.Get(r.t.Context(), r.conn, id)
		return err == nil && op.Status.Terminal()
	}, 20*time.Second, 5*time.Millisecond)
	return op
}

// events reads the whole event stream.
func (r *rig) events() []operation.Event {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), natsq.StreamEvents)
	require.NoError(r.t, err)
	info, err := s.Info(r.t.Context())
	require.NoError(r.t, err)
	var out []operation.Event
	for seq := info.State.FirstSeq; seq > 0 && seq <= info.State.LastSeq; seq++ {
		msg, err := s.GetMsg(r.t.Context(), seq)
		require.NoError(r.t, err)
		events, err := natsq.DecodeEvents(msg.Data)
		require.NoError(r.t, err)
		out = append(out, events...)
	}
	return out
}

func rigOn(t *testing.T, p *provider) *rig {
	t.Helper()
	return newRig(t, testenv.NATS(t), testenv.Redis(t), p)
}
