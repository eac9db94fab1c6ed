package work_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// expired is a provider whose credential is over, and who refuses to renew it.
type expired struct {
	*provider
	// told says that the end is known without a call.
	told  bool
	asked atomic.Int32
}

func (e *expired) Fresh(tsp.Credentials, time.Time) bool { return !e.told }

func (e *expired) Refresh(context.Context, tsp.Connection) (tsp.Credentials, error) {
	e.asked.Add(1)
	return nil, &operation.Failure{Type: operation.ErrorAuth, StatusCode: 400, Detail: "fake: refresh token: the provider answered 400: invalid_grant"}
}

// 64 operations meet a credential that cannot be renewed. The provider is asked once
// for a new one, the connection fails with the reason, and no operation is called for
// more than once or tried again.
func TestCredential_RefusedRefreshEndsEverythingOnce(t *testing.T) {
	t.Parallel()
	const many = 64
	for _, told := range []bool{false, true} {
		t.Run(fmt.Sprintf("the end is known %t", told), func(t *testing.T) {
			t.Parallel()
			p := &expired{provider: &provider{limits: tsp.Limits{InFlight: 8, Call: 5 * time.Second}}, told: told}
			p.answer = func(context.Context, int, tsp.UserUpdate) error {
				return &operation.Failure{Type: operation.ErrorAuth, StatusCode: 401, Refresh: true, Detail: "fake: the provider answered 401"}
			}
			r := rigOn(t, p.provider)
			dir, ids := r.refreshing(p, many)
			r.worker()
			for _, id := range ids {
				op := r.ended(id)
				require.Equal(t, operation.Failed, op.Status)
				require.NotEmpty(t, op.Attempts)
				last := op.Attempts[len(op.Attempts)-1]
				require.Equal(t, operation.ErrorAuth, last.ErrorType)
				if told {
					require.Len(t, op.Attempts, 1)
				}
				require.LessOrEqual(t, len(op.Attempts), 2, "a 401, and that it could not be renewed")
			}
			require.EqualValues(t, 1, p.asked.Load(), "one refusal is enough")
			c, ok := dir.ConnectionByID(r.conn)
			require.True(t, ok)
			require.Equal(t, directory.ConnectionFailed, c.Status)
			require.Contains(t, c.StatusReason, "invalid_grant")

			calls := map[uuid.UUID]int{}
			for _, u := range p.received() {
				calls[u.OperationID]++
				require.Equal(t, 1, calls[u.OperationID], "no operation is called for twice")
			}
			if told {
				require.Empty(t, calls, "a credential that is over is not tried")
			}
			lane, err := r.store.Lane(t.Context(), r.conn)
			require.NoError(t, err)
			require.Zero(t, lane.Outstanding)
		})
	}
}

// rotating is a provider whose first token ends while a number of calls are under way. A
// new token ends the one before.
type rotating struct {
	*provider
	under   sync.WaitGroup // calls with the first token
	told    atomic.Int32   // those of them that are answered
	renewed chan struct{}
	asked   atomic.Int32
	valid   atomic.Value
}

func (p *rotating) Fresh(tsp.Credentials, time.Time) bool { return true }

func (p *rotating) Refresh(context.Context, tsp.Connection) (tsp.Credentials, error) {
	n := p.asked.Add(1)
	token := fmt.Sprint("new-", n)
	p.valid.Store(token)
	if n == 1 {
		close(p.renewed)
	}
	return tsp.Credentials{"access_token": token}, nil
}

func (p *rotating) UpdateUser(_ context.Context, c tsp.Connection, _ tsp.UserUpdate) (tsp.Result, error) {
	if c.Credentials["access_token"] == "old" {
		p.under.Done()
		p.under.Wait()
		if p.told.Add(1) > 1 {
			<-p.renewed
		}
	}
	if c.Credentials["access_token"] != p.valid.Load() {
		return tsp.Result{}, &operation.Failure{Type: operation.ErrorAuth, StatusCode: 401, Refresh: true, Detail: "fake: the provider answered 401"}
	}
	return tsp.Result{StatusCode: 200}, nil
}

// TestCredential_OneEndIsOneRefresh: calls that learn of the end of a token when another
// has been got already use that one.
func TestCredential_OneEndIsOneRefresh(t *testing.T) {
	t.Parallel()
	const calls = 8
	p := &rotating{provider: &provider{limits: tsp.Limits{InFlight: calls, Call: 5 * time.Second}}, renewed: make(chan struct{})}
	p.under.Add(calls)
	p.valid.Store("")
	r := rigOn(t, p.provider)
	_, ids := r.refreshing(p, calls)
	r.worker()
	for _, id := range ids {
		op := r.ended(id)
		require.Equal(t, operation.Succeeded, op.Status, "%v", op.Attempts)
		require.Len(t, op.Attempts, 2, "the refused call, and one with the new token")
	}
	require.EqualValues(t, 1, p.asked.Load())
}

