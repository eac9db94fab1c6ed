package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/dirsync"
	"writeback/internal/natsq"
	"writeback/internal/redisurl"
	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

const secretName = "Persephone"

// desk is a store and streams with something in them, and the tool before them.
type desk struct {
	t       *testing.T
	environ []string
	store   *redisstore.Store
	js      jetstream.JetStream
	conn    uuid.UUID
	op      operation.Accepted
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	redisURL, natsURL := testenv.Redis(t), testenv.NATS(t)
	opt, err := redis.ParseURL(redisURL)
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	nc, err := nats.Connect(natsURL, testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close(); _ = rdb.Close() })
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	require.NoError(t, natsq.Ensure(t.Context(), js, natsq.Config{OperationsMaxBytes: 64 << 20, EventsMaxBytes: 64 << 20}))
	d := &desk{
		t: t, store: redisstore.New(rdb, redisstore.Config{}), js: js, conn: uuid.Must(uuid.NewV7()),
		environ: []string{"WRITEBACK_REDIS_URL=" + redisURL, "WRITEBACK_NATS_URL=" + natsURL, "WRITEBACK_ADMIN_ADDR=wrong, and not ours"},
	}
	require.NoError(t, d.store.Begin(t.Context(), everyShard()))
	d.op = operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: uuid.Must(uuid.NewV7()), ConnectionID: d.conn,
		Provider: "samsara", Resource: operation.ResourceUser, ResourceID: uuid.New(), SourceID: "7", Type: operation.Update,
		Changes: operation.Changes{operation.FieldFirstName: operation.Text(secretName)},
	}
	limits := redisstore.Limits{InFlight: 4, PerSecond: 5, Burst: 2, Call: time.Second, Life: time.Hour}
	receipt, err := d.store.Accept(t.Context(), d.op, limits)
	require.NoError(t, err)
	pub := natsq.NewPublisher(nc, js)
	require.NoError(t, pub.Accepted(t.Context(), operation.Message{Accepted: d.op, Place: receipt.Place}, true))
	return d
}

func everyShard() []int {
	out := make([]int, operation.Shards)
	for i := range out {
		out[i] = i
	}
	return out
}

// ctl runs the tool and gives what it printed.
func (d *desk) ctl(code int, args ...string) (out, errOut string) {
	d.t.Helper()
	var o, e bytes.Buffer
	require.Equal(d.t, code, run(d.t.Context(), args, d.environ, &o, &e), e.String())
	if code == 0 {
		require.NotContains(d.t, e.String(), "writeback:")
	}
	return o.String(), e.String()
}

// asJSON runs the tool with -json.
func asJSON[T any](d *desk, args ...string) T {
	d.t.Helper()
	out, _ := d.ctl(0, append(args, "--json")...)
	var v T
	require.NoError(d.t, json.Unmarshal([]byte(out), &v), out)
	return v
}

