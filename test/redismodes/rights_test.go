package redismodes

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/dirsync"
	"writeback/internal/history"
	"writeback/internal/testenv"
	"writeback/internal/webhook"
	"writeback/internal/webhook/journal"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
	"writeback/test/e2e/stack"
)

// documented gives the rights that docs/operations.md lists.
func documented(t *testing.T) []any {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	block := regexp.MustCompile(`(?m)^    user writeback (.*\n(?:      .*\n)*)`).FindStringSubmatch(string(page))
	require.NotNil(t, block)
	var out []any
	for _, word := range strings.Fields(block[1]) {
		out = append(out, word)
	}
	return out
}

// limit lets the nodes have the user of the page, and refuse everybody else but the test.
func limit(t *testing.T, nodes ...*testenv.RedisProcess) []*redis.Client {
	t.Helper()
	admins := make([]*redis.Client, len(nodes))
	for i, n := range nodes {
		admins[i] = redis.NewClient(&redis.Options{Addr: n.Addr()})
		t.Cleanup(func() { _ = admins[i].Close() })
		require.NoError(t, admins[i].Do(t.Context(), append([]any{"ACL", "SETUSER", "writeback"}, documented(t)...)...).Err())
	}
	return admins
}

// TestRights_Programs: api and worker with the least rights, over a loss of the data. Redis
// notes everything that it refuses.
func TestRights_Programs(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load")
	}
	for name, start := range map[string]func() (url string, nodes []*testenv.RedisProcess){
		"one server": func() (string, []*testenv.RedisProcess) {
			n := testenv.RedisAOF(t, "")
			return "redis://writeback:PASSWORD@" + n.Addr(), []*testenv.RedisProcess{n}
		},
		"cluster": func() (string, []*testenv.RedisProcess) {
			nodes := testenv.RedisCluster(t, 3)
			return strings.Replace(clusterURL(nodes), "://", "://writeback:PASSWORD@", 1), nodes
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, nodes := start()
			admins := limit(t, nodes...)
			_, h := run(t, url, stack.Load{Name: "rights", Operations: 120, SyncShare: 0.1, Seed: 3}, func(n int) {
				if n == 60 {
					for _, admin := range admins {
						_ = admin.FlushAll(context.WithoutCancel(t.Context())).Err()
					}
				}
			})
			require.Zero(t, history.Check(h).Counts.Failed)
			for _, admin := range admins {
				refused, err := admin.ACLLog(t.Context(), 20).Result()
				require.NoError(t, err)
				for _, one := range refused {
					require.Fail(t, "a right is missing", "%s: %s in %s", one.Reason, one.Object, one.Context)
				}
			}
		})
	}
}

