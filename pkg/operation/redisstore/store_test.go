package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// fixture is one lane on one store.
type fixture struct {
	t       *testing.T
	rdb     *redis.Client
	store   *redisstore.Store
	partner uuid.UUID
	conn    uuid.UUID
	limits  redisstore.Limits
	// embedded: the store is the in-process Redis, which makes the scripts anew for every
	// run. Tests of many runs make fewer there.
	embedded bool
}

var roomy = redisstore.Limits{InFlight: 100, Call: 20 * time.Second, Life: time.Hour}

// client is one of the server's, closed at the end.
func client(t testing.TB, url string) *redis.Client {
	t.Helper()
	opt, err := redis.ParseURL(url)
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func newFixture(t *testing.T, url string, cfg redisstore.Config) *fixture {
	t.Helper()
	rdb := client(t, url)
	f := &fixture{
		t: t, rdb: rdb, store: redisstore.New(rdb, cfg),
		partner: uuid.Must(uuid.NewV7()), conn: uuid.Must(uuid.NewV7()), limits: roomy,
	}
	require.NoError(t, f.store.Begin(t.Context(), allShards()))
	return f
}

func allShards() []int {
	shards := make([]int, operation.Shards)
	for i := range shards {
		shards[i] = i
	}
	return shards
}

// both runs the test on a real Redis and on the in-process one of the dev stack,
// whose scripts must mean the same.
func both(t *testing.T, cfg redisstore.Config, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, testenv.Redis(t), cfg))
	})
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, "redis://"+miniredis.RunT(t).Addr(), cfg)
		f.embedded = true
		test(t, f)
	})
}

func (f *fixture) accepted(user uuid.UUID) operation.Accepted {
	return operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: f.partner, ConnectionID: f.conn,
		Provider: "catena_simulator", Resource: operation.ResourceUser, ResourceID: user, SourceID: "7",
		Type: operation.Update, Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
	}
}

func (f *fixture) accept(a operation.Accepted) redisstore.Receipt {
	f.t.Helper()
	r, err := f.store.Accept(f.t.Context(), a, f.limits)
	require.NoError(f.t, err)
	return r
}

func (f *fixture) next(n int) redisstore.Handout {
	f.t.Helper()
	h, err := f.store.Next(f.t.Context(), f.conn, f.limits, ids(n), nil)
	require.NoError(f.t, err)
	return h
}

func ids(n int) []uuid.UUID {
	out := make([]uuid.UUID, n)
	for i := range out {
		out[i] = uuid.Must(uuid.NewV7())
	}
	return out
}

func (f *fixture) outcome(l redisstore.Lease, d operation.Decision) redisstore.Outcome {
	a := operation.Attempt{
		ID: l.AttemptID, OperationID: l.ID, StartedAt: time.Now().UTC().Truncate(time.Microsecond),
		EndedAt: time.Now().UTC().Truncate(time.Microsecond), Status: operation.AttemptSucceeded, StatusCode: 200,
	}
	if d.Verdict != operation.Succeed {
		a.Status, a.ErrorType, a.Detail, a.StatusCode = operation.AttemptFailed, operation.ErrorTSP, "no", 500
	}
	reach := redisstore.Answered
	if d.Network {
		reach = redisstore.Unreached
	}
	return redisstore.Outcome{Connection: l.ConnectionID, Attempt: a, Decision: d, Reach: reach}
}

func (f *fixture) record(l redisstore.Lease, d operation.Decision) redisstore.Recorded {
	f.t.Helper()
	r, err := f.store.Record(f.t.Context(), f.outcome(l, d))
	require.NoError(f.t, err)
	return r
}

func (f *fixture) get(id uuid.UUID) operation.Operation {
	f.t.Helper()
	op, err := f.store.Get(f.t.Context(), f.conn, id)
	require.NoError(f.t, err)
	return op
}

// due reports whether the lane is in the due index, and from when.
func (f *fixture) due() (time.Time, bool) {
	f.t.Helper()
	ms, err := f.rdb.ZScore(f.t.Context(), f.key("due"), f.conn.String()).Result()
	if err != nil {
		require.ErrorIs(f.t, err, redis.Nil)
		return time.Time{}, false
	}
	return time.UnixMilli(int64(ms)), true
}

func (f *fixture) key(name string) string {
	return "wb:{" + twoDigits(operation.ShardOf(f.conn)) + "}:" + name
}

// forget takes the marks and beats of all processes, as a roll-back to before the
// first poll does.
func (f *fixture) forget() error {
	keys, err := f.rdb.Keys(f.t.Context(), f.key("mark:*")).Result()
	if err != nil {
		return err
	}
	return f.rdb.Del(f.t.Context(), append(keys, f.key("beat"))...).Err()
}

func twoDigits(n int) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }

func ackAll(ctx context.Context, s *redisstore.Store, r redisstore.Record) error {
	ack := redisstore.Ack{
		Connection: r.Operation.ConnectionID, ID: r.Operation.ID, Accepted: true,
		Rows: len(r.Operation.Attempts), RowVersion: r.RowVersion, Final: r.Operation.Status.Terminal(),
	}
	if ack.Final {
		ack.Ended = &r.Operation
	}
	return s.Acked(ctx, []redisstore.Ack{ack})
}

// A log line says where Redis is, and shows nobody's password.
func TestAddress(t *testing.T) {
	t.Parallel()
	one := redis.NewClient(&redis.Options{Addr: "redis.internal:6379", Username: "me", Password: "hush"})
	some := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"a:1", "b:2"}, Password: "hush"})
	t.Cleanup(func() { _, _ = one.Close(), some.Close() })
	require.Equal(t, "redis.internal:6379", redisstore.New(one, redisstore.Config{}).Address())
	require.Equal(t, "a:1,b:2", redisstore.New(some, redisstore.Config{}).Address())
}
