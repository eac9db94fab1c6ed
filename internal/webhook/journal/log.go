package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/internal/webhook"
)

// row is a log row as Redis holds it: one field, since a stream keeps them cheap.
type row struct {
	Reference webhook.Reference `json:"r"`
	Success   bool              `json:"s,omitempty"`
	Code      int               `json:"c,omitempty"`
	Problem   string            `json:"p,omitempty"`
	Took      int64             `json:"ms"`
}

func encodeRow(s webhook.Sent) []any {
	text, _ := json.Marshal(row{ // every field marshals
		Reference: s.Reference, Success: s.Success, Code: s.Code, Problem: s.Problem, Took: s.Took.Milliseconds(),
	})
	return []any{"v", string(text)}
}

// logChunk is how many rows are read at a time.
const logChunk = 500

// Logs gives the log rows that the query selects, newest first, also when it walks
// backwards, and whether there are more in its direction.
func (j *Journal) Logs(ctx context.Context, q webhook.LogQuery) ([]webhook.LogRow, bool, error) {
	rows, more, err := j.walk(ctx, q)
	if q.Backwards {
		slices.Reverse(rows)
	}
	return rows, more, err
}

func (j *Journal) walk(ctx context.Context, q webhook.LogQuery) ([]webhook.LogRow, bool, error) {
	oldest := strconv.FormatInt(max(q.From.UnixMilli(), j.now().Add(-Kept).UnixMilli()), 10)
	newest := "+"
	if !q.To.IsZero() {
		newest = strconv.FormatInt(max(q.To.UnixMilli()-1, 0), 10)
	}
	// Positions are exclusive, and always within the window.
	if q.Position != "" && q.Backwards {
		oldest = "(" + q.Position
	} else if q.Position != "" {
		newest = "(" + q.Position
	}
	var out []webhook.LogRow
	for {
		rows, err := j.logChunk(ctx, q, oldest, newest)
		if err != nil {
			return nil, false, fmt.Errorf("journal: %w", err)
		}
		for _, r := range rows {
			if q.Status != "" && q.Status != r.Status {
				continue
			}
			if len(out) == q.Limit {
				return out, true, nil
			}
			out = append(out, r)
		}
		if len(rows) < logChunk {
			return out, false, nil
		}
		if q.Backwards {
			oldest = "(" + rows[len(rows)-1].Position
		} else {
			newest = "(" + rows[len(rows)-1].Position
		}
	}
}

func (j *Journal) logChunk(ctx context.Context, q webhook.LogQuery, oldest, newest string) ([]webhook.LogRow, error) {
	var messages []redis.XMessage
	var err error
	if q.Backwards {
		messages, err = j.rdb.XRangeN(ctx, key(q.Webhook, "log"), oldest, newest, logChunk).Result()
	} else {
		messages, err = j.rdb.XRevRangeN(ctx, key(q.Webhook, "log"), newest, oldest, logChunk).Result()
	}
	if err != nil {
		return nil, err
	}
	rows := make([]webhook.LogRow, 0, len(messages))
	for _, m := range messages {
		text, _ := m.Values["v"].(string)
		var r row
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("row %s: %w", m.ID, err)
		}
		ms, _, _ := strings.Cut(m.ID, "-")
		at, err := strconv.ParseInt(ms, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", m.ID, err)
		}
		status := webhook.LogFailed
		if r.Success {
			status = webhook.LogSuccess
		}
		rows = append(rows, webhook.LogRow{
			Position: m.ID, CreatedAt: time.UnixMilli(at).UTC(), Webhook: q.Webhook, Reference: r.Reference, Status: status,
			StatusCode: r.Code, Problem: r.Problem, ResponseTime: time.Duration(r.Took) * time.Millisecond,
		})
	}
	return rows, nil
}

func encodeDead(r webhook.Reference) string {
	text, _ := json.Marshal(r) // every field marshals
	return string(text)
}

// deadChunk is how many dead letters are read at a time.
const deadChunk = 1000

// Dead gives the subscription's dead letters that the query's window and messages
// select, oldest first, at most limit.
func (j *Journal) Dead(ctx context.Context, id uuid.UUID, q webhook.ReplayQuery, limit int) ([]webhook.DeadLetter, error) {
	by := &redis.ZRangeBy{
		Min: strconv.FormatInt(max(q.From.UnixMilli(), j.now().Add(-Kept).UnixMilli()), 10), Max: "+inf", Count: deadChunk,
	}
	if !q.To.IsZero() {
		by.Max = "(" + strconv.FormatInt(q.To.UnixMilli(), 10)
	}
	var out []webhook.DeadLetter
	for {
		members, err := j.rdb.ZRangeByScoreWithScores(ctx, key(id, "dead"), by).Result()
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		for _, m := range members {
			text, _ := m.Member.(string)
			d := webhook.DeadLetter{DiedAt: int64(m.Score)}
			if err := json.Unmarshal([]byte(text), &d.Reference); err != nil {
				return nil, fmt.Errorf("journal: dead letter: %w", err)
			}
			if len(q.Messages) > 0 && !slices.Contains(q.Messages, d.Message) {
				continue
			}
			if out = append(out, d); len(out) == limit {
				return out, nil
			}
		}
		if len(members) < deadChunk {
			return out, nil
		}
		by.Offset += deadChunk
	}
}

// CountDead counts the dead letters of subscriptions, in the order of their ids.
func (j *Journal) CountDead(ctx context.Context, ids []uuid.UUID) ([]int, error) {
	from := strconv.FormatInt(j.now().Add(-Kept).UnixMilli(), 10)
	counts := make([]int, 0, len(ids))
	for part := range slices.Chunk(ids, deadChunk) {
		cmds := make([]*redis.IntCmd, len(part))
		_, err := j.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range part {
				cmds[i] = p.ZCount(ctx, key(id, "dead"), from, "+inf")
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		for _, cmd := range cmds {
			counts = append(counts, int(cmd.Val()))
		}
	}
	return counts, nil
}

// revivedScript: KEYS dead letters. ARGV member, time of death in ms.
var revivedScript = redis.NewScript(`
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or -1) == tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1`)

// Revived takes a dead letter out: it is being delivered again. One that has died
// again meanwhile stays.
func (j *Journal) Revived(ctx context.Context, id uuid.UUID, d webhook.DeadLetter) error {
	err := revivedScript.Run(ctx, j.rdb, []string{key(id, "dead")}, encodeDead(d.Reference), d.DiedAt).Err()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
