// Package journal keeps, in Redis, what was sent to webhook endpoints: counts, log
// rows, the health that the breaker judges, and dead letters.
//
// All of it is bounded, per subscription and in time, and none of it is needed to
// deliver: a loss of Redis empties the journal and loses no waiting delivery. It
// keeps no bodies and nothing that an endpoint answered but its status code.
package journal

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/internal/webhook"
)

// Bounds of the journal.
const (
	// Kept is how long log rows and dead letters are kept.
	Kept = 14 * 24 * time.Hour
	// MostRows bounds the log rows of one subscription; older ones go first.
	MostRows = 10_000
	// MostDead bounds the dead letters of one subscription; older ones go first.
	MostDead = 100_000
)

// Journal is safe for concurrent use.
type Journal struct {
	rdb redis.UniversalClient
	now func() time.Time
	// mostDead is MostDead, but in tests.
	mostDead int
}

// New makes a journal on a client that the caller owns and closes. now is the clock;
// nil stands for time.Now.
func New(rdb redis.UniversalClient, now func() time.Time) *Journal {
	if now == nil {
		now = time.Now
	}
	return &Journal{rdb: rdb, now: now, mostDead: MostDead}
}

// key names a key of a subscription. All of its keys are in one slot.
func key(id uuid.UUID, rest string) string { return "wbhook:{" + id.String() + "}:" + rest }

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

func hourKey(id uuid.UUID, hour int64) string { return key(id, "hour:"+strconv.FormatInt(hour, 10)) }

// The counters of an hour.
const (
	sends        = "a"  // HTTP attempts
	sendsOK      = "as" // answered 2xx
	sendsTook    = "ms" // sum of response times in milliseconds
	sendsTimed   = "mn" // how many of them had an answer
	messages     = "m"  // messages that ended
	messagesOK   = "mo" // delivered
	hoursKept    = 14*24 + 1
	hourLifetime = Kept + 2*time.Hour
)

// Sent counts a send and writes its log row.
func (j *Journal) Sent(ctx context.Context, s webhook.Sent) error {
	hour := hourKey(s.Webhook, hourOf(s.At))
	log := key(s.Webhook, "log")
	_, err := j.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HIncrBy(ctx, hour, sends, 1)
		if s.Success {
			p.HIncrBy(ctx, hour, sendsOK, 1)
		}
		if s.Code != 0 {
			p.HIncrBy(ctx, hour, sendsTimed, 1)
			p.HIncrBy(ctx, hour, sendsTook, s.Took.Milliseconds())
		}
		p.Expire(ctx, hour, hourLifetime)
		p.XAdd(ctx, &redis.XAddArgs{Stream: log, MaxLen: MostRows, Approx: true, Values: encodeRow(s)})
		p.XTrimMinIDApprox(ctx, log, strconv.FormatInt(j.now().Add(-Kept).UnixMilli(), 10), 0)
		p.Expire(ctx, log, Kept)
		return nil
	})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// endedOnce is for how long an end that is told twice is counted once.
const endedOnce = time.Hour

// endedScript: KEYS marker, hour, dead letters. ARGV success (0|1), marker seconds,
// hour seconds, member (” = not dead), time in ms, oldest kept in ms, most, seconds.
var endedScript = redis.NewScript(`
if redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then
  redis.call('HINCRBY', KEYS[2], 'm', 1)
  if ARGV[1] == '1' then redis.call('HINCRBY', KEYS[2], 'mo', 1) end
  redis.call('EXPIRE', KEYS[2], ARGV[3])
  if ARGV[4] ~= '' then
    redis.call('ZADD', KEYS[3], ARGV[5], ARGV[4])
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[6])
    redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[7]))
    redis.call('EXPIRE', KEYS[3], ARGV[8])
  end
end
return 1`)

// Ended counts a message that ended and keeps it if it is dead. Telling the same end
// twice is telling it once.
func (j *Journal) Ended(ctx context.Context, e webhook.Ended) error {
	now, member := j.now(), ""
	if e.Dead {
		member = encodeDead(e.Reference)
	}
	success := 0
	if e.Success {
		success = 1
	}
	keys := []string{key(e.Webhook, "end:"+e.Delivery.String()), hourKey(e.Webhook, hourOf(now)), key(e.Webhook, "dead")}
	err := endedScript.Run(ctx, j.rdb, keys, success, int(endedOnce.Seconds()), int(hourLifetime.Seconds()), member,
		now.UnixMilli(), now.Add(-Kept).UnixMilli(), j.mostDead, int(Kept.Seconds())).Err()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
