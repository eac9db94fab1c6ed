package webhooks_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/devissuer"
	"writeback/internal/history"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/test/e2e/stack"
)

const (
	endpoints = 50
	perPhase  = 60 // operations, so as many events to each endpoint
	pace      = 200 * time.Millisecond
)

// BenchmarkIsolation measures how long an event takes from the operation's end to an
// endpoint: first with fifty endpoints that answer, then with one of them hanging and
// one refusing connections. The other 48 must not take more than twice as long.
func BenchmarkIsolation(b *testing.B) {
	s := stack.Start(b, stack.Options{
		APIs: 1, Workers: 1, Registry: stack.Registry{Limits: limits, Users: users},
		Environ: []string{"WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_ROLES=operations,webhooks"},
	})
	p := &partner{t: b, stack: s, connections: connections()}
	var took timings
	var hang atomic.Bool
	release := make(chan struct{})
	servers := make([]*httptest.Server, endpoints)
	for i := range servers {
		servers[i] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if i == 0 && hang.Load() {
				<-release
				return
			}
			if i > 1 {
				took.add(b, r)
			}
		}))
		b.Cleanup(servers[i].Close)
		p.subscribeOne(servers[i].URL, "resource_operation.succeeded")
	}
	b.Cleanup(func() { close(release) }) // before the servers are closed
	p.succeed(10)
	took.await(b, 10*(endpoints-2))
	for range b.N {
		took.reset()
		p.succeed(perPhase)
		took.await(b, perPhase*(endpoints-2))
		idle := took.p99()

		hang.Store(true)
		servers[1].Close()
		p.succeed(10) // until both are in trouble
		took.await(b, (perPhase+10)*(endpoints-2))
		took.reset()
		p.succeed(perPhase)
		took.await(b, perPhase*(endpoints-2))
		beside := took.p99()
		ratio := float64(beside) / float64(idle)
		b.ReportMetric(float64(idle.Microseconds())/1000, "idle-p99-ms")
		b.ReportMetric(float64(beside.Microseconds())/1000, "beside-p99-ms")
		b.ReportMetric(ratio, "ratio")
		require.LessOrEqual(b, ratio, 2.0, "the healthy endpoints are slowed: %s idle, %s beside the bad ones", idle, beside)
	}
}

// timings are how long events took.
type timings struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *timings) add(b *testing.B, r *http.Request) {
	at := time.Now()
	var event struct {
		Data []struct {
			UpdatedAt time.Time `json:"updated_at"`
		} `json:"data"`
	}
	z, err := gzip.NewReader(r.Body)
	if err == nil {
		err = json.NewDecoder(z).Decode(&event)
	}
	if err != nil || len(event.Data) != 1 {
		b.Errorf("event: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, at.Sub(event.Data[0].UpdatedAt))
}

func (l *timings) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}

func (l *timings) await(b *testing.B, n int) {
	b.Helper()
	require.Eventually(b, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.all) >= n
	}, within, 5*time.Millisecond, "events are missing")
}

func (l *timings) p99() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.all, cmp.Compare)
	return l.all[len(l.all)*99/100]
}

func (p *partner) subscribeOne(url, event string) (id string) {
	p.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	status, err := p.ask(http.MethodPost, "/v2/notifications/webhooks", fmt.Sprintf(`{"url":%q,"event_name":%q}`, url, event), &made)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, status)
	return made.ID
}

// succeed writes n times, at an even pace.
func (p *partner) succeed(n int) {
	p.t.Helper()
	c := p.stack.Client()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := range n {
		conn := p.connections[i%len(p.connections)]
		r := c.Write(p.t.Context(), p.stack.APIs[0], history.Request{
			Marker: fmt.Sprintf("mk-bench-%d", rand.IntN(1e9)), Connection: conn.Connection, User: conn.Users[i%users].CatenaID,
		}, nil)
		require.Equal(p.t, http.StatusAccepted, r.Status)
		<-tick.C
	}
}

