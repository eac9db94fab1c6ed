package work_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

func key(scope, fingerprint string) *operation.Key {
	return &operation.Key{Scope: scope, Fingerprint: fingerprint}
}

// keyed is a change of the user under an idempotency key.
func (r *rig) keyed(user uuid.UUID, text, scope, fingerprint string) operation.Accepted {
	a := r.change(user, text)
	a.Key = key(scope, fingerprint)
	return a
}

func (r *rig) all() []operation.Operation {
	r.t.Helper()
	ops, more, err := r.store.List(r.t.Context(), operation.Query{
		PartnerID: r.partner, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: 2000,
	})
	require.NoError(r.t, err)
	require.False(r.t, more)
	return ops
}

// TestAccept_OneKeyAThousandTimesAtOnce sends the same write through two accepters,
// as two api processes would, and wants one operation and one call of it.
func TestAccept_OneKeyAThousandTimesAtOnce(t *testing.T) {
	t.Parallel()
	const times = 1000
	r := rigOn(t, &provider{})
	accepters := [2]*work.Accepter{r.accepter, work.NewAccepter(r.parts, r.cfg, r.acker)}
	user, start := uuid.New(), make(chan struct{})
	answers, errs := make([]uuid.UUID, times), make([]error, times)
	var senders sync.WaitGroup
	for i := range times {
		in := r.keyed(user, "once", "scope", "body")
		senders.Go(func() {
			<-start
			op, err := accepters[i%2].Accept(t.Context(), in, r.limits())
			answers[i], errs[i] = op.ID, err
		})
	}
	close(start)
	senders.Wait()
	for i := range times {
		require.NoError(t, errs[i])
		require.Equal(t, answers[0], answers[i], "every answer names the same operation")
	}
	require.Len(t, r.all(), 1)
	r.worker()
	require.Equal(t, operation.Succeeded, r.ended(answers[0]).Status)
	r.settled()
	require.Len(t, r.provider.received(), 1)

	late, err := r.accepter.Accept(t.Context(), r.keyed(user, "once", "scope", "body"), r.limits())
	require.NoError(t, err)
	require.Equal(t, answers[0], late.ID)
	require.Equal(t, operation.Succeeded, late.Status, "a replay shows the present state")
	require.Len(t, late.Attempts, 1)

	again, err := r.accepter.Repeated(t.Context(), r.conn, operation.Key{Scope: "scope", Fingerprint: "body"})
	require.NoError(t, err)
	require.Equal(t, late, again, "also without the request")
	var refused *operation.Error
	_, err = r.accepter.Repeated(t.Context(), r.conn, operation.Key{Scope: "another", Fingerprint: "body"})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeNotFound, refused.Code)
}

func TestAccept_KeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	r.accept(r.keyed(uuid.New(), "x", "scope", "body"))
	_, err := r.accepter.Accept(t.Context(), r.keyed(uuid.New(), "y", "scope", "other body"), r.limits())
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeInvalid, refused.Code)
	require.Equal(t, "idempotency_key_reused", refused.Faults[0].Type)
	require.Equal(t, "header.Idempotency-Key", refused.Faults[0].Path)
	require.Len(t, r.all(), 1)
}

// A refused request leaves no trace of its key: sent again it is a new request.
func TestAccept_RefusalsKeepNoKey(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	user := uuid.New()
	try := func(accept func(context.Context, operation.Accepted) error, code operation.Code) {
		t.Helper()
		var refused *operation.Error
		require.ErrorAs(t, accept(t.Context(), r.keyed(user, "x", "scope", "first body")), &refused)
		require.Equal(t, code, refused.Code)
		require.Equal(t, uuid.Nil, refused.Operation, "it is known that nothing was taken")
		keys, err := r.rdb.Keys(t.Context(), "wb:*:key:*").Result()
		require.NoError(t, err)
		require.Empty(t, keys)
	}
	synced := func(ctx context.Context, in operation.Accepted) error {
		_, err := r.accepter.Sync(ctx, in, r.limits())
		return err
	}
	require.NoError(t, r.store.Pause(t.Context(), r.conn, true))
	try(synced, operation.CodeConflict)
	try(func(ctx context.Context, in operation.Accepted) error {
		_, _, err := r.accepter.DryRun(ctx, in, r.limits())
		return err
	}, operation.CodeConflict)
	require.NoError(t, r.store.Pause(t.Context(), r.conn, false))

	first := r.accept(r.change(user, "first"))
	try(synced, operation.CodeConflict)

	bounded := func(cfg redisstore.Config) func(context.Context, operation.Accepted) error {
		parts := r.parts
		parts.Store = redisstore.New(r.rdb, cfg)
		full := work.NewAccepter(parts, r.cfg, r.acker)
		return func(ctx context.Context, in operation.Accepted) error {
			_, err := full.Accept(ctx, in, r.limits())
			return err
		}
	}
	try(bounded(redisstore.Config{LaneBound: 1}), operation.CodeRateLimited)
	r.parts.Publisher = &switched{publisher: r.pub, off: true}
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	r.accept(r.change(user, "stays in the outbox"))
	try(bounded(redisstore.Config{OutboxBound: 1}), operation.CodeUnavailable)

	op := r.accept(r.keyed(user, "x", "scope", "second body"))
	require.NotEqual(t, first.ID, op.ID)
}

