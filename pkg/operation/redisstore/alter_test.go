package redisstore_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// edit replaces a piece of the library's text, wherever it is.
type edit struct{ old, new string }

// virtualTime makes the scripts read a clock that the test moves.
var virtualTime = edit{"local T = call('TIME')", "local T = call('HMGET', 'clock', 's', 'us')"}

// altered rewrites the library on its way to Redis, so that the store runs as it ships
// while a rule is missing from its scripts. The altered one has a name of its own.
type altered struct {
	mu     sync.Mutex
	edits  []edit
	done   []bool
	suffix string
}

func alter(rdb *redis.Client, edits ...edit) *altered {
	a := &altered{edits: edits, done: make([]bool, len(edits)), suffix: "_" + hash(fmt.Sprint(edits))[:12]}
	rdb.AddHook(a)
	return a
}

// requireFound fails when an edit met no script: the rule it removes is written
// in another way by now.
func (a *altered) requireFound(t testing.TB) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, e := range a.edits {
		require.True(t, a.done[i], "the library does not hold the text that the test takes out: %s", e.old)
	}
}

func (a *altered) source(text string) string {
	out := text
	for i, e := range a.edits {
		if strings.Contains(out, e.old) {
			out = strings.ReplaceAll(out, e.old, e.new)
			a.done[i] = true
		}
	}
	name := libraryName.FindString(text)
	return strings.ReplaceAll(out, name, a.renamed(name))
}

var libraryName = regexp.MustCompile(`writeback_[0-9a-f]{12}`)

func (a *altered) renamed(name string) string {
	return libraryName.ReplaceAllStringFunc(name, func(found string) string { return found + a.suffix })
}

func hash(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (a *altered) rewrite(cmd redis.Cmder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	args := cmd.Args()
	switch cmd.Name() {
	case "fcall":
		args[1] = a.renamed(args[1].(string))
	case "function":
		args[len(args)-1] = a.source(args[len(args)-1].(string))
	}
}

// DialHook changes nothing.
func (a *altered) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook rewrites one command.
func (a *altered) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		a.rewrite(cmd)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook rewrites the commands of a pipeline.
func (a *altered) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			a.rewrite(cmd)
		}
		return next(ctx, cmds)
	}
}

// clocked is a fixture whose scripts read the test's clock, with some rules taken
// out.
type clocked struct {
	*fixture
	altered *altered
	now     int64 // µs
}

func newClocked(t *testing.T, cfg redisstore.Config, edits ...edit) *clocked {
	t.Helper()
	rdb := client(t, testenv.Redis(t))
	c := &clocked{
		fixture: &fixture{
			t: t, rdb: rdb, store: redisstore.New(rdb, cfg),
			partner: uuid.Must(uuid.NewV7()), conn: uuid.Must(uuid.NewV7()), limits: roomy,
		},
		altered: alter(rdb, append([]edit{virtualTime}, edits...)...),
		now:     time.Now().UnixMicro(),
	}
	c.pass(0)
	require.NoError(t, c.store.Begin(t.Context(), []int{operation.ShardOf(c.conn)}))
	return c
}

// pass moves the clock.
func (c *clocked) pass(d time.Duration) {
	c.t.Helper()
	c.now += d.Microseconds()
	require.NoError(c.t, setClock(c.t.Context(), c.rdb, c.now))
}

func setClock(ctx context.Context, rdb *redis.Client, us int64) error {
	return rdb.HSet(ctx, "clock", "s", us/1_000_000, "us", us%1_000_000).Err()
}

// wipe takes everything but the clock.
func (c *clocked) wipe() {
	c.t.Helper()
	require.NoError(c.t, c.rdb.FlushAll(c.t.Context()).Err())
	c.pass(0)
}

// snapshot copies everything but the clock.
func (c *clocked) snapshot() map[string]string {
	c.t.Helper()
	out := map[string]string{}
	keys, err := c.rdb.Keys(c.t.Context(), "wb:*").Result()
	require.NoError(c.t, err)
	for _, key := range keys {
		out[key] = c.rdb.Dump(c.t.Context(), key).Val()
	}
	return out
}

// rollBack puts a snapshot in the place of what is there.
func (c *clocked) rollBack(snapshot map[string]string) {
	c.t.Helper()
	c.wipe()
	for key, v := range snapshot {
		require.NoError(c.t, c.rdb.Restore(c.t.Context(), key, 0, v).Err())
	}
}

// rebuild fills the shard from facts, as the restorer does.
func (c *clocked) rebuild(quarantine time.Duration, facts ...redisstore.Fact) {
	c.t.Helper()
	b, err := c.store.TakeRebuild(c.t.Context(), []int{operation.ShardOf(c.conn)})
	require.NoError(c.t, err)
	require.Len(c.t, b.Shards, 1)
	_, err = b.Put(c.t.Context(), facts)
	require.NoError(c.t, err)
	require.NoError(c.t, b.Commit(c.t.Context(), func(int) time.Duration { return quarantine }, nil, false))
}

// said is what the accepted message says of an operation.
func said(a operation.Accepted, place operation.Place) redisstore.Fact {
	return redisstore.Fact{Operation: operation.Operation{
		Accepted: a, Place: place, Status: operation.Pending, UpdatedAt: place.CreatedAt(),
	}}
}