func TestUsage(t *testing.T) {
	t.Parallel()
	environ := []string{"WRITEBACK_REDIS_URL=redis://user:hunter2@127.0.0.1:1/0", "WRITEBACK_NATS_URL=nats://user:hunter2@127.0.0.1:1"}
	id := uuid.NewString()
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "a command is missing"},
		{[]string{"lane"}, 2, "a command is missing"},
		{[]string{"lanes"}, 2, "did you mean lane?"},
		{[]string{"lane", "pose"}, 2, "no such command: writeback lane pose"},
		{[]string{"lane", "show"}, 2, "lane show takes <connection_id>"},
		{[]string{"lane", "show", "c1"}, 2, "not a UUID"},
		{[]string{"operation", "get", id}, 2, "takes"},
		{[]string{"operation", "list"}, 2, "--connection or --partner"},
		{[]string{"operation", "list", "--partner", id, "--status", "done"}, 2, "--status must be"},
		{[]string{"operation", "list", "--partner", id, "--limit", "0"}, 2, "--limit must be"},
		{[]string{"operation", "list", "--partner", id, "--since", "0s"}, 2, "--since"},
		{[]string{"operation", "list", "--partner", id, "--since", "1081h"}, 2, "--since"},
		{[]string{"shards", "--verbose"}, 2, "--verbose"},
		{[]string{"shards", "--nats-url", "http://x"}, 2, "WRITEBACK_NATS_URL=\"http://x\" (flag --nats-url): must be nats"},
		{[]string{"shards", "--config", "none.yaml"}, 2, "none.yaml"},
		{[]string{"rebuild", "--yes"}, 2, "--shard or --all"},
		{[]string{"rebuild", "--all", "--shard", "1", "--yes"}, 2, "--shard or --all"},
		{[]string{"rebuild", "--shard", "64", "--yes"}, 2, "0 to 63"},
		{[]string{"rebuild", "--all"}, 2, "add --yes"},
		{[]string{"deadletter", "show", "x"}, 2, "not a number"},
		{[]string{"deadletter", "replay"}, 2, "--all"},
		{[]string{"loadtest", "--api-url", "http://api.example.com"}, 2, "--yes-really"},
		{[]string{"loadtest", "--rate", "0"}, 2, "--rate"},
		{[]string{"loadtest", "--count", "1000000"}, 2, "--count"},
		{[]string{"loadtest", "--duration", "24h"}, 2, "--duration"},
		{[]string{"loadtest", "--api-url", "http://127.0.0.1:1"}, 1, "token"},
		{[]string{"users", "sync"}, 2, "--all"},
		{[]string{"lane", "show", id}, 1, "redis"},
		{[]string{"deadletter", "list"}, 1, "NATS"},
		{[]string{"connection", "import", "none.yaml"}, 1, "NATS"},
	} {
		t.Run(fmt.Sprint(tt.args), func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			require.Equal(t, tt.code, run(t.Context(), tt.args, environ, &out, &errOut), errOut.String())
			require.Contains(t, errOut.String(), tt.says)
			require.NotContains(t, out.String()+errOut.String(), "hunter2")
		})
	}
	var out bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"shards"}, []string{"WRITEBACK_REDIS_URL=http://x"}, &out, &out))
	require.Contains(t, out.String(), "WRITEBACK_REDIS_URL")
}

