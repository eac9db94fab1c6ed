package redisstore_test

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// BenchmarkTrip measures what each step of an operation costs Redis and the client,
// in CPU time an operation, with many callers at once, and how much memory Redis
// keeps of an ended one.
func BenchmarkTrip(b *testing.B) {
	const operations, callers, connections = 20_000, 64, 64
	rdb := client(b, testenv.StartRedis(b, "--hash-max-listpack-value", "4096").URL())
	store := redisstore.New(rdb, redisstore.Config{})
	require.NoError(b, store.Begin(b.Context(), allShards()))
	m := meter{b: b, rdb: rdb, operations: operations}
	lanes := make([]uuid.UUID, connections)
	for i := range lanes {
		lanes[i] = uuid.Must(uuid.NewV7())
	}
	accepted := realOperations(operations, lanes)
	before := m.memory()

	m.measure("accept", callers, func(i int) {
		_, err := store.AcceptNew(b.Context(), accepted[i], roomy)
		require.NoError(b, err)
	})
	m.measure("acked", 1, func(i int) {
		if i%100 != 0 {
			return
		}
		acks := make([]redisstore.Ack, 0, 100)
		for _, a := range accepted[i : i+100] {
			acks = append(acks, redisstore.Ack{Connection: a.ConnectionID, ID: a.ID, Accepted: true})
		}
		require.NoError(b, store.Acked(b.Context(), acks))
	})
	var mu sync.Mutex
	leases := make([]redisstore.Lease, 0, operations)
	for len(leases) < operations {
		had := len(leases)
		m.measure("next", callers, func(i int) {
			if i%10 != 0 {
				return
			}
			h, err := store.Next(b.Context(), lanes[i/10%connections], redisstore.Limits{InFlight: 1 << 20, Call: 20 * time.Second, Life: time.Hour}, ids(10), nil)
			require.NoError(b, err)
			mu.Lock()
			leases = append(leases, h.Leases...)
			mu.Unlock()
		})
		require.Greater(b, len(leases), had)
	}
	records := make([]redisstore.Record, operations)
	m.measure("record", callers, func(i int) {
		rec, err := store.Record(b.Context(), realOutcome(leases[i]))
		require.NoError(b, err)
		records[i] = rec.Record
	})
	m.measure("acked final", 1, func(i int) {
		if i%100 != 0 {
			return
		}
		acks := make([]redisstore.Ack, 0, 100)
		for _, r := range records[i : i+100] {
			acks = append(acks, finalAck(r))
		}
		require.NoError(b, store.Acked(b.Context(), acks))
	})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(m.memory()-before)/operations, "redis-B/operation")
	m.measure("get", callers, func(i int) {
		op, err := store.Get(b.Context(), accepted[i].ConnectionID, accepted[i].ID)
		require.NoError(b, err)
		require.Equal(b, operation.Succeeded, op.Status)
	})
	const page = 300
	q := operation.Query{PartnerID: accepted[0].PartnerID, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: page}
	m.measure("list", 1, func(i int) {
		if i%page != 0 {
			return
		}
		ops, more, err := store.List(b.Context(), q)
		require.NoError(b, err)
		require.Len(b, ops, min(page, operations-i))
		require.Equal(b, i+page < operations, more)
		q.Position = operation.Position{Seq: ops[len(ops)-1].Seq, ID: ops[len(ops)-1].ID}
	})
}

func finalAck(r redisstore.Record) redisstore.Ack {
	return redisstore.Ack{
		Connection: r.Operation.ConnectionID, ID: r.Operation.ID, Accepted: true,
		Rows: len(r.Operation.Attempts), RowVersion: r.RowVersion, Final: true, Ended: &r.Operation,
	}
}