// Who does not try again by himself finds another credential when he comes back: a session
// that nobody renews is refused for ever.
func TestCredential_RefusedOnceIsRenewedForTheNext(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*work.Accepter, context.Context, operation.Accepted, tsp.Limits) (operation.Operation, error){
		"sync": (*work.Accepter).Sync,
		"dry run": func(a *work.Accepter, ctx context.Context, in operation.Accepted, l tsp.Limits) (operation.Operation, error) {
			op, _, err := a.DryRun(ctx, in, l)
			return op, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &rotating{provider: &provider{limits: tsp.Limits{InFlight: 1, Call: 5 * time.Second}}, renewed: make(chan struct{})}
			p.under.Add(1)
			p.valid.Store("")
			r := rigOn(t, p.provider)
			r.refreshing(p, 0)
			accepter := work.NewAccepter(r.parts, r.cfg, r.acker)
			for _, want := range []operation.Status{operation.Failed, operation.Succeeded} {
				op, err := call(accepter, t.Context(), r.change(uuid.New(), "x"), r.limits())
				require.NoError(t, err)
				require.Equal(t, want, op.Status, "%v", op.Attempts)
			}
			require.EqualValues(t, 1, p.asked.Load())
		})
	}
}

// The same with an operation that may be attempted once only.
func TestCredential_RefusedAtTheLastAttemptIsRenewed(t *testing.T) {
	t.Parallel()
	p := &rotating{provider: &provider{limits: tsp.Limits{InFlight: 1, Call: 5 * time.Second}}, renewed: make(chan struct{})}
	p.under.Add(1)
	p.valid.Store("")
	r := rigOn(t, p.provider)
	dir, _ := r.refreshing(p, 0)
	r.worker()
	once := func() operation.Operation {
		in := r.change(uuid.New(), "x")
		in.MaxAttempts = 1
		return r.ended(r.accept(in).ID)
	}
	require.Equal(t, operation.Failed, once().Status)
	require.Eventually(t, func() bool {
		c, _ := dir.ConnectionByID(r.conn)
		return c.Credentials["access_token"] == "new-1"
	}, 30*time.Second, time.Millisecond)
	require.Equal(t, operation.Succeeded, once().Status)
}

// stubborn is a provider who gives new tokens and refuses all of them.
type stubborn struct {
	*provider
	asked atomic.Int32
}

func (*stubborn) Fresh(tsp.Credentials, time.Time) bool { return true }

func (p *stubborn) Refresh(context.Context, tsp.Connection) (tsp.Credentials, error) {
	return tsp.Credentials{"access_token": fmt.Sprint("new-", p.asked.Add(1))}, nil
}

// A credential that is refused when it was just renewed is not renewed once more.
func TestCredential_RenewedAndRefusedIsTheEnd(t *testing.T) {
	t.Parallel()
	p := &stubborn{provider: &provider{}}
	p.answer = flaky(100, operation.Failure{Type: operation.ErrorAuth, StatusCode: 401, Refresh: true, Detail: "fake: the provider answered 401"})
	r := rigOn(t, p.provider)
	_, ids := r.refreshing(p, 1)
	stop := r.worker()
	op := r.ended(ids[0])
	stop() // and all that follows an end is done
	require.Equal(t, operation.Failed, op.Status)
	require.Len(t, op.Attempts, 2)
	require.EqualValues(t, 1, p.asked.Load())
}

// refreshing has the rig write to a provider whose credentials it renews, over a real
// directory, and accepts one operation for each of n users.
func (r *rig) refreshing(p tsp.Provider, n int) (dir *directory.Directory, ids []uuid.UUID) {
	r.t.Helper()
	dir, users := r.fleet(n)
	registry, err := tsp.NewRegistry(p)
	require.NoError(r.t, err)
	r.parts.Providers, r.parts.Directory = registry, dir
	for _, user := range users {
		ids = append(ids, r.accept(r.change(user, "x")).ID)
	}
	return dir, ids
}

// fleet is a real directory with the rig's connection and users on it.
func (r *rig) fleet(n int) (*directory.Directory, []uuid.UUID) {
	r.t.Helper()
	var users []uuid.UUID
	var lines []string
	for i := range n {
		users = append(users, uuid.Must(uuid.NewV7()))
		lines = append(lines, fmt.Sprintf("{id: %s, source_id: s%d}", users[i], i))
	}
	file := filepath.Join(r.t.TempDir(), "registry.yaml")
	text := fmt.Sprintf("partners: [{id: %s, name: P, connections: [{id: %s, provider: fake, credentials: {access_token: old}, users: [%s]}]}]",
		r.partner, r.conn, strings.Join(lines, ", "))
	require.NoError(r.t, os.WriteFile(file, []byte(text), 0o600))
	dir, err := directory.Open(r.t.Context(), r.js, directory.Config{Providers: []string{"fake"}})
	require.NoError(r.t, err)
	_, err = dir.LoadFile(r.t.Context(), file)
	require.NoError(r.t, err)
	return dir, users
}
