package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
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
	"writeback/pkg/operation/redisstore"
	"writeback/test/e2e/stack"
)

const (
	writes    = 200
	clients   = 8
	syncShare = 0.1
	users     = 25
	kills     = 4
	seed      = 20260503
	within    = 60 * time.Second
)

var limits = history.Limits{InFlight: 8, PerSecond: 100, Burst: 20, Call: 2 * time.Second}

// TestKill_EveryEventArrives kills workers at random while operations run and events
// are delivered. Every operation's events arrive at least once, each with one id, with
// the operation as it was read then, and signed; sync operations have none.
func TestKill_EveryEventArrives(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load on programs of its own")
	}
	s := stack.Start(t, stack.Options{
		APIs: 1, Workers: 2, Registry: stack.Registry{Limits: limits, Users: users},
		Environ: []string{"WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_ROLES=operations,webhooks"},
	})
	p := &partner{t: t, stack: s, connections: connections(), hooks: newReceiver(t, everySeventhFails)}
	p.subscribe("resource_operation.*")
	for _, c := range p.connections {
		// The provider refuses one user of each, for good, and takes its time.
		require.NoError(t, s.Fault(sandbox.Fault{Provider: c.Provider, User: c.Users[0].CatenaID, Status: http.StatusBadRequest}))
		require.NoError(t, s.Fault(sandbox.Fault{Provider: c.Provider, LatencyMS: 50}))
	}

	p.write()
	p.killWorkers()
	p.writing.Wait()
	p.awaitEnds()
	p.awaitDeliveries()
	p.check()
}

// everySeventhFails but the later sends of an event: after four refusals it is given up,
// which some of so many would meet.
func everySeventhFails(n, send int) int {
	if n%7 == 3 && send < 3 {
		return http.StatusServiceUnavailable
	}
	return http.StatusAccepted
}

// connections are those of the partner that subscribes, without the simulator, which
// is not driven by faults.
func connections() []sandbox.Seed {
	var out []sandbox.Seed
	for _, c := range stack.Seeds() {
		if c.Connection != stack.Foreign() && c.Provider != sandbox.Simulator {
			out = append(out, c)
		}
	}
	return out
}

// partner writes, subscribes, and remembers what it was told.
type partner struct {
	t           testing.TB
	stack       *stack.Stack
	connections []sandbox.Seed
	hooks       *receiver
	webhooks    []string
	writing     sync.WaitGroup

	mu sync.Mutex
	// async are the operations by id, with their connection, and sync those of sync
	// writes; atAccept is how one was read before anything happened to it; ended is how
	// it is read at the end.
	async           map[string]string
	sync            map[string]bool
	atAccept, ended map[string]map[string]any
}

// ask makes a request as the partner and gives the answer's JSON.
func (p *partner) ask(method, path, body string, into any) (int, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.stack.APIs[0].URL+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.stack.Token(p.connections[0].Connection))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, json.Unmarshal(text, into)
}

func (p *partner) subscribe(event string) {
	p.t.Helper()
	var made []struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	status, err := p.ask(http.MethodPost, "/v2/notifications/webhooks", fmt.Sprintf(`{"url":%q,"event_name":%q}`, p.hooks.URL+"/hook", event), &made)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, status)
	require.Len(p.t, made, 3)
	for _, m := range made {
		p.hooks.knows(m.ID, m.Secret)
		p.webhooks = append(p.webhooks, m.ID)
	}
}

func (p *partner) get(connection, id string) (view map[string]any, err error) {
	status, err := p.ask(http.MethodGet, "/v2/integrations/connections/"+connection+"/resource-operations/"+id, "", &view)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("reading %s: status %d", id, status)
	}
	return view, err
}

// write starts clients that write, and read what they have written at once.
func (p *partner) write() {
	p.async, p.sync = map[string]string{}, map[string]bool{}
	p.atAccept, p.ended = map[string]map[string]any{}, map[string]map[string]any{}
	for n := range clients {
		p.writing.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			c := p.stack.Client()
			for i := range writes / clients {
				conn := p.connections[random.IntN(len(p.connections))]
				r := c.Write(p.t.Context(), p.stack.APIs[0], history.Request{
					Marker: fmt.Sprintf("mk-hook-%d", n*writes+i), Connection: conn.Connection,
					User: conn.Users[random.IntN(users)].CatenaID, Sync: random.Float64() < syncShare,
				}, nil)
				p.wrote(r)
			}
		})
	}
}

func (p *partner) wrote(r history.Request) {
	if r.Operation == "" {
		if r.Status != http.StatusConflict && r.Status != http.StatusTooManyRequests { // a sync write may not overtake
			p.t.Errorf("write answered %d", r.Status)
		}
		return
	}
	if r.Sync {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sync[r.Operation] = true
		return
	}
	view, err := p.get(r.Connection, r.Operation)
	if err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.async[r.Operation] = r.Connection
	if view["status"] == "pending" && view["attempt"] == float64(0) {
		delete(view, "waiting") // why it is not called just then
		delete(view, "next_attempt_at")
		p.atAccept[r.Operation] = view
	}
}

// killWorkers kills workers at random and starts them again.
func (p *partner) killWorkers() {
	random := rand.New(rand.NewPCG(seed, 99))
	for range kills {
		time.Sleep(time.Duration(200+random.IntN(600)) * time.Millisecond)
		w := p.stack.Workers[random.IntN(len(p.stack.Workers))]
		w.Kill()
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		require.NoError(p.t, w.Start())
	}
}

func (p *partner) awaitEnds() {
	p.t.Helper()
	require.NotEmpty(p.t, p.async)
	require.Eventually(p.t, func() bool {
		for id, connection := range p.async {
			if p.ended[id] != nil {
				continue
			}
			view, err := p.get(connection, id)
			if err != nil || view["status"] == "pending" {
				return false
			}
			p.ended[id] = view
		}
		return true
	}, within, 50*time.Millisecond, "not every operation has ended")
}

// awaitDeliveries waits until nothing is left to deliver.
func (p *partner) awaitDeliveries() {
	p.t.Helper()
	nc, err := nats.Connect(p.stack.NATS.URL(), testenv.Patient)
	require.NoError(p.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(p.t, err)
	opt, err := redis.ParseURL(p.stack.Redis.URL())
	require.NoError(p.t, err)
	rdb := redis.NewClient(opt)
	defer func() { _ = rdb.Close() }()
	queue := redisstore.New(rdb, redisstore.Config{Prefix: "wh"})
	require.Eventually(p.t, func() bool {
		for name, stream := range map[string]string{
			natsq.ConsumerCreated: natsq.StreamOperations, natsq.ConsumerBatches: natsq.StreamOperations,
			natsq.ConsumerEnded: natsq.StreamEvents, natsq.ConsumerEndedBatches: natsq.StreamEvents,
		} {
			c, err := js.Consumer(p.t.Context(), stream, name)
			if err != nil || c.CachedInfo().NumPending+uint64(c.CachedInfo().NumAckPending) > 0 {
				return false
			}
		}
		for _, id := range p.webhooks {
			lane, err := queue.Lane(p.t.Context(), uuid.MustParse(id))
			if err != nil || lane.Outstanding > 0 {
				return false
			}
		}
		return true
	}, within, 50*time.Millisecond, "deliveries are left over")
}
