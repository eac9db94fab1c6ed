package journal

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/testenv"
	"writeback/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// both runs the test on a real Redis and on the in-process one of the dev stack,
// whose scripts must mean the same.
func both(t *testing.T, test func(t *testing.T, j *Journal, c *clock, rdb *redis.Client)) {
	t.Helper()
	run := func(t *testing.T, url string) {
		opt, err := redis.ParseURL(url)
		require.NoError(t, err)
		rdb := redis.NewClient(opt)
		t.Cleanup(func() { _ = rdb.Close() })
		c := &clock{time.Now()}
		test(t, New(rdb, c.now), c, rdb)
	}
	t.Run("redis", func(t *testing.T) { t.Parallel(); run(t, testenv.Redis(t)) })
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); run(t, "redis://"+miniredis.RunT(t).Addr()) })
}

func subscription() webhook.Subscription {
	return webhook.Subscription{ID: uuid.New(), ChangedAt: time.Now()}
}

func reference(n int) webhook.Reference {
	return webhook.Reference{
		Message: uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-%012d", n)), Event: webhook.EventFailed,
		At: time.Now().UTC(), Connection: uuid.New(), Operation: uuid.New(),
	}
}

func TestMetrics_CountsByWindow(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, _ *redis.Client) {
		s, now := subscription(), c.at
		for hours, n := range map[int]int{0: 1, 10: 2, 100: 4, 300: 8} {
			c.at = now.Add(-time.Duration(hours) * time.Hour)
			for i := range n {
				sent := webhook.Sent{Webhook: s.ID, At: c.at, Code: 200, Success: true, Took: 10 * time.Millisecond}
				if hours == 10 {
					sent.Code, sent.Success = 0, false
				}
				require.NoError(t, j.Sent(t.Context(), sent))
				require.NoError(t, j.Ended(t.Context(), webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Success: i%2 == 0}))
			}
		}
		c.at = now
		m, err := j.Metrics(t.Context(), s)
		require.NoError(t, err)
		require.Nil(t, m.AverageSuccess)
		require.Equal(t, webhook.Window{Attempts: 1, Successes: 1, Messages: 1, Delivered: 1, Answered: 1, ResponseTime: 10 * time.Millisecond}, m.Hours6)
		require.Equal(t, 3, m.Hours24.Attempts)
		require.Equal(t, 1, m.Hours24.Answered)
		require.Equal(t, 7, m.Days7.Attempts)
		require.Equal(t, webhook.Window{Attempts: 15, Successes: 13, Messages: 15, Delivered: 8, Answered: 13, ResponseTime: 130 * time.Millisecond}, m.Days14)
		require.Zero(t, m.DeadLetters)
		require.Equal(t, 10*time.Millisecond, m.Days14.AverageResponse())
		_, known := m.Days14.SuccessRate()
		require.False(t, known)
		percent, known := webhook.Window{Messages: 200, Delivered: 150}.SuccessRate()
		require.True(t, known)
		require.InDelta(t, 75, percent, 0.001)
		_, err = j.Observe(t.Context(), s, false)
		require.NoError(t, err)
		m, err = j.Metrics(t.Context(), s)
		require.NoError(t, err)
		require.InDelta(t, 0.98, *m.AverageSuccess, 1e-9)
	})
}

func TestObserve_CountsWithinTheWindow(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, _ *redis.Client) {
		s, now := subscription(), c.at
		c.at = now.Add(-20 * time.Hour)
		for range 5 {
			_, err := j.Observe(t.Context(), s, false)
			require.NoError(t, err)
		}
		c.at = now
		h, err := j.Observe(t.Context(), s, false)
		require.NoError(t, err)
		require.Equal(t, 1, h.Deliveries)
		require.Equal(t, 6, h.FailedInARow, "a row has no window")
		require.InDelta(t, 0.8858, h.Average, 0.0001)
		h, err = j.Observe(t.Context(), s, true)
		require.NoError(t, err)
		require.Equal(t, webhook.Health{Deliveries: 2, Successes: 1, Average: h.Average}, h)
		h, err = j.Observe(t.Context(), s, false)
		require.NoError(t, err)
		require.Equal(t, webhook.Health{Deliveries: 3, Successes: 1, FailedInARow: 1, Average: h.Average}, h, "a success ends a row")
		s.ActivatedAt = now.Add(time.Hour)
		h, err = j.Observe(t.Context(), s, false)
		require.NoError(t, err)
		require.Equal(t, webhook.Health{Deliveries: 1, FailedInARow: 1, Average: 0.98}, h, "making it active starts anew")
	})
}

