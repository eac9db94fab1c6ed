package journal

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
)

// died keeps dead letters of before, the oldest first, one each millisecond up to the clock's time.
func died(t *testing.T, rdb *redis.Client, id uuid.UUID, c *clock, refs ...webhook.Reference) {
	t.Helper()
	members := make([]redis.Z, len(refs))
	for i, r := range refs {
		members[i] = redis.Z{Score: float64(c.at.UnixMilli() - int64(len(refs)-i)), Member: encodeDead(r)}
	}
	require.NoError(t, rdb.ZAdd(t.Context(), key(id, "dead"), members...).Err())
}

// TestDead_MoreThanAreReadAtATime are given once each, and those that are asked for found.
func TestDead_MoreThanAreReadAtATime(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, rdb *redis.Client) {
		s := subscription()
		var refs []webhook.Reference
		for n := range 2*deadChunk + 1 {
			refs = append(refs, reference(n))
		}
		died(t, rdb, s.ID, c, refs...)
		all, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, len(refs)+1)
		require.NoError(t, err)
		require.Len(t, all, len(refs))
		for i, d := range all {
			require.Equal(t, refs[i].Message, d.Message)
		}
		last := refs[len(refs)-1].Message
		one, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{Messages: []uuid.UUID{last}}, 10)
		require.NoError(t, err)
		require.Len(t, one, 1)
		require.Equal(t, last, one[0].Message)
	})
}

// TestDead_TheOldestGoFirst, by their number and by their age.
func TestDead_TheOldestGoFirst(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, rdb *redis.Client) {
		s := subscription()
		require.Equal(t, MostDead, j.mostDead)
		j.mostDead = 3
		refs := []webhook.Reference{reference(1), reference(2), reference(3)}
		died(t, rdb, s.ID, c, refs...)
		end := func(r webhook.Reference) {
			require.NoError(t, j.Ended(t.Context(), webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Reference: r, Dead: true}))
		}
		count := func() int64 {
			n, err := rdb.ZCard(t.Context(), key(s.ID, "dead")).Result()
			require.NoError(t, err)
			return n
		}
		end(reference(4))
		require.EqualValues(t, 3, count())
		oldest, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, 1)
		require.NoError(t, err)
		require.Equal(t, refs[1].Message, oldest[0].Message)

		c.at = c.at.Add(Kept + time.Second)
		none, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, 1)
		require.NoError(t, err)
		require.Empty(t, none)
		m, err := j.Metrics(t.Context(), s)
		require.NoError(t, err)
		require.Zero(t, m.DeadLetters)
		end(reference(5))
		require.EqualValues(t, 1, count())
	})
}

// TestLogs_TheOldestGoFirst, by their number and by their age, and those that are still there
// are not shown.
func TestLogs_TheOldestGoFirst(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, rdb *redis.Client) {
		log := func(s webhook.Subscription, age time.Duration, n int) {
			_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				for i := range n {
					p.XAdd(t.Context(), &redis.XAddArgs{
						Stream: key(s.ID, "log"), ID: fmt.Sprintf("%d-%d", c.at.Add(-age).UnixMilli(), i), Values: encodeRow(webhook.Sent{}),
					})
				}
				return nil
			})
			require.NoError(t, err)
		}
		sent := func(s webhook.Subscription) int {
			require.NoError(t, j.Sent(t.Context(), webhook.Sent{Webhook: s.ID, At: c.at}))
			n, err := rdb.XLen(t.Context(), key(s.ID, "log")).Result()
			require.NoError(t, err)
			return int(n)
		}
		rows := func(s webhook.Subscription, from time.Time) int {
			all, _, err := j.Logs(t.Context(), webhook.LogQuery{Webhook: s.ID, From: from, Limit: 2 * MostRows})
			require.NoError(t, err)
			return len(all)
		}
		// A stream is cut by nodes, of a hundred rows each.
		many, old := subscription(), subscription()
		log(many, time.Hour, MostRows+300)
		require.LessOrEqual(t, sent(many), MostRows+100)
		log(old, Kept+time.Hour, 250)
		log(old, Kept-time.Hour, 3)
		require.Equal(t, 3, rows(old, time.Time{}))
		require.LessOrEqual(t, sent(old), 50+3+1)
		require.Equal(t, 4, rows(old, time.Time{}))
		require.Equal(t, 1, rows(old, c.at.Add(-2*time.Hour)))
	})
}

// TestWindows_ToTheHour: an hour belongs to a window as a whole.
func TestWindows_ToTheHour(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, rdb *redis.Client) {
		now := c.at.Truncate(time.Hour).Add(30 * time.Minute)
		for hours, want := range map[int][4]int{
			6: {1, 1, 1, 1}, 7: {0, 1, 1, 1}, 24: {0, 1, 1, 1}, 25: {0, 0, 1, 1}, 168: {0, 0, 1, 1}, 169: {0, 0, 0, 1}, 336: {0, 0, 0, 1}, 337: {},
		} {
			s := subscription()
			c.at = now.Add(-time.Duration(hours) * time.Hour)
			require.NoError(t, j.Sent(t.Context(), webhook.Sent{Webhook: s.ID, At: c.at}))
			_, err := j.Observe(t.Context(), s, true)
			require.NoError(t, err)
			c.at = now
			m, err := j.Metrics(t.Context(), s)
			require.NoError(t, err)
			require.Equal(t, want, [4]int{m.Hours6.Attempts, m.Hours24.Attempts, m.Days7.Attempts, m.Days14.Attempts}, hours)
			h, err := j.Observe(t.Context(), s, true)
			require.NoError(t, err)
			require.Equal(t, 1+want[0], h.Deliveries, hours)
			require.Equal(t, h.Deliveries, h.Successes)
			kept, err := rdb.HLen(t.Context(), healthKey(s)).Result()
			require.NoError(t, err)
			require.EqualValues(t, 1+2*(1+want[0]), kept, "what no window has goes")
		}
	})
}

// TestPublished_Bounds: docs/webhooks.md says what they are.
func TestPublished_Bounds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/webhooks.md")
	require.NoError(t, err)
	page, days := strings.Join(strings.Fields(string(text)), " "), int(Kept.Hours()/24)
	require.Contains(t, page, fmt.Sprintf("a **dead letter** for %d days, 100,000 to a subscription", days))
	require.Contains(t, page, fmt.Sprintf("Metrics and log are kept for %d days (10,000 log rows to a subscription), to the hour", days))
	require.Equal(t, []int{100_000, 10_000}, []int{MostDead, MostRows})
}
