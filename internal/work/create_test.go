package work_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// full is a provider that can also create and read back.
type full struct {
	*provider
	created atomic.Int32
	holds   operation.Changes
	read    atomic.Value // the id of the user that was read last
}

func (f *full) CreateUser(_ context.Context, _ tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	if f.created.Add(1) == 1 {
		return tsp.Created{}, &operation.Failure{Type: operation.ErrorTSP, Retryable: true, Detail: "500"}
	}
	if !u.Repeat {
		return tsp.Created{}, operation.Refuse("a second attempt must say that it is one")
	}
	return tsp.Created{Result: tsp.Result{StatusCode: 201}, SourceID: "new-1"}, nil
}

func (f *full) ReadUser(_ context.Context, _ tsp.Connection, id string) (operation.Changes, error) {
	f.read.Store(id)
	return f.holds, nil
}

// settings is a directory whose connections read back, and which remembers users.
type settings struct {
	connections
	learned chan tsp.ListedUser
}

func (s settings) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	c, ok := s.connections.ConnectionByID(id)
	c.Settings = map[string]string{"read_back": "true"}
	return c, ok
}

func (s settings) Learn(_ context.Context, _ uuid.UUID, users []tsp.ListedUser) (directory.Count, error) {
	for _, u := range users {
		s.learned <- u
	}
	return directory.Count{}, nil
}

func TestCreate_GetsItsIdsOnSuccess(t *testing.T) {
	t.Parallel()
	p := &full{provider: &provider{}}
	r := rigOn(t, p.provider)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	dir := settings{learned: make(chan tsp.ListedUser, 10)}
	r.parts.Providers, r.parts.Directory = registry, dir
	r.worker()
	a := r.change(uuid.Nil, "new")
	a.Type, a.SourceID = operation.Create, ""
	op := r.accept(a)
	require.Equal(t, uuid.Nil, op.ResourceID)
	done := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Equal(t, "new-1", done.SourceID)
	require.Equal(t, directory.UserID(r.conn, "new-1"), done.ResourceID)
	require.Len(t, done.Attempts, 2)
	require.Equal(t, "new-1", p.read.Load())
	user := <-dir.learned
	require.Equal(t, "new-1", user.SourceID)
	r.settled()
	require.Equal(t, done, r.events()[1].Operation)
}

func TestReadBack_NamesWhatWasNotTaken(t *testing.T) {
	t.Parallel()
	p := &full{provider: &provider{}, holds: operation.Changes{
		operation.FieldNotes: operation.Text("something else"), operation.FieldUsername: operation.Text("u"),
	}}
	r := rigOn(t, p.provider)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	r.parts.Providers, r.parts.Directory = registry, settings{}
	r.worker()
	a := r.change(uuid.New(), "x")
	a.Changes[operation.FieldUsername] = operation.Text("u")
	a.Changes[operation.FieldDOTID] = operation.Text("cannot be read back")
	done := r.ended(r.accept(a).ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Equal(t, []operation.Field{operation.FieldNotes}, done.Attempts[0].Unapplied)
	require.Equal(t, a.SourceID, p.read.Load())
}

func TestProviderBudget_BlocksAfterASuccess(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{limits: tsp.Limits{InFlight: 1}, spent: true})
	r.worker()
	r.ended(r.accept(r.change(uuid.New(), "x")).ID)
	waiting := r.accept(r.change(uuid.New(), "x"))
	op, err := r.store.Get(t.Context(), r.conn, waiting.ID)
	require.NoError(t, err)
	require.Equal(t, operation.WaitProviderBackoff, op.Wait.Reason)
}

// renewing is a directory in which somebody else renews the credential for a while.
type renewing struct {
	connections
	busy atomic.Int32
}

func (r *renewing) Credentials(context.Context, uuid.UUID, tsp.Credentials, tsp.Refresher) (tsp.Credentials, error) {
	if r.busy.Add(-1) >= 0 {
		return nil, errors.New("another process renews it")
	}
	return tsp.Credentials{"session_id": "s"}, nil
}

// login is a provider whose credential is never fresh.
type login struct{ *provider }

func (login) Fresh(tsp.Credentials, time.Time) bool { return false }

func (login) Refresh(context.Context, tsp.Connection) (tsp.Credentials, error) { return nil, nil }

// slowly is a directory whose first login takes longer than a start window.
type slowly struct {
	connections
	window time.Duration
	asked  atomic.Int32
}

func (s *slowly) Credentials(context.Context, uuid.UUID, tsp.Credentials, tsp.Refresher) (tsp.Credentials, error) {
	if s.asked.Add(1) == 1 {
		<-time.After(2 * s.window)
	}
	return tsp.Credentials{"session_id": "s"}, nil
}

// No call starts after its window, also when it was a credential that took so long.
func TestCredential_TooLateIsGivenBack(t *testing.T) {
	t.Parallel()
	p := login{&provider{}}
	r := rigOn(t, p.provider)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	dir := &slowly{window: 300 * time.Millisecond}
	called := make(chan int32, 10)
	p.answer = func(context.Context, int, tsp.UserUpdate) error {
		called <- dir.asked.Load()
		return nil
	}
	r.parts.Store = redisstore.New(r.rdb, redisstore.Config{StartWindow: dir.window})
	r.parts.Providers, r.parts.Directory = registry, dir
	r.worker()
	a := r.change(uuid.New(), "x")
	a.MaxAttempts = 1
	done := r.ended(r.accept(a).ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, done.Attempts, 1, "what was given back is no attempt")
	require.Len(t, p.received(), 1)
	require.Greater(t, <-called, int32(1), "the call that waited was not made")
}

func TestCredential_WaitingForItIsNoAttempt(t *testing.T) {
	t.Parallel()
	p := login{&provider{}}
	r := rigOn(t, p.provider)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	dir := &renewing{}
	dir.busy.Store(2)
	r.parts.Providers, r.parts.Directory = registry, dir
	r.worker()
	a := r.change(uuid.New(), "x")
	a.MaxAttempts = 1
	done := r.ended(r.accept(a).ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, done.Attempts, 1)
}