// BenchmarkQueue puts 100,000 deliveries into the queue of an endpoint that answers
// nothing. The worker's memory, after a collection, must stay within 1.2 times what it
// is with a hundredth of them: what a worker needs once is there by then.
func BenchmarkQueue(b *testing.B) {
	const n = 100_000
	s := stack.Start(b, stack.Options{
		APIs: 1, Workers: 1, Registry: stack.Registry{Users: 1},
		Environ: []string{"WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_ROLES=webhooks"},
	})
	release := make(chan struct{})
	dead := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	b.Cleanup(dead.Close)
	b.Cleanup(func() { close(release) })
	p := &partner{t: b, stack: s, connections: connections()}
	lane := uuid.MustParse(p.subscribeOne(dead.URL, "resource_operation.created"))
	for range b.N {
		fresh := p.workerMemory()
		accepted := p.accept(n)
		p.tell(accepted[:n/100], lane, n/100)
		idle, before := p.settled(), p.redisMemory()
		p.tell(accepted[n/100:n/2], lane, n/2)
		half := p.settled()
		p.tell(accepted[n/2:], lane, n)
		full := p.settled()
		b.ReportMetric(float64(fresh)/(1<<20), "fresh-MiB")
		b.ReportMetric(float64(idle)/(1<<20), "idle-MiB")
		b.ReportMetric(float64(full)/(1<<20), "full-MiB")
		b.ReportMetric(float64(full)/float64(idle), "ratio")
		b.ReportMetric(float64(p.redisMemory()-before)/(n-n/100), "redis-B/delivery")
		b.Logf("memory of the worker: %d bytes fresh, %d with %d deliveries, %d with %d, %d with %d", fresh, idle, n/100, half, n/2, full, n)
		require.LessOrEqual(b, float64(full)/float64(idle), 1.2, "the worker's memory grows with what waits")
	}
}

var memory = regexp.MustCompile(`(?m)^# (HeapAlloc|Stack) = (\d+)`)

// workerMemory is what lives on the worker's heap, and its stacks, after a collection.
func (p *partner) workerMemory() (sum int64) {
	p.t.Helper()
	resp, err := http.Get(p.stack.Workers[0].Admin + "/debug/pprof/heap?gc=1&debug=1")
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	found := memory.FindAllStringSubmatch(string(text), -1)
	require.Len(p.t, found, 2)
	for _, f := range found {
		v, err := strconv.ParseInt(f[2], 10, 64)
		require.NoError(p.t, err)
		sum += v
	}
	return sum
}

func (p *partner) redis() *redis.Client {
	p.t.Helper()
	opt, err := redis.ParseURL(p.stack.Redis.URL())
	require.NoError(p.t, err)
	rdb := redis.NewClient(opt)
	p.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func (p *partner) redisMemory() int64 {
	p.t.Helper()
	text, err := p.redis().Info(p.t.Context(), "memory").Result()
	require.NoError(p.t, err)
	_, rest, _ := strings.Cut(text, "used_memory:")
	number, _, _ := strings.Cut(rest, "\r")
	v, err := strconv.ParseInt(number, 10, 64)
	require.NoError(p.t, err)
	return v
}

// accept puts operations into the store; nobody works on them.
func (p *partner) accept(n int) []operation.Message {
	p.t.Helper()
	store := redisstore.New(p.redis(), redisstore.Config{})
	_, err := store.Missing(p.t.Context())
	require.NoError(p.t, err)
	out := make([]operation.Message, n)
	each(p.t, n, func(ctx context.Context, i int) error {
		a := operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: devissuer.DefaultClients()[0].PartnerID,
			ConnectionID: uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(i%500))), Provider: "samsara", Resource: operation.ResourceUser,
			ResourceID: uuid.New(), Type: operation.Update, Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
		}
		receipt, err := store.Accept(ctx, a, redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour})
		out[i] = operation.Message{Accepted: a, Place: receipt.Place}
		return err
	})
	return out
}

// settled is the worker's memory once it has nothing to do: the least of a few looks.
func (p *partner) settled() int64 {
	least := p.workerMemory()
	for range 5 {
		time.Sleep(time.Second)
		least = min(least, p.workerMemory())
	}
	return least
}

// tell publishes the operations and returns when n deliveries wait.
func (p *partner) tell(all []operation.Message, lane uuid.UUID, n int) {
	p.t.Helper()
	nc, err := nats.Connect(p.stack.NATS.URL(), testenv.Patient)
	require.NoError(p.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(p.t, err)
	pub := natsq.NewPublisher(nc, js)
	each(p.t, len(all), func(ctx context.Context, i int) error { return pub.Accepted(ctx, all[i], false) })
	queue := redisstore.New(p.redis(), redisstore.Config{Prefix: "wh"})
	require.Eventually(p.t, func() bool {
		l, err := queue.Lane(p.t.Context(), lane)
		// The dead endpoint has used up a few.
		return err == nil && l.Outstanding >= n-n/20
	}, 4*within, time.Second, "not all is queued")
}

// each calls do for every number below n, several at a time.
func each(t testing.TB, n int, do func(ctx context.Context, i int) error) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(t.Context(), i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
