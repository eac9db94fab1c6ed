package redismodes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/redisurl"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

var limits = redisstore.Limits{InFlight: 2, Call: 20 * time.Second, Life: time.Hour}

// rig is a store on some form of Redis, with one connection of each shard.
type rig struct {
	t           *testing.T
	rdb         redis.UniversalClient
	store       *redisstore.Store
	partner     uuid.UUID
	connections []uuid.UUID // by shard
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	rdb, err := redisurl.Open(url, redisurl.Options{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	r := &rig{
		t: t, rdb: rdb, store: redisstore.New(rdb, redisstore.Config{}), partner: uuid.Must(uuid.NewV7()),
		connections: make([]uuid.UUID, operation.Shards),
	}
	require.NoError(t, r.store.Begin(t.Context(), shards()))
	for left := operation.Shards; left > 0; {
		id := uuid.Must(uuid.NewV7())
		if shard := operation.ShardOf(id); r.connections[shard] == uuid.Nil {
			r.connections[shard] = id
			left--
		}
	}
	return r
}

// accept accepts one operation of each shard.
func (r *rig) accept() []operation.Accepted {
	r.t.Helper()
	all := make([]operation.Accepted, operation.Shards)
	for shard, connection := range r.connections {
		all[shard] = operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, ConnectionID: connection,
			Provider: "catena_simulator", Resource: operation.ResourceUser, ResourceID: uuid.Must(uuid.NewV7()), SourceID: "7",
			Type: operation.Update, Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
			Key: &operation.Key{Scope: uuid.NewString(), Fingerprint: "f"},
		}
		_, err := r.store.Accept(r.t.Context(), all[shard], limits)
		require.NoError(r.t, err)
	}
	return all
}

// finish takes each operation to its success, with what the streams confirm.
func (r *rig) finish(all []operation.Accepted) {
	r.t.Helper()
	var acks []redisstore.Ack
	for _, a := range all {
		r.attempt(a)
		acks = append(acks, redisstore.Ack{Connection: a.ConnectionID, ID: a.ID, Accepted: true, Rows: 1, Final: true})
	}
	require.NoError(r.t, r.store.Acked(r.t.Context(), acks))
	for _, a := range all {
		op, err := r.store.Get(r.t.Context(), a.ConnectionID, a.ID)
		require.NoError(r.t, err)
		require.Equal(r.t, operation.Succeeded, op.Status)
		require.Len(r.t, op.Attempts, 1)
	}
}

func (r *rig) attempt(a operation.Accepted) {
	r.t.Helper()
	handed, err := r.store.Next(r.t.Context(), a.ConnectionID, limits, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(r.t, err)
	require.Len(r.t, handed.Leases, 1)
	now := time.Now().UTC().Truncate(time.Microsecond)
	_, err = r.store.Record(r.t.Context(), redisstore.Outcome{
		Connection: a.ConnectionID, Decision: operation.Decision{Verdict: operation.Succeed}, Reach: redisstore.Answered,
		Attempt: operation.Attempt{
			ID: handed.Leases[0].AttemptID, OperationID: a.ID, StartedAt: now, EndedAt: now,
			Status: operation.AttemptSucceeded, StatusCode: 200,
		},
	})
	require.NoError(r.t, err)
}

func (r *rig) listed() int {
	r.t.Helper()
	list, _, err := r.store.List(r.t.Context(), operation.Query{
		PartnerID: r.partner, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: 10 * operation.Shards,
	})
	require.NoError(r.t, err)
	return len(list)
}

// whole reads everything that pipelines over all shards read.
func (r *rig) whole(outstanding int) {
	r.t.Helper()
	polled, err := r.store.Poll(r.t.Context(), 10)
	require.NoError(r.t, err)
	require.Empty(r.t, polled.Missing)
	require.Len(r.t, polled.Due, min(outstanding, operation.Shards))
	shards, err := r.store.Shards(r.t.Context(), 16)
	require.NoError(r.t, err)
	require.Equal(r.t, outstanding, redisstore.DepthOf(shards).Outstanding)
	n, err := r.store.Outstanding(r.t.Context(), r.connections[:])
	require.NoError(r.t, err)
	require.Equal(r.t, outstanding, n)
}

func clusterURL(nodes []*testenv.RedisProcess) string {
	addrs := make([]string, len(nodes))
	for i, n := range nodes {
		addrs[i] = n.Addr()
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// TestCluster_StoreLifecycle: shards of all three nodes in each pipeline.
func TestCluster_StoreLifecycle(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	r := newRig(t, clusterURL(nodes))
	require.IsType(t, &redis.ClusterClient{}, r.rdb)
	r.spread(nodes)
	first := r.accept()
	r.whole(operation.Shards)
	r.finish(first)
	r.whole(0)
	require.Equal(t, operation.Shards, r.listed())
}

// spread makes sure that no node has all the shards: the test would prove nothing.
func (r *rig) spread(nodes []*testenv.RedisProcess) {
	r.t.Helper()
	for _, n := range nodes {
		c := redis.NewClient(&redis.Options{Addr: n.Addr()})
		size, err := c.DBSize(r.t.Context()).Result()
		require.NoError(r.t, err)
		require.NoError(r.t, c.Close())
		require.NotZero(r.t, size, "a node without a shard")
	}
}

// TestCluster_ForgottenScripts: one node has lost its scripts, as after a restart,
// while the others have them. Each call that runs scripts in a pipeline goes on.
func TestCluster_ForgottenScripts(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	r := newRig(t, clusterURL(nodes))
	ops := r.accept()
	forget := func(n int) {
		c := redis.NewClient(&redis.Options{Addr: nodes[n].Addr()})
		defer func() { _ = c.Close() }()
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
	}
	forget(0)
	r.whole(operation.Shards)
	forget(1)
	claimed, err := r.store.Claim(t.Context(), shards(), 100, time.Minute)
	require.NoError(t, err)
	require.Empty(t, claimed, "nothing is overdue yet")
	forget(2)
	r.finish(ops)
	forget(1)
	more := r.accept()
	forget(0)
	r.finish(more)
}

// TestCluster_MovedSlots: the shards of a node go to another one while the store
// works, and the client follows.
func TestCluster_MovedSlots(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	r := newRig(t, clusterURL(nodes))
	ops := r.accept()
	moved := r.move(nodes[0], nodes[1], "wb:{00}:", "wb:{01}:", "wb:{02}:", "wb:{03}:", "wb:{04}:", "wb:{05}:", "wb:{06}:", "wb:{07}:")
	require.NotZero(t, moved, "the node had none of the shards: the test proves nothing")
	r.whole(operation.Shards)
	r.finish(ops)
	require.Equal(t, operation.Shards, r.listed())
}

// move takes the slots of the keys from one node to another, if they are there.
func (r *rig) move(from, to *testenv.RedisProcess, keys ...string) (moved int) {
	r.t.Helper()
	ctx := r.t.Context()
	source, target := redis.NewClient(&redis.Options{Addr: from.Addr()}), redis.NewClient(&redis.Options{Addr: to.Addr()})
	defer func() { _, _ = source.Close(), target.Close() }()
	id := func(c *redis.Client) string {
		text, err := c.Do(ctx, "cluster", "myid").Text()
		require.NoError(r.t, err)
		return text
	}
	sourceID, targetID := id(source), id(target)
	host, port, _ := strings.Cut(to.Addr(), ":")
	for _, key := range keys {
		slot, err := source.ClusterKeySlot(ctx, key).Result()
		require.NoError(r.t, err)
		here, err := source.ClusterGetKeysInSlot(ctx, int(slot), 10000).Result()
		require.NoError(r.t, err)
		if len(here) == 0 {
			continue
		}
		require.NoError(r.t, target.Do(ctx, "cluster", "setslot", slot, "importing", sourceID).Err())
		require.NoError(r.t, source.Do(ctx, "cluster", "setslot", slot, "migrating", targetID).Err())
		args := []any{"migrate", host, port, "", 0, 10000, "keys"}
		for _, k := range here {
			args = append(args, k)
		}
		require.NoError(r.t, source.Do(ctx, args...).Err())
		for _, c := range []*redis.Client{target, source} {
			require.NoError(r.t, c.Do(ctx, "cluster", "setslot", slot, "node", targetID).Err())
		}
		moved++
	}
	return moved
}

// TestSentinel_StoreSurvivesFailover: what is outstanding, and what has ended, is
// there after the replica has taken over, and can be worked on.
func TestSentinel_StoreSurvivesFailover(t *testing.T) {
	t.Parallel()
	s := testenv.RedisSentinels(t)
	r := newRig(t, s.URL())
	ended := r.accept()
	r.finish(ended)
	outstanding := r.accept()
	r.whole(operation.Shards)
	r.replicated(s)

	s.Primary.Kill()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return r.role(ctx) == s.Replica.Addr() && r.rdb.Set(ctx, "probe", 1, 0).Err() == nil
	}, within, every)
	r.whole(operation.Shards)
	r.finish(outstanding)
	require.Equal(t, 2*operation.Shards, r.listed())
}

// replicated waits until the replica has all that the primary has.
func (r *rig) replicated(s *testenv.Sentinels) {
	r.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Primary.Addr()})
	defer func() { _ = c.Close() }()
	require.Eventually(r.t, func() bool {
		text, err := c.Info(r.t.Context(), "replication").Result()
		_, offset, _ := strings.Cut(text, "master_repl_offset:")
		offset, _, _ = strings.Cut(offset, "\r\n")
		return err == nil && offset != "" && strings.Contains(text, "offset="+offset+",")
	}, within, every)
}

