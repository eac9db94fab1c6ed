package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"writeback/internal/redisurl"
	"writeback/pkg/operation/redisstore"
)

// lookAtRedis looks at the server, its settings, and the shards.
func lookAtRedis(ctx context.Context, r *report, s settings, now func() time.Time) {
	if s.anyBroken("WRITEBACK_REDIS_URL", "WRITEBACK_TLS_CERT_FILE", "WRITEBACK_TLS_KEY_FILE") {
		return
	}
	rdb, err := redisurl.Open(s.RedisURL, s.RedisOptions(clientName, true))
	if err != nil {
		r.fail("redis", "correct WRITEBACK_REDIS_URL", "%s", err)
		return
	}
	defer func() { _ = rdb.Close() }()
	lookAtSentinels(ctx, r, s)
	before := now()
	theirs, err := rdb.Time(ctx).Result()
	after := now()
	if err != nil {
		r.fail("redis", whyAway(err)+"; meanwhile writes and reads are answered 503", "not reached: %s", err)
		return
	}
	r.ok("redis", "reached")
	compareClock(r, "redis", theirs, before, after, 0)
	servers(ctx, r, rdb)
	store := redisstore.New(rdb, redisstore.Config{})
	lookAtLibraries(ctx, r, store)
	lookAtChannels(ctx, r, store)
	writable := takesWrites(ctx, r, store)
	lookAtShards(ctx, r, store, writable)
	lookAtDeliveries(ctx, r, rdb, writable)
}

// whyAway tells one that refuses us and one that hangs from one that is not there: starting
// it helps only the last, and stopping the second is not always wise.
func whyAway(err error) string {
	var failed net.Error
	var dial *net.OpError
	switch {
	case refused(err):
		return whatHelps(err, "correct WRITEBACK_REDIS_URL")
	case whyNoTLS(err) != "":
		return whyNoTLS(err)
	case errors.As(err, &dial) && dial.Op == "dial":
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &failed) && failed.Timeout():
		return "it takes connections and answers nothing: see whether its process is stopped, its disk hangs, or its one core is full (its log, `top`), " +
			"and whether it speaks TLS as WRITEBACK_REDIS_URL says (`rediss`)"
	}
	return "start redis-server, or correct WRITEBACK_REDIS_URL"
}

// refused says that a server answered, and what it answered is the error.
func refused(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer)
}

// refusals are the first words of what Redis refuses with, and what helps.
var refusals = map[string]string{
	"OOM":        "raise maxmemory; `noeviction` must stay",
	"MISCONF":    "give Redis's disk room and see its log; it takes writes again by itself once it can write its file",
	"NOREPLICAS": "bring a replica back: min-replicas-to-write wants one, so that a failover loses nothing",
	"READONLY":   "name the primary in WRITEBACK_REDIS_URL, or its Sentinels",
	"NOPERM":     "let the user of WRITEBACK_REDIS_URL do what the error names, with the keys wb:*, wh:* and wbhook:* (`ACL SETUSER`)",

	"WRONGPASS":   "give WRITEBACK_REDIS_URL the user and the password that Redis takes",
	"NOAUTH":      "give WRITEBACK_REDIS_URL the user and the password that Redis takes",
	"LOADING":     "wait: Redis still reads its file",
	"MOVED":       "it is a node of a Redis Cluster: name it by redis+cluster:// in WRITEBACK_REDIS_URL",
	"CLUSTERDOWN": "bring the primaries back that `redis-cli cluster nodes` shows as failed",
}

// whatHelps says what to do about a refusal of Redis, or otherwise if it is none that we know.
func whatHelps(err error, otherwise string) string {
	code, _, _ := strings.Cut(err.Error(), " ")
	if fix, ok := refusals[code]; ok {
		return fix
	}
	return otherwise
}