// realOperations are updates as partners send them: names, licences, rulesets, an
// idempotency key and a trace.
func realOperations(n int, lanes []uuid.UUID) []operation.Accepted {
	partner := uuid.Must(uuid.NewV7())
	var pages operation.IDs
	out := make([]operation.Accepted, n)
	for i := range out {
		id, _ := pages.New(lanes[i%len(lanes)])
		out[i] = operation.Accepted{
			Version: operation.Version, ID: id, PartnerID: partner, ConnectionID: lanes[i%len(lanes)],
			FleetRef: "fleet-" + strconv.Itoa(i%len(lanes)), Provider: "samsara", Resource: operation.ResourceUser,
			ResourceID: uuid.New(), SourceID: strconv.Itoa(40_000_000 + i*7919), Type: operation.Update,
			Changes: operation.Changes{
				operation.FieldFirstName:     operation.Text("Firstname" + strconv.Itoa(i*31%977)),
				operation.FieldLastName:      operation.Text("Lastname" + strconv.Itoa(i*17%1319)),
				operation.FieldLicenseNumber: operation.Text("D" + strconv.Itoa(10_000_000+i*104729%89_999_999)),
			},
			Key:         &operation.Key{Scope: hexOf(i), Fingerprint: hexOf(i + n)},
			TraceParent: "00-" + hexOf(i)[:32] + "-" + hexOf(i + 2*n)[:16] + "-01",
		}
	}
	return out
}

func hexOf(i int) string {
	id := uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(i)))
	more := uuid.NewSHA1(uuid.Nil, id[:])
	return strings.ReplaceAll(id.String()+more.String(), "-", "")
}

func realOutcome(l redisstore.Lease) redisstore.Outcome {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return redisstore.Outcome{
		Connection: l.ConnectionID, Decision: succeed, Accepted: &l.Accepted, Reach: redisstore.Answered,
		Attempt: operation.Attempt{
			ID: l.AttemptID, OperationID: l.ID, StartedAt: now.Add(-180 * time.Millisecond), EndedAt: now,
			Status: operation.AttemptSucceeded, StatusCode: 200, Header: map[string]string{
				"Content-Type": "application/json; charset=utf-8", "X-Request-Id": l.AttemptID.String()[:8] + hexOf(int(l.Seq))[:20],
				"X-Ratelimit-Limit": "100", "X-Ratelimit-Remaining": strconv.Itoa(int(l.Seq % 100)),
			},
		},
	}
}

// meter measures CPU time of Redis and of this process.
type meter struct {
	b          *testing.B
	rdb        *redis.Client
	operations int
}

func (m *meter) measure(step string, callers int, do func(i int)) {
	redisBefore, commands := m.redis()
	own, began := m.own(), time.Now()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < m.operations; i += callers {
				do(i)
			}
		})
	}
	wg.Wait()
	took, spent := time.Since(began), m.own()-own
	redisAfter, after := m.redis()
	n := time.Duration(m.operations)
	m.b.Logf("%-12s redis %6s client %6s commands %4.1f wall %6s each", step,
		((redisAfter - redisBefore) / n).Round(100*time.Nanosecond), (spent / n).Round(100*time.Nanosecond),
		float64(after-commands)/float64(m.operations), (took / n).Round(100*time.Nanosecond))
}

func (m *meter) own() time.Duration {
	var u syscall.Rusage
	require.NoError(m.b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (m *meter) redis() (cpu time.Duration, commands int) {
	text, err := m.rdb.InfoMap(m.b.Context(), "cpu", "commandstats").Result()
	require.NoError(m.b, err)
	for _, name := range []string{"used_cpu_sys", "used_cpu_user"} {
		d, err := time.ParseDuration(text["CPU"][name] + "s")
		require.NoError(m.b, err)
		cpu += d
	}
	for _, v := range text["Commandstats"] {
		calls, _, _ := strings.Cut(strings.TrimPrefix(v, "calls="), ",")
		n, err := strconv.Atoi(calls)
		require.NoError(m.b, err)
		commands += n
	}
	return cpu, commands
}

func (m *meter) memory() int64 {
	v, err := m.rdb.InfoMap(m.b.Context(), "memory").Result()
	require.NoError(m.b, err)
	n, err := strconv.ParseInt(v["Memory"]["used_memory"], 10, 64)
	require.NoError(m.b, err)
	return n
}
