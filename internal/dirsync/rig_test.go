package dirsync

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/directory"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 3 * time.Minute // ten thousand users under the race detector

var (
	partner = uuid.MustParse("00000000-0000-7000-8000-0000000000b1")
	conn    = uuid.MustParse("00000000-0000-7000-8000-0000000000c1")
)

// fleet is a provider with numbered users, two a page.
type fleet struct {
	tsp.Provider
	mu     sync.Mutex
	users  []string
	asked  []string
	before func(call int) error // runs before each page
	token  atomic.Int64         // of refreshes
	total  int                  // that it says it has, on the first page
	wait   time.Duration        // that it asks for with a page
}

func newFleet(n int) *fleet {
	f := &fleet{}
	for i := range n {
		f.users = append(f.users, fmt.Sprintf("u%02d", i))
	}
	return f
}

func (f *fleet) Describe() tsp.Description {
	return tsp.Description{Name: "fake", Limits: tsp.Limits{Call: 5 * time.Second}}
}

func (f *fleet) Fresh(c tsp.Credentials, _ time.Time) bool { return true }

func (f *fleet) Refresh(context.Context, tsp.Connection) (tsp.Credentials, error) {
	return tsp.Credentials{"access_token": "new-" + strconv.FormatInt(f.token.Add(1), 10)}, nil
}

func (f *fleet) ListUsers(_ context.Context, c tsp.Connection, cursor string) (tsp.UserPage, error) {
	f.mu.Lock()
	f.asked = append(f.asked, cursor)
	n, before := len(f.asked), f.before
	users, page := f.users, tsp.UserPage{Result: tsp.Result{RetryAfter: f.wait}}
	if cursor == "" {
		page.Total = f.total
	}
	f.mu.Unlock()
	if before != nil {
		if err := before(n); err != nil {
			return tsp.UserPage{}, err
		}
	}
	at, _ := strconv.Atoi(cursor)
	for _, id := range users[min(at, len(users)):min(at+2, len(users))] {
		page.Users = append(page.Users, tsp.ListedUser{SourceID: id, Fields: operation.Changes{
			operation.FieldFirstName: operation.Text("Name of " + id),
		}})
	}
	if at+2 < len(users) {
		page.Next = strconv.Itoa(at + 2)
	}
	return page, nil
}

func (f *fleet) set(before func(int) error, users ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
	if len(users) > 0 {
		f.users = users
	}
}

func (f *fleet) pages() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// registry has any providers by name.
type registry map[string]tsp.Provider

func (r registry) Get(name string) (tsp.Provider, bool) { p, ok := r[name]; return p, ok }

// rig is one connection in a real directory, with a clock of its own.
type rig struct {
	t     *testing.T
	d     *directory.Directory
	js    jetstream.JetStream
	rdb   *redis.Client
	parts Parts
	cfg   Config
	late  atomic.Int64 // how far the clock is ahead
}

func newRig(t *testing.T, provider string, p tsp.Provider, users string) *rig {
	t.Helper()
	opt, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	r := &rig{t: t, js: js, rdb: redis.NewClient(opt)}
	t.Cleanup(func() { nc.Close(); _ = r.rdb.Close() })
	store := redisstore.New(r.rdb, redisstore.Config{})
	r.shards()
	r.d, err = directory.Open(t.Context(), js, directory.Config{Providers: []string{"fake"}})
	require.NoError(t, err)
	r.load(provider, users)
	book, err := OpenBook(t.Context(), js, 1, nil)
	require.NoError(t, err)
	r.parts = Parts{
		Directory: r.d, Providers: registry{provider: p}, Rates: store, Redis: r.rdb, Book: book,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	r.cfg = Config{
		Every: 6 * time.Hour, Poll: 5 * time.Millisecond, Inline: 2 * time.Second,
		Backoff: operation.Backoff{Base: time.Hour, Cap: 2 * time.Hour}, Now: r.now,
	}
	return r
}

// shards starts the shards of the store, again if Redis was emptied.
func (r *rig) shards() {
	r.t.Helper()
	all := make([]int, operation.Shards)
	for i := range all {
		all[i] = i
	}
	require.NoError(r.t, redisstore.New(r.rdb, redisstore.Config{}).Begin(r.t.Context(), all))
}

func (r *rig) now() time.Time          { return time.Now().Add(time.Duration(r.late.Load())) }
func (r *rig) advance(d time.Duration) { r.late.Add(int64(d)) }
func (r *rig) syncer() *Syncer         { return New(r.parts, r.cfg) }
func (r *rig) progress() (p Progress)  { p, _ = r.parts.Book.Get(context.Background(), conn); return p }
func (r *rig) lines() []directory.User {
	return r.d.UsersPage(partner, uuid.Nil, 100_000, directory.UserFilter{})
}
func (r *rig) until(what func() bool) {
	r.t.Helper()
	require.Eventually(r.t, what, soon, max(5*time.Millisecond, r.cfg.Poll/10))
}
func (r *rig) finished(run uuid.UUID) bool {
	p := r.progress()
	return p.Run != run && !p.FinishedAt.IsZero()
}

func (r *rig) load(provider, users string) {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "registry.yaml")
	text := fmt.Sprintf(`partners: [{id: %s, name: P, connections: [{id: %s, provider: %s, limits: {per_second: 100000, burst: 1000},
  credentials: {access_token: sandbox-samsara-c1}, users: [%s]}]}]`, partner, conn, provider, users)
	require.NoError(r.t, os.WriteFile(file, []byte(text), 0o600))
	_, err := r.d.LoadFile(r.t.Context(), file)
	require.NoError(r.t, err)
}

// run runs a syncer until the returned function is called.
func (r *rig) run(s *Syncer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				r.t.Error(err)
			}
		})
	}
	r.t.Cleanup(stop)
	return stop
}

// walked runs one walk to its end and gives its progress.
func (r *rig) walked() Progress {
	r.t.Helper()
	before := r.progress().Run
	stop := r.run(r.syncer())
	defer stop()
	r.until(func() bool { return r.finished(before) })
	return r.progress()
}

// writes is how often the directory's bucket was written to.
func (r *rig) writes() uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), "KV_"+directory.Bucket)
	require.NoError(r.t, err)
	return s.CachedInfo().State.LastSeq
}

// byID maps the ids of users that are there to the provider's.
func (r *rig) byID() map[uuid.UUID]string {
	out := map[uuid.UUID]string{}
	for _, u := range r.lines() {
		out[u.ID] = u.SourceID
	}
	return out
}
