package redismodes

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/testenv"
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
