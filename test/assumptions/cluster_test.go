package assumptions_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// cluster starts two nodes with half of the slots each.
func cluster(t *testing.T) (addrs []string) {
	t.Helper()
	halves := [][2]int{{0, 8191}, {8192, 16383}}
	nodes := make([]*redis.Client, len(halves))
	for i, half := range halves {
		server := testenv.StartRedis(t, "--cluster-enabled", "yes")
		addrs = append(addrs, server.Addr())
		nodes[i] = redisClient(t, server.URL())
		require.NoError(t, nodes[i].ClusterAddSlotsRange(t.Context(), half[0], half[1]).Err())
	}
	host, port, err := net.SplitHostPort(addrs[1])
	require.NoError(t, err)
	require.NoError(t, nodes[0].ClusterMeet(t.Context(), host, port).Err())
	for _, node := range nodes {
		require.Eventually(t, func() bool {
			info := node.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") &&
				strings.Contains(info, "cluster_size:2")
		}, within, every)
	}
	return addrs
}

func clusterClient(t *testing.T, addrs []string) *redis.ClusterClient {
	t.Helper()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestRedis_HashTag: what follows the tag has no say in where a key lives, so
// everything of a shard is in one slot, and a script may derive its keys from the
// one it is given. Two declared tags are refused, and so is a key that another
// node has.
func TestRedis_HashTag(t *testing.T) {
	t.Parallel()
	c := clusterClient(t, cluster(t))
	slot := func(key string) int64 {
		n, err := c.ClusterKeySlot(t.Context(), key).Result()
		require.NoError(t, err)
		return n
	}
	nodes := map[bool]string{} // Whether the slot is in the upper half, to a prefix there.
	for shard := range operation.Shards {
		tag := twoDigits(shard)
		prefix := "wb:{" + tag + "}:"
		want := slot(tag)
		for _, rest := range []string{"", "gen", "due", "lane:" + uuid.NewString(), "mail:a:{b}", "op:}{"} {
			require.Equal(t, want, slot(prefix+rest), prefix+rest)
		}
		nodes[want > 8191] = prefix
	}
	require.Len(t, nodes, 2, "the shards are on both nodes")

	derived := redis.NewScript(`for i = 1, 3 do redis.call('SET', KEYS[1] .. i, i) end return redis.call('EXISTS', KEYS[1] .. 1, KEYS[1] .. 3)`)
	for _, prefix := range nodes {
		n, err := derived.Run(t.Context(), c, []string{prefix}).Int()
		require.NoError(t, err)
		require.Equal(t, 2, n)
	}
	err := c.Eval(t.Context(), `return 1`, []string{nodes[true], nodes[false]}).Err()
	require.ErrorContains(t, err, "CROSSSLOT")
	err = c.Eval(t.Context(), `return redis.call('SET', ARGV[1] .. 'a', 1)`, []string{nodes[true]}, nodes[false]).Err()
	require.ErrorContains(t, err, "non local key")
}

func twoDigits(n int) string { return strconv.Itoa(n/10) + strconv.Itoa(n%10) }

// TestScripts_RunInACluster takes one operation of every shard through its life,
// on a cluster in which a key of another shard may be on another node.
func TestScripts_RunInACluster(t *testing.T) {
	t.Parallel()
	store := redisstore.New(clusterClient(t, cluster(t)), redisstore.Config{})
	shards := make([]int, operation.Shards)
	for i := range shards {
		shards[i] = i
	}
	require.NoError(t, store.Begin(t.Context(), shards))
	missing, err := store.Missing(t.Context())
	require.NoError(t, err)
	require.Empty(t, missing)

	partner := uuid.Must(uuid.NewV7())
	accepted := map[int]operation.Accepted{}
	limits := redisstore.Limits{InFlight: 2, Call: 20 * time.Second, Life: time.Hour}
	for len(accepted) < operation.Shards {
		connection := uuid.Must(uuid.NewV7())
		shard := operation.ShardOf(connection)
		if _, ok := accepted[shard]; ok {
			continue
		}
		a := operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: partner, ConnectionID: connection,
			Provider: "catena_simulator", Resource: operation.ResourceUser, ResourceID: uuid.Must(uuid.NewV7()), SourceID: "7",
			Type: operation.Update, Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
			Key: &operation.Key{Scope: uuid.NewString(), Fingerprint: "f"},
		}
		accepted[shard] = a
		_, err := store.Accept(t.Context(), a, limits)
		require.NoError(t, err)
	}
	polled, err := store.Poll(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, polled.Missing)
	require.Len(t, polled.Due, operation.Shards)

	for _, a := range accepted {
		handed, err := store.Next(t.Context(), a.ConnectionID, limits, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
		require.NoError(t, err)
		require.Len(t, handed.Leases, 1)
		now := time.Now().UTC().Truncate(time.Microsecond)
		_, err = store.Record(t.Context(), redisstore.Outcome{
			Connection: a.ConnectionID, Decision: operation.Decision{Verdict: operation.Succeed}, Reach: redisstore.Answered,
			Attempt: operation.Attempt{
				ID: handed.Leases[0].AttemptID, OperationID: a.ID, StartedAt: now, EndedAt: now,
				Status: operation.AttemptSucceeded, StatusCode: 200,
			},
		})
		require.NoError(t, err)
		op, err := store.Get(t.Context(), a.ConnectionID, a.ID)
		require.NoError(t, err)
		require.Equal(t, operation.Succeeded, op.Status)
	}
	list, _, err := store.List(t.Context(), operation.Query{
		PartnerID: partner, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: operation.Shards + 1,
	})
	require.NoError(t, err)
	require.Len(t, list, operation.Shards)
}
