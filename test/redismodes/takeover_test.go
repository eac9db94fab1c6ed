package redismodes

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// followed is how soon after a replica took over clients go to it: well below the minute
// after which the client library looks by itself where the slots are.
const followed = 20 * time.Second

// TestCluster_Takeover: a primary is killed and its replica takes over. The shards go on
// there, without waiting until the client library looks again by itself.
func TestCluster_Takeover(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	r := newRig(t, clusterURL(nodes))
	r.partial(nodes)
	all := r.accept()
	r.whole(operation.Shards)
	replica := r.replicate(nodes[0], nodes[1])
	nodes[0].Kill()
	require.Eventually(t, func() bool {
		role, err := replica.Do(t.Context(), "role").Slice()
		return err == nil && role[0] == "master"
	}, within, every)
	require.Eventually(t, func() bool {
		polled, err := r.store.Poll(t.Context(), 10)
		return err == nil && len(polled.Missing) == 0 && len(polled.Due) == len(all)
	}, followed, every, "the client still asks the primary that is gone")
	r.finish(all)
}

// replicate starts a replica of a node, with all that the node has.
func (r *rig) replicate(primary, other *testenv.RedisProcess) *redis.Client {
	r.t.Helper()
	ctx := r.t.Context()
	client := func(n *testenv.RedisProcess) *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: n.Addr()})
		r.t.Cleanup(func() { _ = c.Close() })
		return c
	}
	from, replica := client(primary), client(testenv.StartRedis(r.t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
	host, port, err := net.SplitHostPort(other.Addr())
	require.NoError(r.t, err)
	require.NoError(r.t, replica.ClusterMeet(ctx, host, port).Err())
	id, err := from.Do(ctx, "cluster", "myid").Text()
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool { return replica.ClusterReplicate(ctx, id).Err() == nil }, within, every, "it knows the cluster")
	require.Eventually(r.t, func() bool {
		n, err := from.Wait(ctx, 1, time.Second).Result()
		return err == nil && n == 1
	}, within, every)
	require.Eventually(r.t, func() bool { // and all nodes know that it is one, or none would vote for it
		for _, at := range []*redis.Client{from, client(other)} {
			text, err := at.ClusterNodes(ctx).Result()
			if err != nil || !strings.Contains(text, fmt.Sprintf("slave %s", id)) {
				return false
			}
		}
		return true
	}, within, every)
	return replica
}