// deaf is a Redis that takes what it is sent and whose answers are lost.
type deaf struct{ on atomic.Bool }

func (*deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if d.on.Load() {
			return io.ErrUnexpectedEOF
		}
		return err
	}
}

// TestAccept_LostAnswerClaimsNothing: whether the write was taken is not known, and the
// refusal says how to find out. It was, here, and its id is the one that is told.
func TestAccept_LostAnswerClaimsNothing(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	line := &deaf{}
	client := redis.NewClient(r.rdb.Options())
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(line)
	r.parts.Store = redisstore.New(client, redisstore.Config{})
	accepter := work.NewAccepter(r.parts, r.cfg, r.acker)
	_, err := accepter.Accept(t.Context(), r.change(uuid.New(), "learns the generation"), r.limits())
	require.NoError(t, err)

	one, sync, many := r.change(uuid.New(), "a"), r.change(uuid.New(), "b"), r.change(uuid.New(), "c")
	line.on.Store(true)
	_, lost := accepter.Accept(t.Context(), one, r.limits())
	_, lostSync := accepter.Sync(t.Context(), sync, r.limits())
	_, lostMany := accepter.AcceptMany(t.Context(), []operation.Accepted{many}, func(operation.Accepted) tsp.Limits { return r.limits() })
	_, lostRead := work.NewReader(r.parts.Store, r.parts.Log).Get(t.Context(), r.conn, one.ID)
	line.on.Store(false)
	for in, err := range map[*operation.Accepted]error{&one: lost, &sync: lostSync, &many: lostMany[0]} {
		var refused *operation.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, operation.CodeUnavailable, refused.Code)
		require.Equal(t, in.ID, refused.Operation)
		require.Contains(t, refused.Message, "not known whether the write was taken")
		require.Contains(t, refused.Message, in.ID.String())
		require.NotContains(t, refused.Message, "nothing is lost")
		_, err = r.store.Get(t.Context(), r.conn, in.ID)
		require.NoError(t, err, "it was taken")
	}
	var refused *operation.Error
	require.ErrorAs(t, lostRead, &refused)
	require.Equal(t, uuid.Nil, refused.Operation)
	require.Contains(t, refused.Message, "nothing is lost")
}

// switched is a publisher that can be turned off.
type switched struct {
	publisher *natsq.Publisher
	mu        sync.Mutex
	off       bool
	published atomic.Int64
}

func (s *switched) turn(off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = off
}

func (s *switched) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.off
}

func (s *switched) Accepted(ctx context.Context, m operation.Message, quiet bool) error {
	if !s.Connected() {
		return natsq.ErrAway
	}
	s.published.Add(1)
	return s.publisher.Accepted(ctx, m, quiet)
}

func (s *switched) Event(ctx context.Context, e operation.Event) error {
	if !s.Connected() {
		return natsq.ErrAway
	}
	return s.publisher.Event(ctx, e)
}

// TestReplay_PublishesBeforeItAnswers is the crash between accepting and publishing:
// the client sends again, and its answer means that the operation is in the stream.
// TestAccept_AnOutageIsFewLines: at level debug each operation has its own; the chaos runs read it.
func TestAccept_AnOutageIsFewLines(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	r := newRig(t, server.URL(), testenv.Redis(t), &provider{})
	var out bytes.Buffer
	r.parts.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	server.Kill()
	require.Eventually(t, func() bool { return !r.nc.IsConnected() }, 10*time.Second, 5*time.Millisecond)
	for range 5 {
		op := r.accept(r.change(uuid.New(), "x"))
		require.Contains(t, out.String(), `msg="accepted message not published yet; the outbox will" operation_id=`+op.ID.String())
	}
	require.Equal(t, 1, strings.Count(out.String(), "level=WARN"), out.String())
}

