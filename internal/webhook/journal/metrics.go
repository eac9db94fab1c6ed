package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"writeback/internal/webhook"
)

// Metrics counts what was sent to an endpoint.
func (j *Journal) Metrics(ctx context.Context, s webhook.Subscription) (webhook.Metrics, error) {
	hour := hourOf(j.now())
	cmds := make([]*redis.SliceCmd, hoursKept)
	var average *redis.StringCmd
	var dead *redis.IntCmd
	_, err := j.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range cmds {
			cmds[i] = p.HMGet(ctx, hourKey(s.ID, hour-int64(i)), sends, sendsOK, sendsTook, sendsTimed, messages, messagesOK)
		}
		average = p.HGet(ctx, healthKey(s), "avg")
		dead = p.ZCount(ctx, key(s.ID, "dead"), strconv.FormatInt(j.now().Add(-Kept).UnixMilli(), 10), "+inf")
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return webhook.Metrics{}, fmt.Errorf("journal: %w", err)
	}
	m := webhook.Metrics{DeadLetters: int(dead.Val())}
	if text, err := average.Result(); err == nil {
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			m.AverageSuccess = &v
		}
	}
	var sum [6]int64
	for i, cmd := range cmds {
		for k, v := range cmd.Val() {
			if text, ok := v.(string); ok {
				n, _ := strconv.ParseInt(text, 10, 64)
				sum[k] += n
			}
		}
		w := webhook.Window{
			Attempts: int(sum[0]), Successes: int(sum[1]), ResponseTime: time.Duration(sum[2]) * time.Millisecond,
			Answered: int(sum[3]), Messages: int(sum[4]), Delivered: int(sum[5]),
		}
		switch i {
		case 6:
			m.Hours6 = w
		case 24:
			m.Hours24 = w
		case 7 * 24:
			m.Days7 = w
		case 14 * 24:
			m.Days14 = w
		}
	}
	return m, nil
}