// role gives the address of the server that the client works with, if it is a primary.
func (r *rig) role(ctx context.Context) string {
	one, ok := r.rdb.(*redis.Client)
	if !ok {
		return ""
	}
	text, err := one.Info(ctx, "replication").Result()
	if err != nil || !strings.Contains(text, "role:master") {
		return ""
	}
	server, err := one.Info(ctx, "server").Result()
	if errors.Is(err, context.DeadlineExceeded) || err != nil {
		return ""
	}
	_, port, _ := strings.Cut(server, "tcp_port:")
	port, _, _ = strings.Cut(port, "\r\n")
	return "127.0.0.1:" + port
}

// shards lists all of them.
func shards() []int {
	all := make([]int, operation.Shards)
	for i := range all {
		all[i] = i
	}
	return all
}

// One primary is away and nobody takes its place: the shards of the others go on.
func TestCluster_OnePrimaryAway(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	r := newRig(t, clusterURL(nodes))
	r.partial(nodes)
	all := r.accept()
	_, err := r.store.Poll(t.Context(), 10)
	require.NoError(t, err)
	away := r.onNode(nodes[0])
	healthy := operation.Shards - len(away)
	nodes[0].Kill()

	polled, err := r.store.Poll(t.Context(), 10)
	require.Error(t, err, "it says that it is not whole")
	require.Len(t, polled.Due, healthy)
	require.Empty(t, polled.Missing, "of what cannot be asked nothing is said")
	asked, err := r.store.Shards(t.Context(), 16)
	require.Error(t, err)
	require.Len(t, asked, operation.Shards)
	for _, s := range asked {
		require.Equal(t, away[s.Number], s.Err != nil, "shard %d: %v", s.Number, s.Err)
	}
	depth := redisstore.DepthOf(asked)
	require.Equal(t, healthy, depth.Outstanding)
	require.Zero(t, depth.Missing)
	_, without, err := r.store.DueLanes(t.Context())
	require.Error(t, err)
	require.Len(t, without, len(away))
	require.Eventually(t, func() bool { // what was accepted is overdue after two seconds
		due, err := r.store.Overdue(t.Context())
		return err != nil && len(due) == healthy
	}, 20*time.Second, 50*time.Millisecond)
	claimed, err := r.store.Claim(t.Context(), shards(), 100, time.Minute)
	require.Error(t, err)
	require.Len(t, claimed, healthy)
	acks := make([]redisstore.Ack, len(all))
	for i, a := range all {
		acks[i] = redisstore.Ack{Connection: a.ConnectionID, ID: a.ID, Accepted: true}
	}
	require.Error(t, r.store.Acked(t.Context(), acks))
	for shard := range all {
		if !away[shard] {
			n, err := r.rdb.ZCard(t.Context(), r.key(shard)).Result()
			require.NoError(t, err)
			require.Zero(t, n, "what is confirmed leaves the outbox")
		}
	}

	// Calls for all shards at once share pipelines: those for the others are answered.
	r.getAll(all, away)
}

