package journal

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"writeback/internal/webhook"
)

// observeScript: KEYS health. ARGV success (0|1), weight, hour, first hour that
// counts, seconds to live. It gives deliveries, successes, average, failed in a row.
var observeScript = redis.NewScript(`
local ok = ARGV[1] == '1'
local avg = tonumber(redis.call('HGET', KEYS[1], 'avg') or 1)
avg = avg + tonumber(ARGV[2]) * ((ok and 1 or 0) - avg)
redis.call('HSET', KEYS[1], 'avg', string.format('%.9f', avg))
local row = 0
if ok then redis.call('HDEL', KEYS[1], 'row', 'silent') else row = redis.call('HINCRBY', KEYS[1], 'row', 1) end
redis.call('HINCRBY', KEYS[1], 'n:' .. ARGV[3], 1)
if ok then redis.call('HINCRBY', KEYS[1], 's:' .. ARGV[3], 1) end
local all, good, fields = 0, 0, redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local kind, hour = string.match(fields[i], '^([ns]):(%d+)$')
  if kind then
    if tonumber(hour) < tonumber(ARGV[4]) then
      redis.call('HDEL', KEYS[1], fields[i])
    elseif kind == 'n' then
      all = all + tonumber(fields[i + 1])
    else
      good = good + tonumber(fields[i + 1])
    end
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
return {all, good, string.format('%.9f', avg), row}`)

// healthKey names the health of an endpoint since it was last changed or made active;
// what was before is forgotten in its own time.
func healthKey(s webhook.Subscription) string {
	return key(s.ID, "health:"+strconv.FormatInt(s.Since().UnixMilli(), 10))
}

// Observe takes a delivery into the health of its endpoint and gives that.
func (j *Journal) Observe(ctx context.Context, s webhook.Subscription, success bool) (webhook.Health, error) {
	ok := 0
	if success {
		ok = 1
	}
	hour := hourOf(j.now())
	// A counter is of a whole hour, so the window is up to an hour longer.
	first := hour - int64(webhook.HealthWindow.Hours())
	v, err := observeScript.Run(ctx, j.rdb, []string{healthKey(s)},
		ok, webhook.HealthWeight, hour, first, int(Kept.Seconds())).Slice()
	if err != nil {
		return webhook.Health{}, fmt.Errorf("journal: %w", err)
	}
	var h webhook.Health
	if len(v) == 4 {
		all, _ := v[0].(int64)
		good, _ := v[1].(int64)
		average, _ := v[2].(string)
		row, _ := v[3].(int64)
		h.Deliveries, h.Successes, h.FailedInARow = int(all), int(good), int(row)
		h.Average, err = strconv.ParseFloat(average, 64)
	}
	return h, err
}

// Silent counts a send that an endpoint left without an answer, and gives how many there
// were since a delivery arrived.
func (j *Journal) Silent(ctx context.Context, s webhook.Subscription) (int, error) {
	var n *redis.IntCmd
	_, err := j.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		n = p.HIncrBy(ctx, healthKey(s), "silent", 1)
		p.Expire(ctx, healthKey(s), Kept)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	return int(n.Val()), nil
}