// TestRights_WebhooksAndSync: what their workers keep beside the shards.
func TestRights_WebhooksAndSync(t *testing.T) {
	t.Parallel()
	n := testenv.StartRedis(t)
	admin := limit(t, n)[0]
	rdb := redis.NewClient(&redis.Options{Addr: n.Addr(), Username: "writeback", Password: "PASSWORD", DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	j, s := journal.New(rdb, nil), webhook.Subscription{ID: uuid.New()}
	about := webhook.Reference{Message: uuid.New()}
	require.NoError(t, j.Sent(t.Context(), webhook.Sent{Webhook: s.ID, Reference: about, At: time.Now(), Code: 500}))
	for _, success := range []bool{false, true} {
		_, err := j.Observe(t.Context(), s, success)
		require.NoError(t, err)
	}
	_, err := j.Silent(t.Context(), s)
	require.NoError(t, err)
	require.NoError(t, j.Ended(t.Context(), webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Reference: about, Dead: true}))
	m, err := j.Metrics(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 1}, [2]int{m.Hours6.Attempts, m.DeadLetters})
	for _, backwards := range []bool{false, true} {
		rows, _, err := j.Logs(t.Context(), webhook.LogQuery{Webhook: s.ID, Limit: 9, Backwards: backwards})
		require.NoError(t, err)
		require.Len(t, rows, 1)
	}
	dead, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, 9)
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.NoError(t, j.Revived(t.Context(), s.ID, dead[0]))

	f := &fleet{c: directory.Connection{ID: uuid.New(), Provider: "fake", Status: directory.ConnectionActive}}
	store := redisstore.New(rdb, redisstore.Config{})
	require.NoError(t, store.Begin(t.Context(), []int{operation.ShardOf(f.c.ID)}))
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	book, err := dirsync.OpenBook(t.Context(), js, 1, nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		_ = dirsync.New(dirsync.Parts{Directory: f, Providers: f, Rates: store, Redis: rdb, Book: book},
			dirsync.Config{Every: time.Hour}).Run(ctx)
	})
	defer func() { stop(); all.Wait() }()
	var p dirsync.Progress
	require.Eventually(t, func() bool {
		p, err = book.Get(t.Context(), f.c.ID)
		return err == nil && (!p.FinishedAt.IsZero() || p.LastError != "")
	}, time.Minute, 10*time.Millisecond)
	require.Empty(t, p.LastError)
	require.Equal(t, []bool{true, false}, f.known)
	refused, err := admin.ACLLog(t.Context(), 20).Result()
	require.NoError(t, err)
	require.Empty(t, refused)
}

// fleet is a directory of one connection, and its provider, which lists the user a.
type fleet struct {
	tsp.Provider
	c     directory.Connection
	known []bool
}

func (f *fleet) Get(string) (tsp.Provider, bool) { return f, true }
func (f *fleet) Describe() tsp.Description       { return tsp.Description{Name: "fake"} }
func (f *fleet) ListUsers(context.Context, tsp.Connection, string) (tsp.UserPage, error) {
	return tsp.UserPage{Users: []tsp.ListedUser{{SourceID: "a"}}}, nil
}
func (f *fleet) ConnectionIDs() []uuid.UUID { return []uuid.UUID{f.c.ID} }
func (f *fleet) ConnectionByID(uuid.UUID) (directory.Connection, bool) {
	return f.c, true
}
func (f *fleet) Credentials(context.Context, uuid.UUID, tsp.Credentials, tsp.Refresher) (tsp.Credentials, error) {
	return nil, nil
}
func (f *fleet) Named(_ uuid.UUID, users []tsp.ListedUser) []tsp.ListedUser { return users }
func (f *fleet) Learn(context.Context, uuid.UUID, []tsp.ListedUser) (directory.Count, error) {
	return directory.Count{}, nil
}
func (f *fleet) Retire(ctx context.Context, _ uuid.UUID, _ time.Time, listed func(context.Context, []string) ([]bool, error)) (int, error) {
	var err error
	f.known, err = listed(ctx, []string{"a", "b"})
	return 0, err
}

// TestRights_Scripts: what the scripts call, though no load does.
func TestRights_Scripts(t *testing.T) {
	t.Parallel()
	admin := redis.NewClient(&redis.Options{Addr: testenv.StartRedis(t).Addr()})
	t.Cleanup(func() { _ = admin.Close() })
	commands, err := admin.CommandList(t.Context(), nil).Result()
	require.NoError(t, err)
	is := map[string]bool{}
	for _, name := range commands {
		is[name] = true
	}
	rights := documented(t)
	files, err := filepath.Glob("../../pkg/operation/redisstore/lua/*.lua")
	require.NoError(t, err)
	parts, err := filepath.Glob("../../pkg/operation/redisstore/lua/parts/*.lua")
	require.NoError(t, err)
	found := 0
	for _, file := range append(files, parts...) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, word := range regexp.MustCompile(`'([A-Z]{3,})'`).FindAllStringSubmatch(string(text), -1) {
			name := strings.ToLower(word[1])
			if is[name] && name != "pubsub" { // of which a part is enough
				found++
				require.Contains(t, rights, "+"+name, file)
			}
		}
	}
	require.Greater(t, found, 50)
}