// takesWrites says whether Redis takes writes; reads may be all that it answers.
func takesWrites(ctx context.Context, r *report, store *redisstore.Store) bool {
	const check = "redis writes"
	err := store.TakesWrites(ctx)
	if err == nil {
		r.ok(check, "are taken")
		return true
	}
	if !refused(err) {
		r.fail(check, "bring the server back that does not answer; meanwhile writes of its shards are answered 503, and nothing of them is handed out",
			"not every server answers: %s", err)
		return false
	}
	meanwhile := "; meanwhile writes are answered 503, and nothing is handed out"
	if redis.HasErrorPrefix(err, "OOM") {
		meanwhile = "; meanwhile new writes are answered 503, and what was accepted goes on"
	}
	r.fail(check, whatHelps(err, "see the log of redis-server")+meanwhile, "are refused: %s", err)
	return false
}

// servers looks at each server that holds data.
func servers(ctx context.Context, r *report, rdb redis.UniversalClient) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		text, err := rdb.InfoMap(ctx).Result()
		if err != nil {
			r.fail("redis", "let the user of WRITEBACK_REDIS_URL run INFO", "INFO is refused: %s", err)
			return
		}
		lookAtServer(r, infoOf(text), "")
		lookAtPages(ctx, r, rdb)
		return
	}
	var mu sync.Mutex // the primaries are asked beside each other
	answers := map[string]info{}
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
		text, err := one.InfoMap(ctx).Result()
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			answers[one.Options().Addr] = infoOf(text)
		}
		return err
	})
	for _, addr := range slices.Sorted(maps.Keys(answers)) {
		lookAtServer(r, answers[addr], " of "+addr)
	}
	if err != nil {
		r.fail("redis", "bring it back, or have a replica take over: `redis-cli -h NODE cluster nodes` shows both", "a primary of the cluster does not answer INFO: %s", err)
	}
}

// info is the answer to INFO without its sections.
type info map[string]string

func infoOf(sections map[string]map[string]string) info {
	out := info{}
	for _, section := range sections {
		for name, value := range section {
			out[name] = value
		}
	}
	return out
}

func (i info) number(name string) float64 {
	n, _ := strconv.ParseFloat(i[name], 64)
	return n
}

// whose is " of host:port" where there are several servers.
func lookAtServer(r *report, i info, whose string) {
	if i["redis_version"] == "" {
		r.fail("redis version", "install redis-server 7.0 or newer", "Redis%s does not tell its version: it is one in memory, as the development stack "+
			"has where there is no redis-server, and keeps nothing", whose)
		return
	}
	needVersion(r, "redis version", i["redis_version"], 7, 0, "redis-server")
	if policy := i["maxmemory_policy"]; policy != "noeviction" {
		r.fail("redis memory policy", "`redis-cli config set maxmemory-policy noeviction`, and the same in redis.conf",
			"maxmemory-policy%s is %q: Redis throws operations away when its memory is full", whose, policy)
	} else {
		r.ok("redis memory policy", "noeviction%s", whose)
	}
	if most := i.number("maxmemory"); most > 0 && i.number("used_memory") > 0.8*most {
		r.warn("redis memory", "raise maxmemory: a full Redis refuses writes", "%.0f %% of maxmemory%s is used", 100*i.number("used_memory")/most, whose)
	}
	if i["aof_enabled"] != "1" {
		r.warn("redis persistence", "set `appendonly yes` (docs/durability.md); without it a restart of Redis means a rebuild from the streams",
			"the append-only file%s is off", whose)
	} else {
		r.ok("redis persistence", "the append-only file%s is on", whose)
	}
	if i["role"] == "slave" {
		r.fail("redis role", "name the primary in WRITEBACK_REDIS_URL, or its Sentinels", "the server%s is a replica, which takes no writes", whose)
	}
}

