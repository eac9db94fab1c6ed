package simulator_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/simulator"
	"writeback/pkg/tsp/tsptest"
)

func newUser(more operation.Changes) operation.Changes {
	c := operation.Changes{operation.FieldUsername: operation.Text("ann"), operation.FieldNotes: operation.Null()}
	for f, v := range more {
		c[f] = v
	}
	return c
}

func TestCreateUser_HoldsOneUserPerOperation(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{})
	require.Equal(t, []operation.Field{operation.FieldUsername}, p.Describe().Create.Required)
	create := tsp.UserCreate{OperationID: uuid.New(), Changes: newUser(nil)}
	first, err := p.CreateUser(t.Context(), fleet, create)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, first.StatusCode)
	create.Repeat = true
	second, err := p.CreateUser(t.Context(), fleet, create)
	require.NoError(t, err)
	require.Equal(t, first, second)
	create.OperationID = uuid.New()
	other, err := p.CreateUser(t.Context(), fleet, create)
	require.NoError(t, err)
	require.NotEqual(t, first.SourceID, other.SourceID)

	page, err := p.ListUsers(t.Context(), fleet, "")
	require.NoError(t, err)
	require.Len(t, page.Users, 2)
	held, err := p.ReadUser(t.Context(), fleet, first.SourceID)
	require.NoError(t, err)
	require.Equal(t, operation.Changes{operation.FieldUsername: operation.Text("ann")}, held)
}

func TestCreateUser_NeedsAUsername(t *testing.T) {
	t.Parallel()
	for _, c := range []operation.Changes{
		nil, {operation.FieldUsername: operation.Null()}, {operation.FieldUsername: operation.Text("")},
	} {
		p := simulator.New(simulator.Config{})
		_, err := p.CreateUser(t.Context(), fleet, tsp.UserCreate{OperationID: uuid.New(), Changes: c})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.Contains(t, f.Detail, "username")
	}
}

func TestCreateUser_Simulated(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{})
	create := tsp.UserCreate{OperationID: uuid.New(), Changes: newUser(designation("simulate:flaky:1"))}
	_, err := p.CreateUser(t.Context(), fleet, create)
	require.True(t, tsptest.Failure(t, err).Retryable)
	page, err := p.ListUsers(t.Context(), fleet, "")
	require.NoError(t, err)
	require.Empty(t, page.Users)
	create.Repeat = true
	_, err = p.CreateUser(t.Context(), fleet, create)
	require.NoError(t, err)
}

func TestDryRun_ShowsOneCallAndKeepsNothing(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{Latency: time.Hour})
	d := &httpcall.Draft{}
	ctx := httpcall.WithDraft(t.Context(), d)
	// What the provider would answer is not known before it is asked.
	_, err := p.UpdateUser(ctx, fleet, tsp.UserUpdate{SourceID: "a/b", Changes: designation("simulate:tsp")})
	require.ErrorIs(t, err, httpcall.ErrDraft)
	_, err = p.CreateUser(ctx, fleet, tsp.UserCreate{OperationID: uuid.New(), Changes: newUser(nil)})
	require.ErrorIs(t, err, httpcall.ErrDraft)
	require.Equal(t, []tsp.DraftCall{
		{Method: "PATCH", Path: "/users/a%2Fb", Body: `{"notes":"n","user_designation":"simulate:tsp"}`},
		{Method: "POST", Path: "/users", Body: `{"notes":null,"username":"ann"}`},
	}, d.Calls)
	require.Empty(t, p.User(fleet.ID, "a/b"))

	_, err = p.UpdateUser(ctx, fleet, tsp.UserUpdate{SourceID: "u", Changes: designation("simulate:nothing")})
	require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, err).Type, "what is refused here is refused in a dry run")
	require.Len(t, d.Calls, 2)
}

func TestListUsers_WalksAllOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 99, 100, 101, 250} {
		p := simulator.New(simulator.Config{})
		want := map[string]bool{}
		for i := range n {
			id := fmt.Sprintf("u%03d", i)
			want[id] = true
			_, err := p.UpdateUser(t.Context(), fleet, tsp.UserUpdate{SourceID: id, Changes: designation("driver")})
			require.NoError(t, err)
		}
		_, err := p.UpdateUser(t.Context(), tsp.Connection{ID: uuid.New()}, tsp.UserUpdate{SourceID: "foreign", Changes: designation("x")})
		require.NoError(t, err)
		got := map[string]bool{}
		for cursor := ""; ; {
			page, err := p.ListUsers(t.Context(), fleet, cursor)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, page.Result.StatusCode)
			for _, u := range page.Users {
				require.False(t, got[u.SourceID], u.SourceID)
				require.Equal(t, designation("driver"), u.Fields)
				got[u.SourceID] = true
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		require.Equal(t, want, got)
	}
}

func TestReadUser_NotHeldHasNoFields(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{})
	held, err := p.ReadUser(t.Context(), fleet, "nobody")
	require.NoError(t, err)
	require.NotNil(t, held)
	require.Empty(t, held)
}

func TestReads_EndWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := simulator.New(simulator.Config{Latency: time.Hour})
	_, err := p.ListUsers(ctx, fleet, "")
	require.Equal(t, operation.ErrorNetwork, tsptest.Failure(t, err).Type)
	_, err = p.ReadUser(ctx, fleet, "u")
	require.Equal(t, operation.ErrorNetwork, tsptest.Failure(t, err).Type)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	p := simulator.New(simulator.Config{})
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			id := fmt.Sprint(i % 8)
			if _, err := p.UpdateUser(t.Context(), fleet, tsp.UserUpdate{SourceID: id, Changes: designation("d")}); err != nil {
				t.Errorf("update: %v", err)
			}
			if _, err := p.CreateUser(t.Context(), fleet, tsp.UserCreate{OperationID: uuid.New(), Changes: newUser(nil)}); err != nil {
				t.Errorf("create: %v", err)
			}
			if _, err := p.ListUsers(t.Context(), fleet, ""); err != nil {
				t.Errorf("list: %v", err)
			}
			if held, err := p.ReadUser(t.Context(), fleet, id); err != nil || len(held) != 2 {
				t.Errorf("read: %v %v", held, err)
			}
		})
	}
	group.Wait()
}
