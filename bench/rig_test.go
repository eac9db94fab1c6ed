package bench

import (
	"context"
	"fmt"
	"log/slog"
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
	"golang.org/x/sync/errgroup"

	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// many is how many operations wait where a promise says 100,000.
func many() int {
	if testing.Short() {
		return 5_000
	}
	return 100_000
}

// provider answers after a fixed time and tells when the first call of an operation
// begins that somebody waits for.
type provider struct {
	latency time.Duration
	limits  tsp.Limits
	calls   atomic.Int64
	awaited sync.Map // operation id -> chan time.Time
}

func (p *provider) Describe() tsp.Description {
	return tsp.Description{Name: "fake", Limits: p.limits}
}

func (p *provider) UpdateUser(ctx context.Context, _ tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	if ch, ok := p.awaited.LoadAndDelete(u.OperationID); ok {
		ch.(chan time.Time) <- time.Now()
	}
	p.calls.Add(1)
	select {
	case <-time.After(p.latency):
		return tsp.Result{StatusCode: 200}, nil
	case <-ctx.Done():
		return tsp.Result{}, &operation.Failure{Type: operation.ErrorNetwork, Retryable: true, Detail: "broken off"}
	}
}

// connections is a directory in which every connection is one to the fake provider.
type connections struct{}

func (connections) User(_, _ uuid.UUID) (directory.User, directory.Connection, bool) {
	return directory.User{}, directory.Connection{}, false
}

func (connections) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	return directory.Connection{ID: id, Provider: "fake", Status: directory.ConnectionActive}, true
}

func (connections) Credentials(context.Context, uuid.UUID, tsp.Credentials, tsp.Refresher) (tsp.Credentials, error) {
	return tsp.Credentials{}, nil
}

func (connections) Learn(context.Context, uuid.UUID, []tsp.ListedUser) (directory.Count, error) {
	return directory.Count{}, nil
}

// rig is api and worker in this process, on servers of their own.
type rig struct {
	b        *testing.B
	provider *provider
	rdb      *redis.Client
	store    *redisstore.Store
	js       jetstream.JetStream
	pub      *natsq.Publisher
	parts    work.Parts
	acker    *work.Acker
	accepter *work.Accepter
	partner  uuid.UUID
}

func newRig(b *testing.B, p *provider) *rig {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	opt, err := redis.ParseURL(testenv.RedisAOF(b, "").URL())
	require.NoError(b, err)
	opt.PoolSize = 64
	nc, err := natsq.Connect(testenv.StartNATS(b).URL(), "bench", log)
	require.NoError(b, err)
	r := &rig{b: b, provider: p, rdb: redis.NewClient(opt), partner: uuid.Must(uuid.NewV7())}
	b.Cleanup(func() { nc.Close(); _ = r.rdb.Close() })
	require.Eventually(b, nc.IsConnected, 10*time.Second, time.Millisecond)
	r.streams(nc)
	r.store = redisstore.New(r.rdb, redisstore.Config{})
	r.pub = natsq.NewPublisher(nc, r.js)
	registry, err := tsp.NewRegistry(p)
	require.NoError(b, err)
	r.parts = work.Parts{Store: r.store, Publisher: r.pub, Directory: connections{}, Providers: registry, Log: log}
	r.acker = work.NewAcker(r.store, log)
	r.accepter = work.NewAccepter(r.parts, work.Config{}, r.acker)
	r.background(r.acker.Run)
	shards := make([]int, operation.Shards)
	for i := range shards {
		shards[i] = i
	}
	require.NoError(b, r.store.Begin(b.Context(), shards))
	return r
}

func (r *rig) streams(nc *nats.Conn) {
	var err error
	r.js, err = jetstream.New(nc)
	require.NoError(r.b, err)
	require.NoError(r.b, natsq.Ensure(r.b.Context(), r.js, natsq.Config{OperationsMaxBytes: 1 << 30, EventsMaxBytes: 1 << 30}))
}

// background runs f until the benchmark ends.
func (r *rig) background(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.b.Context()))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	r.b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.b.Errorf("background: %v", err)
		}
	})
}

func (r *rig) worker(slots int) {
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{}, r.parts.Log)
	w := work.NewWorker(r.parts, work.Config{Concurrency: slots, Grace: 2 * time.Second}, r.acker, restorer)
	wakes := natsq.NewWakes(r.js, r.pub, w.Free, w.DeadLetter, r.parts.Log)
	r.background(func(ctx context.Context) error { return w.Run(ctx, wakes) })
}

func change(partner, connection uuid.UUID, provider string) operation.Accepted {
	user := uuid.Must(uuid.NewV7())
	return operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: partner, ConnectionID: connection,
		Provider: provider, Resource: operation.ResourceUser, ResourceID: user, SourceID: user.String(),
		Type: operation.Update, Changes: operation.Changes{
			operation.FieldFirstName: operation.Text("Dana"), operation.FieldNotes: operation.Text("moved to the northern depot"),
		},
	}
}

func lanes(n int) []uuid.UUID {
	out := make([]uuid.UUID, n)
	for i := range out {
		out[i] = uuid.Must(uuid.NewV7())
	}
	return out
}

// fill accepts n operations over the connections, many at a time, each of another
// user, and gives the rate.
func fill(b *testing.B, a *work.Accepter, l tsp.Limits, n int, next func(i int) operation.Accepted) float64 {
	b.Helper()
	began := time.Now()
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(64)
	for i := range n {
		g.Go(func() error {
			_, err := a.Accept(ctx, next(i), l)
			return err
		})
	}
	require.NoError(b, g.Wait())
	return float64(n) / time.Since(began).Seconds()
}

func (r *rig) fill(n int, over []uuid.UUID) float64 {
	return fill(r.b, r.accepter, r.provider.limits.WithDefaults(), n, func(i int) operation.Accepted {
		return change(r.partner, over[i%len(over)], "fake")
	})
}

// probe accepts operations of a quiet connection, one after the other, and gives the
// times from accept to first attempt.
func (r *rig) probe(n int) delays {
	r.b.Helper()
	quiet := uuid.Must(uuid.NewV7())
	out := make(delays, 0, n)
	for range n {
		a := change(r.partner, quiet, "fake")
		called := make(chan time.Time, 1)
		r.provider.awaited.Store(a.ID, called)
		began := time.Now()
		_, err := r.accepter.Accept(r.b.Context(), a, r.provider.limits.WithDefaults())
		require.NoError(r.b, err)
		select {
		case at := <-called:
			out = append(out, at.Sub(began))
		case <-time.After(time.Minute):
			r.b.Fatal("the quiet operation was not called within a minute")
		}
		time.Sleep(probeEvery) // a pace, not a wait
	}
	slices.Sort(out)
	return out
}

const probeEvery = 20 * time.Millisecond

// delays are sorted.
type delays []time.Duration

func (d delays) at(q float64) time.Duration { return d[min(len(d)-1, int(q*float64(len(d))))] }

func (d delays) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, max %.1f ms", ms(d.at(0.5)), ms(d.at(0.99)), ms(d[len(d)-1]))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// bound is P4's: twice the idle value and a second.
func bound(idle delays) time.Duration { return 2*idle.at(0.99) + time.Second }

func (r *rig) depth() redisstore.Depth { return depthOf(r.b, r.store) }

// depthOf reads every lane.
func depthOf(b *testing.B, s *redisstore.Store) redisstore.Depth {
	b.Helper()
	shards, err := s.Shards(b.Context(), 1000)
	require.NoError(b, err)
	return redisstore.DepthOf(shards)
}