// lookAtPages says what memory could be saved. Where CONFIG is not allowed, as with
// many hosted servers, there is nothing to say.
func lookAtPages(ctx context.Context, r *report, rdb redis.UniversalClient) {
	const name, least = "hash-max-listpack-value", 2048
	v, err := rdb.ConfigGet(ctx, name).Result()
	if err != nil {
		return
	}
	if n, err := strconv.Atoi(v[name]); err == nil && n < least {
		r.warn("redis pages", "set `"+name+" 4096` (deploy/redis/redis.conf)", "%s is %d: ended operations take about 60 bytes more each", name, n)
		return
	}
	r.ok("redis pages", "%s %s", name, v[name])
}

// lookAtLibraries tells of scripts that an upgrade has left. Where FUNCTION LIST is not
// allowed there is nothing to say.
func lookAtLibraries(ctx context.Context, r *report, store *redisstore.Store) {
	others, err := store.OtherLibraries(ctx)
	switch {
	case err != nil:
	case len(others) == 0:
		r.ok("redis functions", "none of other versions")
	default:
		r.warn("redis functions", "when no api and no worker of those versions runs any more: `redis-cli function delete "+others[0]+"`",
			"libraries of other versions are there: %s", strings.Join(others, ", "))
	}
}

// lookAtChannels says whether operations can be handed to free slots. Without that they take
// longer to their first attempt, and nothing else changes.
func lookAtChannels(ctx context.Context, r *report, store *redisstore.Store) {
	if err := store.MayHandOver(ctx); err != nil {
		fix := "bring the server back that does not answer"
		if refused(err) {
			fix = "let the user of WRITEBACK_REDIS_URL use them: `&wb:* +publish +subscribe +unsubscribe +pubsub`"
		}
		r.warn("redis channels", fix, "operations are not handed to free slots at once: %s", err)
		return
	}
	r.ok("redis channels", "may be used")
}

// needVersion fails if a server is older than major.minor.
func needVersion(r *report, check, have string, major, minor int, server string) {
	parts := strings.SplitN(have, ".", 3)
	var n [2]int
	for i := range min(len(parts), len(n)) {
		n[i], _ = strconv.Atoi(parts[i])
	}
	if n[0] < major || n[0] == major && n[1] < minor {
		r.fail(check, fmt.Sprintf("install %s %d.%d or newer", server, major, minor), "%q is older than %d.%d", have, major, minor)
		return
	}
	r.ok(check, "%s", have)
}

const (
	// outboxWarn and outboxFail are for how long something may wait to be published. Below a
	// second is normal.
	outboxWarn = 15 * time.Second
	outboxFail = 10 * time.Minute
	// beatWarn is after how long without a poll nobody is there, and dueFail for how long a
	// lane may be due. Below a second is normal.
	beatWarn = 15 * time.Second
	dueFail  = 10 * time.Second
)

// lookAtShards looks at what the store holds. Where it takes no writes, polls leave no
// trace.
func lookAtShards(ctx context.Context, r *report, store *redisstore.Store, writable bool) {
	shards, err := store.Shards(ctx, 1)
	whole := len(shards)
	shards = slices.DeleteFunc(shards, func(s redisstore.Shard) bool { return s.Err != nil })
	switch {
	case err != nil && len(shards) == 0 && !writable: // said above
		return
	case err != nil && len(shards) == 0:
		r.fail("shards", whatHelps(err, "see the log of redis-server"), "%s", err)
		return
	case err != nil:
		r.fail("shards", whatHelps(err, "bring their servers back, or have replicas take over (`redis-cli cluster nodes`)")+
			"; `writeback shards` lists them. The others go on, and what follows is of them",
			"%d of %d cannot be asked: %s", whole-len(shards), whole, err)
	}
	missing, rebuilding, beat := 0, 0, time.Duration(-1)
	for _, s := range shards {
		switch {
		case s.Generation == "" && s.Rebuilding, s.Generation != "" && s.History:
			rebuilding++
		case s.Generation == "":
			missing++
		}
		if s.Beat >= 0 && (beat < 0 || s.Beat < beat) {
			beat = s.Beat
		}
	}
	if missing > 0 {
		r.fail("generation", "start a worker or api that reaches NATS and Redis: it reads the shards again from the streams, or begins new ones",
			"%d of %d shards have none, so they refuse everything", missing, len(shards))
	}
	if rebuilding > 0 {
		r.warn("rebuild", "wait; `writeback shards` shows how far it is", "%d of %d shards are being rebuilt", rebuilding, len(shards))
	}
	if missing+rebuilding == 0 {
		r.ok("generation", "all %d shards have one", len(shards))
	}
	depth := redisstore.DepthOf(shards)
	switch {
	case !writable: // said above
	case beat < 0 || beat > beatWarn:
		r.warn("workers", "start a worker", "no worker or api has polled the store lately")
	case depth.DueAge > dueFail: // an api polls, too
		r.fail("workers", "start a worker with the role operations; if they run, see WritebackDueAge in docs/runbook.md",
			"%d lanes are due and nobody takes them, the first for %s", depth.LanesDue, depth.DueAge.Round(time.Second))
	default:
		r.ok("workers", "no lane is due for long; a worker or api polled the store %s ago", beat.Round(time.Millisecond))
	}
	lookAtOutbox(r, depth)
}