func TestReplay_PublishesBeforeItAnswers(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	pub := &switched{publisher: r.pub, off: true}
	r.parts.Publisher = pub
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	user := uuid.New()
	op := r.accept(r.keyed(user, "x", "scope", "body"))
	require.Zero(t, r.accepted(), "nobody has published it")

	replay := func() {
		t.Helper()
		got, err := r.accepter.Accept(t.Context(), r.keyed(user, "x", "scope", "body"), r.limits())
		require.NoError(t, err)
		require.Equal(t, op.ID, got.ID)
	}
	replay()
	require.Zero(t, r.accepted(), "a stream that is away is no reason to refuse")
	pub.turn(false)
	replay()
	require.EqualValues(t, 1, r.accepted())

	require.Eventually(t, func() bool {
		rec, err := r.store.GetRecord(t.Context(), r.conn, op.ID)
		return err == nil && rec.Accepted
	}, 10*time.Second, 5*time.Millisecond)
	replay()
	require.EqualValues(t, 1, pub.published.Load(), "what is in the stream is not published again")
}

// accepted counts the messages of the operation stream.
func (r *rig) accepted() uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), natsq.StreamOperations)
	require.NoError(r.t, err)
	info, err := s.Info(r.t.Context())
	require.NoError(r.t, err)
	return info.State.LastSeq
}

func TestCancel_EndsWhatIsPendingAndTells(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	op := r.accept(r.change(uuid.New(), "x")) // no worker: it stays pending
	got, err := r.accepter.Cancel(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Failed, got.Status)
	require.Len(t, got.Attempts, 1)
	require.Contains(t, got.Attempts[0].Detail, "cancelled")
	require.Zero(t, got.Attempted)
	events := r.events()
	require.Len(t, events, 1, "the event is out before the answer")
	require.Equal(t, operation.EventFailed, events[0].Kind)
	require.Equal(t, got, events[0].Operation)

	_, err = r.accepter.Cancel(t.Context(), r.conn, op.ID)
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeConflict, refused.Code)
	require.Contains(t, refused.Message, "ended as failed")

	_, err = r.accepter.Cancel(t.Context(), r.conn, uuid.New())
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeNotFound, refused.Code)
	r.settled()
	r.worker()
	require.Equal(t, operation.Succeeded, r.ended(r.accept(r.change(op.ResourceID, "y")).ID).Status)
	require.Len(t, r.provider.received(), 1, "what was cancelled is never called")
}

// A cancel during a call is a wish: the call's end decides.
func TestCancel_DuringACall(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		failure error
		want    operation.Status
	}{
		{"the call succeeds", nil, operation.Succeeded},
		{"the call would be repeated", &busyProvider, operation.Failed},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			called, finish := make(chan struct{}), make(chan struct{})
			p := &provider{answer: blocking(called, finish, row.failure)}
			r := rigOn(t, p)
			r.worker()
			op := r.accept(r.change(uuid.New(), "x"))
			<-called
			for range 2 { // asking again changes nothing
				got, err := r.accepter.Cancel(t.Context(), r.conn, op.ID)
				require.NoError(t, err)
				require.Equal(t, operation.Pending, got.Status)
			}
			close(finish)
			done := r.ended(op.ID)
			require.Equal(t, row.want, done.Status)
			require.Len(t, p.received(), 1)
			r.settled()
		})
	}
}

// first is an answer to the first call only; all others succeed.
func first(answer func(context.Context, int, tsp.UserUpdate) error) func(context.Context, int, tsp.UserUpdate) error {
	return func(ctx context.Context, n int, u tsp.UserUpdate) error {
		if n > 1 {
			return nil
		}
		return answer(ctx, n, u)
	}
}

// blocking is an answer that tells of its call and then waits to be let go.
func blocking(called, finish chan struct{}, failure error) func(context.Context, int, tsp.UserUpdate) error {
	return func(ctx context.Context, _ int, _ tsp.UserUpdate) error {
		close(called)
		select {
		case <-finish:
		case <-ctx.Done():
		}
		return failure
	}
}