// getAll reads all operations at once: those of the shards that are there are answered.
func (r *rig) getAll(all []operation.Accepted, away map[int]bool) {
	r.t.Helper()
	var g sync.WaitGroup
	errs := make([]error, operation.Shards)
	for shard, a := range all {
		g.Go(func() {
			ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
			defer cancel()
			_, errs[shard] = r.store.Get(ctx, a.ConnectionID, a.ID)
		})
	}
	g.Wait()
	for shard, err := range errs {
		require.Equal(r.t, away[shard], err != nil, "shard %d: %v", shard, err)
	}
}

// A primary that hangs keeps nobody waiting but the callers of its own shards.
func TestCluster_OnePrimaryHangs(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	r := newRig(t, clusterURL(nodes))
	r.partial(nodes)
	all := r.accept()
	away := r.onNode(nodes[0])
	require.NoError(t, nodes[0].Pause())
	t.Cleanup(func() { _ = nodes[0].Resume() })
	require.Eventually(t, func() bool { // after which it is known
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		polled, err := r.store.Poll(ctx, 10)
		return err != nil && len(polled.Due) == len(all)-len(away)
	}, 30*time.Second, 10*time.Millisecond)

	// A call of each shard that hangs is under way, all the time.
	stop := make(chan struct{})
	var g sync.WaitGroup
	for shard, a := range all {
		if away[shard] {
			g.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = r.store.Get(t.Context(), a.ConnectionID, a.ID)
					}
				}
			})
		}
	}
	for shard, a := range all {
		if !away[shard] {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := r.store.Get(ctx, a.ConnectionID, a.ID)
			cancel()
			require.NoError(t, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	polled, err := r.store.Poll(ctx, 10)
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "it does not wait for long")
	cancel()
	require.Len(t, polled.Due, len(all)-len(away))
	close(stop)
	require.NoError(t, nodes[0].Resume())
	g.Wait()
	require.Eventually(t, func() bool {
		polled, err := r.store.Poll(t.Context(), 10)
		return err == nil && len(polled.Due) == len(all)
	}, 20*time.Second, 50*time.Millisecond, "and it is taken back")
	r.getAll(all, nil)
}

// partial lets the nodes go on when one of them is away.
func (r *rig) partial(nodes []*testenv.RedisProcess) {
	r.t.Helper()
	for _, n := range nodes {
		one := redis.NewClient(&redis.Options{Addr: n.Addr()})
		require.NoError(r.t, one.ConfigSet(r.t.Context(), "cluster-require-full-coverage", "no").Err())
		require.NoError(r.t, one.Close())
	}
}

// onNode gives the shards that lie on a node.
func (r *rig) onNode(n *testenv.RedisProcess) map[int]bool {
	r.t.Helper()
	on := map[int]bool{}
	for shard := range operation.Shards {
		node, err := r.cluster().MasterForKey(r.t.Context(), r.key(shard))
		require.NoError(r.t, err)
		if node.Options().Addr == n.Addr() {
			on[shard] = true
		}
	}
	require.NotEmpty(r.t, on)
	return on
}

func (r *rig) cluster() *redis.ClusterClient {
	c, ok := r.rdb.(*redis.ClusterClient)
	require.True(r.t, ok)
	return c
}

// key is that of a shard's outbox.
func (r *rig) key(shard int) string { return fmt.Sprintf("wb:{%02d}:outbox", shard) }
