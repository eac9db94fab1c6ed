package redisstore_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// step is a store of a benchmark.
type step struct {
	b     *testing.B
	rdb   *redis.Client
	store *redisstore.Store
	conn  uuid.UUID
}

func newStep(b *testing.B) *step {
	b.Helper()
	rdb := client(b, testenv.Redis(b))
	s := &step{b: b, rdb: rdb, store: redisstore.New(rdb, redisstore.Config{}), conn: uuid.Must(uuid.NewV7())}
	require.NoError(b, s.store.Begin(b.Context(), allShards()))
	return s
}

func (s *step) accepted(user uuid.UUID) operation.Accepted {
	return operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: s.conn, ConnectionID: s.conn,
		Provider: "samsara", Resource: operation.ResourceUser, ResourceID: user, SourceID: "494100", Type: operation.Update,
		Changes: operation.Changes{
			operation.FieldFirstName: operation.Text("Ana María"), operation.FieldLastName: operation.Text("O'Brien"),
			operation.FieldLicenseNumber: operation.Text("D1234567"), operation.FieldNotes: operation.Text("moved to the night shift"),
		},
	}
}

func (s *step) accept(a operation.Accepted) {
	if _, err := s.store.Accept(s.b.Context(), a, roomy); err != nil {
		s.b.Fatal(err)
	}
}

func (s *step) next() redisstore.Lease {
	h, err := s.store.Next(s.b.Context(), s.conn, roomy, ids(1), nil)
	if err != nil || len(h.Leases) != 1 {
		s.b.Fatal(err, len(h.Leases))
	}
	return h.Leases[0]
}

func (s *step) outcome(l redisstore.Lease) redisstore.Outcome {
	return redisstore.Outcome{
		Connection: l.ConnectionID, Decision: succeed, Reach: redisstore.Answered,
		Attempt: operation.Attempt{
			ID: l.AttemptID, OperationID: l.ID, StartedAt: time.Now().UTC(), EndedAt: time.Now().UTC(),
			Status: operation.AttemptSucceeded, StatusCode: 200, Header: map[string]string{"X-Request-Id": "5f2b7c1e9d526f0a"},
		},
	}
}

// measure runs do for each operation that prepare has made, and reports what Redis
// itself has used beside the time of the whole call.
func measure[T any](s *step, prepare func() T, do func(T)) {
	s.b.Helper()
	s.b.ReportAllocs()
	var used time.Duration
	n := 0
	for s.b.Loop() {
		s.b.StopTimer()
		in := prepare()
		before := s.scripts()
		s.b.StartTimer()
		do(in)
		s.b.StopTimer()
		used += s.scripts() - before
		n++
		s.b.StartTimer()
	}
	s.b.ReportMetric(float64(used.Microseconds())/float64(n), "redis-us/op")
}

// scripts is the time that Redis has spent in scripts.
func (s *step) scripts() time.Duration {
	text, err := s.rdb.Info(s.b.Context(), "commandstats").Result()
	if err != nil {
		s.b.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_fcall:"); ok {
			_, rest, _ = strings.Cut(rest, "usec=")
			us, _, _ := strings.Cut(rest, ",")
			n, err := strconv.ParseInt(us, 10, 64)
			if err != nil {
				s.b.Fatal(err)
			}
			return time.Duration(n) * time.Microsecond
		}
	}
	return 0
}

// BenchmarkStepScript runs each script of an operation's life once per operation, on
// a Redis without persistence.
func BenchmarkStepScript(b *testing.B) {
	b.Run("accept", func(b *testing.B) {
		s := newStep(b)
		measure(s, func() operation.Accepted { return s.accepted(uuid.New()) }, s.accept)
	})
	b.Run("next", func(b *testing.B) {
		s := newStep(b)
		var last redisstore.Lease
		measure(s, func() struct{} {
			s.end(last)
			s.accept(s.accepted(uuid.New()))
			return struct{}{}
		}, func(struct{}) { last = s.next() })
	})
	b.Run("record", func(b *testing.B) {
		s := newStep(b)
		measure(s, func() redisstore.Lease {
			s.accept(s.accepted(uuid.New()))
			return s.next()
		}, s.end)
	})
	b.Run("poll", func(b *testing.B) {
		s := newStep(b)
		measure(s, func() struct{} { return struct{}{} }, func(struct{}) {
			if _, err := s.store.Poll(b.Context(), 64); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("get", func(b *testing.B) {
		s := newStep(b)
		a := s.accepted(uuid.New())
		s.accept(a)
		s.end(s.next())
		measure(s, func() uuid.UUID { return a.ID }, func(id uuid.UUID) {
			if _, err := s.store.Get(b.Context(), s.conn, id); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// end records the success of a lease; the zero one is none.
func (s *step) end(l redisstore.Lease) {
	if l.ID == uuid.Nil {
		return
	}
	if _, err := s.store.Record(s.b.Context(), s.outcome(l)); err != nil {
		s.b.Fatal(err)
	}
}