func TestSilent_CountsInARow(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, _ *clock, _ *redis.Client) {
		s := subscription()
		silent := func(want int) {
			n, err := j.Silent(t.Context(), s)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		silent(1)
		_, err := j.Observe(t.Context(), s, false)
		require.NoError(t, err)
		silent(2)
		m, err := j.Metrics(t.Context(), s)
		require.NoError(t, err)
		require.InDelta(t, 0.98, *m.AverageSuccess, 1e-9, "it is of messages alone")
		_, err = j.Observe(t.Context(), s, true)
		require.NoError(t, err)
		silent(1)
		s.ActivatedAt = s.Since().Add(time.Hour)
		silent(1)
	})
}

func TestEnded_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, rdb *redis.Client) {
		s := subscription()
		e := webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Reference: reference(1), Dead: true}
		for range 3 {
			require.NoError(t, j.Ended(t.Context(), e))
			c.at = c.at.Add(time.Second)
		}
		known, err := rdb.TTL(t.Context(), key(s.ID, "end:"+e.Delivery.String())).Result()
		require.NoError(t, err)
		require.Greater(t, known, 55*time.Minute, "who died before it could be published comes back, or another")
		m, err := j.Metrics(t.Context(), s)
		require.NoError(t, err)
		require.Equal(t, 1, m.Days14.Messages)
		require.Equal(t, 1, m.DeadLetters)
		dead, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, 10)
		require.NoError(t, err)
		require.Len(t, dead, 1)
		require.NoError(t, j.Revived(t.Context(), s.ID, dead[0]))
		m, err = j.Metrics(t.Context(), s)
		require.NoError(t, err)
		require.Zero(t, m.DeadLetters)
	})
}

// TestRevived_LeavesWhatHasDiedAgain: a replay may fail before it has taken the letter out.
func TestRevived_LeavesWhatHasDiedAgain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, _ *redis.Client) {
		s := subscription()
		e := webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Reference: reference(1), Dead: true}
		require.NoError(t, j.Ended(t.Context(), e))
		before, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, 10)
		require.NoError(t, err)
		c.at, e.Delivery = c.at.Add(time.Millisecond), uuid.New()
		require.NoError(t, j.Ended(t.Context(), e))
		require.NoError(t, j.Revived(t.Context(), s.ID, before[0]))
		after, err := j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, 10)
		require.NoError(t, err)
		require.Len(t, after, 1)
		require.NoError(t, j.Revived(t.Context(), s.ID, after[0]))
		after, err = j.Dead(t.Context(), s.ID, webhook.ReplayQuery{}, 10)
		require.NoError(t, err)
		require.Empty(t, after)
	})
}

func TestDead_ByWindowAndMessage(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, _ *redis.Client) {
		s, now := subscription(), c.at
		refs := map[int]webhook.Reference{}
		for n := range 5 {
			refs[n] = reference(n)
			c.at = now.Add(time.Duration(n-20) * 24 * time.Hour) // the first are too old
			if n >= 2 {
				c.at = now.Add(time.Duration(n-10) * time.Hour)
			}
			require.NoError(t, j.Ended(t.Context(), webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Reference: refs[n], Dead: true}))
		}
		c.at = now
		numbers := func(q webhook.ReplayQuery, limit int) (out []int) {
			got, err := j.Dead(t.Context(), s.ID, q, limit)
			require.NoError(t, err)
			for _, r := range got {
				for n := range refs {
					if refs[n].Message == r.Message {
						out = append(out, n)
					}
				}
			}
			return out
		}
		require.Equal(t, []int{2, 3, 4}, numbers(webhook.ReplayQuery{}, 10))
		require.Equal(t, []int{2, 3}, numbers(webhook.ReplayQuery{}, 2))
		require.Equal(t, []int{3}, numbers(webhook.ReplayQuery{From: now.Add(-7 * time.Hour), To: now.Add(-6 * time.Hour)}, 10))
		require.Equal(t, []int{4}, numbers(webhook.ReplayQuery{Messages: []uuid.UUID{refs[4].Message}}, 10))
	})
}