// lookAtDeliveries looks at the queue of webhooks. Where no worker ever had that role there
// is none.
func lookAtDeliveries(ctx context.Context, r *report, rdb redis.UniversalClient, writable bool) {
	const check, start = "webhook queue", "start a worker with the role webhooks"
	shards, err := redisstore.New(rdb, redisstore.Config{Prefix: "wh"}).Shards(ctx, 1)
	// Rights are of the keys: those of operations may be there without these.
	if mayNot := cmp.Or(err, rdb.Exists(ctx, "wbhook:").Err()); redis.HasErrorPrefix(mayNot, "NOPERM") {
		r.fail(check, whatHelps(mayNot, ""), "its keys are refused: %s", mayNot)
		return
	}
	if err != nil {
		return // said of operations
	}
	switch d := redisstore.DepthOf(shards); {
	case d.Missing == len(shards):
	case d.Rebuilding > 0:
		r.warn(check, "wait", "%d of %d shards are being rebuilt", d.Rebuilding, len(shards))
	case d.Missing > 0:
		r.fail(check, start+" that reaches NATS and Redis: it reads the shards again from the streams",
			"%d of %d shards have no data, so their webhooks wait", d.Missing, len(shards))
	case !writable: // said above
	case !slices.ContainsFunc(shards, func(s redisstore.Shard) bool { return s.Beat >= 0 }): // filled, and by nobody since
		r.warn(check, start, "no worker with the role webhooks has polled it yet")
	case d.Beat > beatWarn:
		r.warn(check, start, "no worker with the role webhooks has polled it for %s", d.Beat.Round(time.Second))
	case d.DueAge > dueFail:
		r.fail(check, start+"; if they run, see WritebackDueAge in docs/runbook.md",
			"%d webhooks are due and nobody takes them, the first for %s", d.LanesDue, d.DueAge.Round(time.Second))
	case d.OutboxAge > outboxWarn:
		r.warn(check, unpublished, "%d deliveries wait to be published, the first for %s", d.Outbox, d.OutboxAge.Round(time.Second))
	default:
		r.ok(check, "no webhook is due for long; a worker polled it %s ago", d.Beat.Round(time.Millisecond))
	}
}

const unpublished = "see why nothing is published: NATS away, its disk full (see its log; it needs a restart once there is room), a full or missing stream, no worker"

func lookAtOutbox(r *report, d redisstore.Depth) {
	switch age := d.OutboxAge.Round(time.Second); {
	case d.OutboxAge > outboxFail:
		r.fail("outbox", unpublished, "%d operations wait to be published, the first for %s", d.Outbox, age)
	case d.OutboxAge > outboxWarn:
		r.warn("outbox", unpublished, "%d operations wait to be published, the first for %s", d.Outbox, age)
	default:
		r.ok("outbox", "%d operations, none overdue for long", d.Outbox)
	}
}
