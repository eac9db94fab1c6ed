package work_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// drafting is a provider whose write is a call that a dry run can collect.
type drafting struct{ *provider }

func (d drafting) UpdateUser(ctx context.Context, _ tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	if u.Changes.Has(operation.FieldDOTID) {
		f := operation.Refuse("dot_id: no such field for PLANTED")
		f.StatusCode, f.Header = 400, map[string]string{"X-Request-Id": "of planted"}
		return tsp.Result{}, f
	}
	_, err := httpcall.New(httpcall.Config{}).Do(ctx, httpcall.Request{
		What: "write", Method: "PUT", URL: "http://127.0.0.1:1/users/7?k=planted", Body: []byte(`{"notes":"x"}`), Write: true,
	})
	return tsp.Result{}, err
}

// exchanged is a directory whose connections have what a token endpoint answered.
type exchanged struct{ connections }

func (c exchanged) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	conn, ok := c.connections.ConnectionByID(id)
	conn.Credentials = tsp.Credentials{"access_token": "planted", "user_id": "7", "token_type": "notes"}
	return conn, ok
}

func TestDryRun_ShowsTheCallAndStoresNothing(t *testing.T) {
	t.Parallel()
	p := drafting{&provider{limits: tsp.Limits{PerSecond: 0.01, Burst: 2}}}
	r := rigOn(t, p.provider)
	registry, err := tsp.NewRegistry(p)
	require.NoError(t, err)
	r.parts.Providers = registry
	r.parts.Directory = exchanged{}
	accepter := work.NewAccepter(r.parts, r.cfg, r.acker)

	op, calls, err := accepter.DryRun(t.Context(), r.change(uuid.New(), "x"), r.limits())
	require.NoError(t, err)
	require.Equal(t, operation.Succeeded, op.Status)
	require.Equal(t, []tsp.DraftCall{{Method: "PUT", Path: "/users/7?k=*****", Body: `{"notes":"x"}`}}, calls)

	refused := r.change(uuid.New(), "x")
	refused.Changes[operation.FieldDOTID] = operation.Text("1")
	op, calls, err = accepter.DryRun(t.Context(), refused, r.limits())
	require.NoError(t, err)
	require.Equal(t, operation.Failed, op.Status)
	require.Equal(t, "dot_id: no such field for [hidden]", op.Attempts[0].Detail)
	require.Equal(t, map[string]string{"X-Request-Id": "of [hidden]"}, op.Attempts[0].Header, "a provider may repeat a credential anywhere")
	require.Empty(t, calls)

	var later *operation.Error
	_, _, err = accepter.DryRun(t.Context(), r.change(uuid.New(), "x"), r.limits())
	require.ErrorAs(t, err, &later, "reads of a dry run count in the connection's rate")
	require.Equal(t, operation.CodeRateLimited, later.Code)
	ops, _, err := r.store.List(t.Context(), operation.Query{
		PartnerID: r.partner, From: op.CreatedAt().Add(-1e12), To: op.CreatedAt().Add(1e12), Limit: 10,
	})
	require.NoError(t, err)
	require.Empty(t, ops)
}