func TestLogs_PagesBothWays(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, rdb *redis.Client) {
		s := subscription()
		const all = 1203
		newest := reference(all - 1)
		for n := range all {
			about := reference(n)
			if n == all-1 {
				about = newest
			}
			require.NoError(t, j.Sent(t.Context(), webhook.Sent{
				Webhook: s.ID, At: c.at, Reference: about, Success: n%3 == 0, Code: 200 + n%3, Problem: "p", Took: time.Millisecond,
			}))
		}
		q := webhook.LogQuery{Webhook: s.ID, Limit: 100, Status: webhook.LogSuccess}
		var seen []uuid.UUID
		var first webhook.LogRow
		for {
			rows, more, err := j.Logs(t.Context(), q)
			require.NoError(t, err)
			if first.Position == "" {
				first = rows[0]
			}
			for _, r := range rows {
				require.Equal(t, webhook.LogSuccess, r.Status)
				seen = append(seen, r.Reference.Message)
				q.Position = r.Position
			}
			if !more {
				break
			}
			require.Len(t, rows, 100)
		}
		require.Len(t, seen, all/3)

		q.Backwards, q.Limit = true, 3
		rows, more, err := j.Logs(t.Context(), q)
		require.NoError(t, err)
		require.True(t, more)
		for i, r := range rows {
			require.Equal(t, seen[len(seen)-4+i], r.Reference.Message, "the three before the last, newest first")
		}
		q.Position = first.Position
		rows, more, err = j.Logs(t.Context(), q)
		require.NoError(t, err)
		require.False(t, more)
		require.Empty(t, rows)

		rows, _, err = j.Logs(t.Context(), webhook.LogQuery{Webhook: s.ID, Limit: 1})
		require.NoError(t, err)
		last := rows[0]
		require.Equal(t, webhook.LogRow{
			Position: last.Position, CreatedAt: last.CreatedAt, Webhook: s.ID, Reference: newest, Status: webhook.LogFailed,
			StatusCode: 202, Problem: "p", ResponseTime: time.Millisecond,
		}, last)
		require.WithinDuration(t, c.at, last.CreatedAt, time.Hour)
		for to, has := range map[time.Time]bool{last.CreatedAt: false, last.CreatedAt.Add(time.Millisecond): true} {
			rows, _, err = j.Logs(t.Context(), webhook.LogQuery{Webhook: s.ID, To: to, Limit: 1})
			require.NoError(t, err)
			require.Equal(t, has, rows[0].Position == last.Position, "the end is exclusive")
		}
		for _, end := range []time.Time{time.Now().Add(-time.Hour), time.Unix(0, 0), time.Unix(-3600, 0)} {
			rows, _, err = j.Logs(t.Context(), webhook.LogQuery{Webhook: s.ID, To: end, Limit: 10})
			require.NoError(t, err, end)
			require.Empty(t, rows)
		}
	})
}

// Those that are asked for may be few, and far behind the others.
func TestLogs_FindsTheFewAmongMany(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, _ *redis.Client) {
		s := subscription()
		const all = 2*logChunk + 1
		for n := range all {
			require.NoError(t, j.Sent(t.Context(), webhook.Sent{Webhook: s.ID, At: c.at, Success: n > 0 && n < all-1}))
		}
		rows, more, err := j.Logs(t.Context(), webhook.LogQuery{Webhook: s.ID, Status: webhook.LogFailed, Limit: 2})
		require.NoError(t, err)
		require.False(t, more, "a full page is the last if nothing follows")
		require.Len(t, rows, 2)
		rows, more, err = j.Logs(t.Context(), webhook.LogQuery{
			Webhook: s.ID, Status: webhook.LogFailed, Position: rows[1].Position, Backwards: true, Limit: 9,
		})
		require.NoError(t, err)
		require.False(t, more)
		require.Len(t, rows, 1)
	})
}

// Nothing of a subscription stays for ever, also of one that is heard of once.
func TestJournal_EverythingEnds(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, rdb *redis.Client) {
		for name, note := range map[string]func(s webhook.Subscription) error{
			"a send":     func(s webhook.Subscription) error { return j.Sent(t.Context(), webhook.Sent{Webhook: s.ID, At: c.at}) },
			"a silence":  func(s webhook.Subscription) error { _, err := j.Silent(t.Context(), s); return err },
			"a delivery": func(s webhook.Subscription) error { _, err := j.Observe(t.Context(), s, true); return err },
			"an end": func(s webhook.Subscription) error {
				return j.Ended(t.Context(), webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Dead: true})
			},
		} {
			s := subscription()
			require.NoError(t, note(s))
			keys, err := rdb.Keys(t.Context(), key(s.ID, "*")).Result()
			require.NoError(t, err)
			require.NotEmpty(t, keys)
			for _, k := range keys {
				ttl, err := rdb.TTL(t.Context(), k).Result()
				require.NoError(t, err)
				require.Positive(t, ttl, "%s: %s", name, k)
				require.LessOrEqual(t, ttl, Kept+2*time.Hour, "%s: %s", name, k)
			}
		}
	})
}

func TestCountDead_IsOfEachInOrder(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, j *Journal, c *clock, _ *redis.Client) {
		one, none, old := subscription(), subscription(), subscription()
		for range 2 {
			require.NoError(t, j.Ended(t.Context(), webhook.Ended{Webhook: old.ID, Delivery: uuid.New(), Reference: reference(1), Dead: true}))
		}
		c.at = c.at.Add(Kept + time.Millisecond)
		require.NoError(t, j.Ended(t.Context(), webhook.Ended{Webhook: one.ID, Delivery: uuid.New(), Reference: reference(2), Dead: true}))
		counts, err := j.CountDead(t.Context(), []uuid.UUID{none.ID, one.ID, old.ID})
		require.NoError(t, err)
		require.Equal(t, []int{0, 1, 0}, counts, "what is kept no longer does not count")
		counts, err = j.CountDead(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, counts)
	})
}
