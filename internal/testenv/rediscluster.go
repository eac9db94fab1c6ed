package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const redisSlots = 16384

// RedisCluster starts a Redis Cluster of so many primaries without replicas, each
// with its part of the slots, and waits until all of them know all.
func RedisCluster(t testing.TB, primaries int) []*RedisProcess {
	t.Helper()
	nodes := make([]*RedisProcess, primaries)
	clients := make([]*redis.Client, primaries)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for i := range nodes {
		nodes[i] = StartRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		clients[i] = redis.NewClient(&redis.Options{Addr: nodes[i].Addr()})
		defer func() { _ = clients[i].Close() }()
		first, last := i*redisSlots/primaries, (i+1)*redisSlots/primaries-1
		if err := clients[i].ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			t.Fatalf("testenv: slots: %v", err)
		}
	}
	for _, n := range nodes[1:] {
		to, port, _ := net.SplitHostPort(n.Addr())
		if err := clients[0].ClusterMeet(ctx, to, port).Err(); err != nil {
			t.Fatalf("testenv: cluster meet: %v", err)
		}
	}
	want := []string{"cluster_state:ok", "cluster_slots_ok:" + strconv.Itoa(redisSlots), "cluster_size:" + strconv.Itoa(primaries)}
	for _, c := range clients {
		awaitInfo(ctx, t, "the cluster", func() (string, error) { return c.ClusterInfo(ctx).Result() }, want...)
	}
	return nodes
}

// awaitInfo waits until a text holds all that is wanted.
func awaitInfo(ctx context.Context, t testing.TB, what string, ask func() (string, error), want ...string) {
	t.Helper()
	for {
		text, err := ask()
		missing := ""
		for _, w := range want {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if err == nil && missing == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("testenv: %s is not ready: no %q in %q: %v", what, missing, text, err)
		case <-time.After(probeEvery):
		}
	}
}

// SentinelPrimary is the name under which Sentinels know the primary.
const SentinelPrimary = "writeback"

// Sentinels is a primary with a replica, both with an append-only file, and three
// Sentinels that make the replica the primary soon after the primary is gone.
type Sentinels struct {
	Primary, Replica *RedisProcess
	Sentinels        []*RedisProcess
}

// URL is the address in the form that redisurl.Parse reads.
func (s *Sentinels) URL() string {
	addrs := make([]string, len(s.Sentinels))
	for i, one := range s.Sentinels {
		addrs[i] = one.Addr()
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + SentinelPrimary
}

// RedisSentinels starts them and waits until each Sentinel knows the replica and the
// other Sentinels.
func RedisSentinels(t testing.TB) *Sentinels {
	t.Helper()
	durable := []string{"--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0"}
	s := &Sentinels{Primary: StartRedis(t, durable...)}
	to, port, _ := net.SplitHostPort(s.Primary.Addr())
	s.Replica = StartRedis(t, append(durable, "--replicaof", to+" "+port)...)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ask := func(p *RedisProcess, section string) func() (string, error) {
		return func() (string, error) {
			c := redis.NewClient(&redis.Options{Addr: p.Addr()})
			defer func() { _ = c.Close() }()
			return c.Info(ctx, section).Result()
		}
	}
	awaitInfo(ctx, t, "the replica", ask(s.Replica, "replication"), "master_link_status:up")
	const sentinels = 3
	for range sentinels {
		s.Sentinels = append(s.Sentinels, startSentinel(t, to, port))
	}
	for _, one := range s.Sentinels {
		awaitInfo(ctx, t, "a Sentinel", ask(one, "sentinel"), "status=ok", "slaves=1", "sentinels="+strconv.Itoa(sentinels))
	}
	return s
}

// startSentinel starts one on a file of its own, which it rewrites.
func startSentinel(t testing.TB, to, port string) *RedisProcess {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 5000\n", SentinelPrimary, to, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startRedisWith(t, dir, func(port int) []string {
		return []string{file, "--sentinel", "--port", strconv.Itoa(port), "--bind", host, "--dir", dir}
	})
}