func TestLane(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	l := asJSON[laneView](d, "lane", "show", d.conn.String())
	require.Equal(t, []int{1, 1, 1, 0, 4}, []int{l.Outstanding, l.Ready, l.ReadyNow, l.InFlight, l.Room})
	require.InDelta(t, 5, l.PerSecond, 0.001)
	require.NotNil(t, l.Due)
	require.Nil(t, l.Breaker)

	_, errOut := d.ctl(0, "lane", "pause", d.conn.String())
	require.Contains(t, errOut, "Redis alone knows it", "there is no directory")
	l = asJSON[laneView](d, "lane", "show", d.conn.String())
	require.True(t, l.Paused)
	require.Nil(t, l.Opens)
	text, _ := d.ctl(0, "lane", "show", d.conn.String())
	require.Regexp(t, `paused +yes`, text)
	d.ctl(0, "lane", "resume", d.conn.String())
	out, err := d.store.Next(t.Context(), d.conn, redisstore.Limits{InFlight: 4, Call: time.Second}, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(t, err)
	require.Len(t, out.Leases, 1)
	l = asJSON[laneView](d, "lane", "show", d.conn.String())
	require.False(t, l.Paused)
	require.Len(t, l.Calls, 1)
	require.Equal(t, d.op.ID, l.Calls[0].Operation)

	_, errOut = d.ctl(1, "lane", "pause", uuid.NewString())
	require.Contains(t, errOut, "whether there is one cannot be told: there is no directory")
}

func TestOperation(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	args := []string{"operation", "get", d.conn.String(), d.op.ID.String()}
	v := asJSON[operationView](d, args...)
	require.Equal(t, operation.Pending, v.Status)
	require.Equal(t, []operation.Field{operation.FieldFirstName}, v.Fields)
	for _, flag := range []string{"--json", "--timeout=5s"} {
		out, _ := d.ctl(0, append(args, flag)...)
		require.NotContains(t, out, secretName)
		out, _ = d.ctl(0, append(args, flag, "--payload")...)
		require.Contains(t, out, secretName)
	}
	_, errOut := d.ctl(1, "operation", "get", d.conn.String(), uuid.NewString())
	require.Contains(t, errOut, "there is no such operation on this connection")
}

// TestOperation_Unreadable: the others are listed, and it can be given up, so that its
// user's later ones go on.
func TestOperation_Unreadable(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	rdb, err := redisurl.Open(strings.TrimPrefix(d.environ[0], "WRITEBACK_REDIS_URL="), redisurl.Options{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	later := d.op
	later.ID = uuid.Must(uuid.NewV7())
	_, err = d.store.Accept(t.Context(), later, redisstore.Limits{InFlight: 4, Call: time.Second, Life: time.Hour})
	require.NoError(t, err)
	key := fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(d.conn), d.op.ID)
	require.NoError(t, rdb.HSet(t.Context(), key, "doc", "\xff").Err())

	out, errOut := d.ctl(0, "operation", "list", "--partner", d.op.PartnerID.String())
	require.Contains(t, out, later.ID.String())
	require.NotContains(t, out, d.op.ID.String())
	require.Regexp(t, "left out: .*"+d.op.ID.String()+".*docs/runbook.md", errOut)
	_, errOut = d.ctl(1, "operation", "get", d.conn.String(), d.op.ID.String())
	require.Contains(t, errOut, "the record cannot be read")
	_, errOut = d.ctl(1, "operation", "cancel", d.conn.String(), d.op.ID.String())
	require.Contains(t, errOut, "it is cancelled")
	got, err := d.store.Next(t.Context(), d.conn, redisstore.Limits{InFlight: 4, Call: time.Second}, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(t, err)
	require.Len(t, got.Leases, 1)
	require.Equal(t, later.ID, got.Leases[0].ID)
}

func TestShards(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine := operation.ShardOf(d.conn)
	views := asJSON[[]shardView](d, "shards")
	require.Len(t, views, operation.Shards)
	require.Equal(t, []int{1, 1, 1, 1, 1}, []int{views[mine].Lanes, views[mine].LanesDue, views[mine].Outbox, views[mine].Outstanding, views[mine].Ready})
	require.Equal(t, "open", views[mine].State)
	require.Nil(t, views[mine].BeatAge)
	require.NoError(t, d.store.Withdraw(t.Context(), []int{mine}))
	require.Equal(t, "missing", asJSON[[]shardView](d, "shards")[mine].State)
	text, _ := d.ctl(0, "shards")
	require.Contains(t, text, "1 missing")
	text, _ = d.ctl(0, "shards", "--queue", "webhooks")
	require.Contains(t, text, "64 missing", "no worker ever had the role")
	_, wrong := d.ctl(2, "shards", "--queue", "events")
	require.Contains(t, wrong, `--queue "events" is none of operations, webhooks`)
	_, errOut := d.ctl(1, "lane", "show", d.conn.String())
	require.Contains(t, errOut, "being rebuilt")
}

// TestClusterPartAway: the shards and lanes of the others are shown.
func TestClusterPartAway(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	url := "redis+cluster://" + nodes[1].Addr() + "," + nodes[2].Addr()
	rdb, err := redisurl.Open(url, redisurl.Options{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	require.NoError(t, rdb.(*redis.ClusterClient).ForEachMaster(t.Context(), func(ctx context.Context, one *redis.Client) error {
		return one.ConfigSet(ctx, "cluster-require-full-coverage", "no").Err()
	}))
	require.NoError(t, redisstore.New(rdb, redisstore.Config{}).Begin(t.Context(), everyShard()))
	nodes[0].Kill()
	d := &desk{t: t, environ: []string{"WRITEBACK_REDIS_URL=" + url, "WRITEBACK_NATS_URL=nats://127.0.0.1:1"}}
	text, errOut := d.ctl(1, "shards")
	require.Regexp(t, `all +\d+ away, 0 missing`, text, errOut)
	require.Regexp(t, `(?m)^\d+ +open`, text)
	require.Contains(t, errOut, "of 64 shards could not be asked")
	text, errOut = d.ctl(1, "lane", "list")
	require.Contains(t, text, "CONNECTION")
	require.Contains(t, errOut, "shards are not in the list")

	// The directory has connections of both kinds.
	out, _ := d.ctl(1, "shards", "--json")
	var shards []shardView
	require.NoError(t, json.Unmarshal([]byte(out), &shards))
	in := func(state string) uuid.UUID {
		for {
			if id := uuid.New(); shards[operation.ShardOf(id)].State == state {
				return id
			}
		}
	}
	there, away := in(stateOpen), in(stateAway)
	file := filepath.Join(t.TempDir(), "registry.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "partners: [{id: %s, name: P, connections: [{id: %s, provider: samsara, credentials: {}}, "+
		"{id: %s, provider: samsara, credentials: {}}]}]", uuid.New(), there, away), 0o600))
	d.environ[1] = "WRITEBACK_NATS_URL=" + testenv.NATS(t)
	d.ctl(0, "connection", "import", file)
	text, errOut = d.ctl(1, "lane", "list", "--all")
	require.Contains(t, text, there.String(), errOut)
	require.NotContains(t, text, away.String())
	require.Contains(t, errOut, "shards are not in the list")
}

// TestRebuild_RefusesWithoutStreams: what it would close would stay closed.
func TestRebuild_RefusesWithoutStreams(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	without := &desk{t: t, environ: append(d.environ[:1:1], "WRITEBACK_NATS_URL=nats://127.0.0.1:1")}
	_, errOut := without.ctl(1, "rebuild", "--all", "--yes")
	require.Contains(t, errOut, "nothing was done")
	require.NoError(t, d.js.DeleteStream(t.Context(), natsq.StreamEvents))
	_, errOut = d.ctl(1, "rebuild", "--all", "--yes")
	require.Contains(t, errOut, "stream OPERATION_EVENTS")
	missing, err := d.store.Missing(t.Context())
	require.NoError(t, err)
	require.Empty(t, missing)
}

// TestReading_MakesNoBucket: an empty one would stand in the way of a backup that is
// restored.
func TestReading_MakesNoBucket(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, args := range [][]string{
		{"connection", "list"}, {"connection", "show", d.conn.String()}, {"connection", "activate", d.conn.String()},
		{"operation", "list", "--connection", d.conn.String()}, {"users", "status"}, {"users", "sync", "--all"},
	} {
		_, errOut := d.ctl(1, args...)
		require.Contains(t, errOut, "there is no directory", args)
	}
	_, errOut := d.ctl(0, "lane", "list")
	require.Contains(t, errOut, "only lanes in the due index")
	for name := range d.js.KeyValueStoreNames(t.Context()).Name() {
		require.Fail(t, "a bucket was made", name)
	}
	d.registered()
	d.ctl(0, "users", "status")
	_, err := d.js.KeyValue(t.Context(), dirsync.Bucket)
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
}

// TestRedisHangs: an operator is not kept waiting for half a minute, nor told of a
// timeout of nobody knows what.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	r := testenv.StartRedis(t)
	d := &desk{t: t, environ: []string{"WRITEBACK_REDIS_URL=" + r.URL(), "WRITEBACK_NATS_URL=nats://127.0.0.1:1"}}
	require.NoError(t, r.Pause())
	for _, args := range [][]string{{"lane", "show", uuid.NewString()}, {"shards"}} {
		_, errOut := d.ctl(1, args...)
		require.Contains(t, errOut, "writeback: redis: no answer within 4s", args)
		require.Contains(t, errOut, "writeback doctor", args)
	}
}

// TestRedisRefuses: what Redis says of a password is told.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	r := testenv.StartRedis(t)
	d := &desk{t: t, environ: []string{"WRITEBACK_REDIS_URL=redis://somebody:else@" + r.Addr(), "WRITEBACK_NATS_URL=nats://127.0.0.1:1"}}
	for _, args := range [][]string{{"lane", "show", uuid.NewString()}, {"shards"}} {
		_, errOut := d.ctl(1, args...)
		require.Contains(t, errOut, "writeback: redis: WRONGPASS", args)
	}
}

// TestRebuild has a process that fills shards, as a worker does.
func TestRebuild(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine := operation.ShardOf(d.conn)
	before := asJSON[[]shardView](d, "shards")[mine].Generation
	restorer := work.NewRestorer(d.store, natsq.NewHistory(d.js), work.RestoreConfig{
		Settle: time.Millisecond, LongestCalls: func() (none [operation.Shards]time.Duration) { return none },
	}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if missing, err := d.store.Missing(ctx); err == nil && len(missing) > 0 {
				_ = restorer.Restore(ctx, missing) // tried again
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	out, progress := d.ctl(0, "rebuild", "--shard", fmt.Sprint(mine), "--yes")
	require.Contains(t, out, "1 shards rebuilt")
	require.NotContains(t, progress, "writeback:")
	after := asJSON[[]shardView](d, "shards")[mine]
	require.Equal(t, "open", after.State)
	require.NotEqual(t, before, after.Generation)
	require.Equal(t, 1, after.Outstanding)
	d.ctl(0, "rebuild", "--all", "--yes")
	require.Equal(t, operation.Pending, asJSON[operationView](d, "operation", "get", d.conn.String(), d.op.ID.String()).Status)
}

func TestRebuild_GivesUpInTime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	_, errOut := d.ctl(1, "rebuild", "--shard", "3", "--yes", "--timeout", "300ms")
	require.Contains(t, errOut, "missing 1")
	require.Contains(t, errOut, "it goes on without us")
}

func TestDead(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out, _ := d.ctl(0, "deadletter", "list")
	require.Contains(t, out, "0 of 0")
	for i := range 3 {
		m := nats.NewMsg(natsq.SubjectDead)
		m.Data = []byte(secretName)
		m.Header.Set("Writeback-Reason", fmt.Sprint("reason ", i))
		m.Header.Set("Writeback-Subject", natsq.SubjectQuiet)
		_, err := d.js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
	}
	list := asJSON[[]deadView](d, "deadletter", "list", "--limit", "2")
	require.Len(t, list, 2)
	require.Equal(t, "reason 2", list[0].Reason)
	require.Empty(t, list[0].Payload)
	out, _ = d.ctl(0, "deadletter", "show", "2")
	require.Contains(t, out, "reason 1")
	require.NotContains(t, out, secretName)
	require.Equal(t, secretName, asJSON[deadView](d, "deadletter", "show", "2", "--payload").Payload)
	_, errOut := d.ctl(1, "deadletter", "show", "99")
	require.Contains(t, errOut, "there is no dead letter 99; see: writeback deadletter list")
}

func TestRegistryLoad(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "registry.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
partners:
  - id: 00000000-0000-7000-8000-0000000000d1
    name: Demo
    connections:
      - id: 00000000-0000-7000-8000-0000000000c1
        provider: samsara
        credentials: {access_token: hunter2}
        users: [{id: 00000000-0000-7000-8000-00000000a100, source_id: "7"}]
`), 0o600))
	counts := asJSON[map[string]countView](d, "connection", "import", file)
	require.Equal(t, countView{Created: 1}, counts["connections"])
	counts = asJSON[map[string]countView](d, "connection", "import", file)
	require.Equal(t, countView{Unchanged: 1}, counts["users"])
	require.NoError(t, os.WriteFile(file, []byte("partners:\n  - id: x\n    password: hunter2\n"), 0o600))
	_, errOut := d.ctl(1, "connection", "import", file)
	require.Contains(t, errOut, ":2:", "where the fault is")
	require.NotContains(t, errOut, "hunter2")
}
