package directory

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// tokens is a provider whose tokens are numbered; a refresh spends the old one.
type tokens struct {
	calls atomic.Int64
	// during runs inside a refresh.
	during func()
	err    error
}

func (p *tokens) Fresh(c tsp.Credentials, _ time.Time) bool { return c["access_token"] != "" }

func (p *tokens) Refresh(ctx context.Context, _ tsp.Connection) (tsp.Credentials, error) {
	n := p.calls.Add(1)
	if p.during != nil {
		p.during()
	}
	if p.err != nil {
		return nil, p.err
	}
	return token(fmt.Sprintf("new-%d", n)), ctx.Err() // as an adapter's call, which ends with it
}

func token(s string) tsp.Credentials { return tsp.Credentials{"access_token": s} }

func stored(d *Directory) tsp.Credentials {
	c, _ := d.ConnectionByID(id("c1"))
	return c.Credentials
}

const old = "credentials: {access_token: old}"

func TestCredentials_StoredOnesWin(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	for _, tc := range []struct {
		name  string
		stale tsp.Credentials
		by    tsp.Refresher
		want  string
		calls int64
	}{
		{"no refresher", nil, nil, "old", 0},
		{"fresh", nil, &tokens{}, "old", 0},
		{"another set was refused", token("older"), &tokens{}, "old", 0},
		{"this set was refused", token("old"), &tokens{}, "new-1", 1},
		{"the set before was refused", token("old"), &tokens{}, "new-1", 0},
	} {
		got, err := d.Credentials(t.Context(), id("c1"), tc.stale, tc.by)
		require.NoError(t, err, tc.name)
		require.Equal(t, token(tc.want), got, tc.name)
		require.Equal(t, got, stored(d), tc.name)
		if p, ok := tc.by.(*tokens); ok {
			require.Equal(t, tc.calls, p.calls.Load(), tc.name)
		}
	}
	var failure *operation.Failure
	_, err := d.Credentials(t.Context(), id("c1"), token("new-1"), nil)
	require.ErrorAs(t, err, &failure)
	require.Equal(t, operation.ErrorAuth, failure.Type)
	_, err = d.Credentials(t.Context(), id("cc"), nil, nil)
	require.ErrorAs(t, err, &failure)
}

func TestCredentials_FirstLogin(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one("credentials: {username: u}"))
	got, err := d.Credentials(t.Context(), id("c1"), nil, &tokens{})
	require.NoError(t, err)
	require.Equal(t, token("new-1"), got)
}

func TestCredentials_ManyCallersRefreshOnce(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	processes := []*Directory{open(t, url), open(t, url), open(t, url)}
	load(t, processes[0], one(old))
	for _, d := range processes {
		require.Eventually(t, func() bool { return stored(d) != nil }, soon, time.Millisecond)
	}
	p := &tokens{}
	const callers = 30
	got := make([]tsp.Credentials, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			var err error
			if got[i], err = processes[i%len(processes)].Credentials(t.Context(), id("c1"), token("old"), p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, p.calls.Load())
	for _, set := range got {
		require.Equal(t, token("new-1"), set)
	}
	for _, d := range processes {
		require.Equal(t, token("new-1"), stored(d))
	}
}

func TestCredentials_RefusalComesBackAndIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	refused := &operation.Failure{Type: operation.ErrorAuth, Detail: "refused", StatusCode: 401}
	p := &tokens{err: refused}
	_, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.Same(t, refused, err)
	for range 2 {
		var failure *operation.Failure
		_, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
		require.ErrorAs(t, err, &failure)
		require.Equal(t, "the connection is failed: refused", failure.Detail)
		require.False(t, failure.Retryable)
	}
	require.EqualValues(t, 1, p.calls.Load())
	require.Equal(t, token("old"), stored(d))
	c, _ := d.held(id("c1"))
	require.Nil(t, c.renewal, "the claim is cleared")
	require.Equal(t, ConnectionFailed, c.Status)
	require.Equal(t, "refused", c.StatusReason)
	require.Zero(t, load(t, d, one(old)).Writes(), "the same credentials given again change nothing")

	p.err = nil
	load(t, d, one("credentials: {access_token: given}"))
	got, err := d.Credentials(t.Context(), id("c1"), token("given"), p)
	require.NoError(t, err)
	require.Equal(t, token("new-2"), got, "other credentials are asked for at once")
}

func TestCredentials_RetryableFailureIsAskedAgain(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	p := &tokens{err: &operation.Failure{Type: operation.ErrorNetwork, Retryable: true}}
	_, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.Same(t, p.err, err)
	p.err = nil
	got, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.NoError(t, err)
	require.Equal(t, token("new-2"), got)
}

func TestCredentials_PanicFailsOnlyTheCall(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	p := &tokens{during: func() { panic("boom") }}
	_, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.ErrorContains(t, err, "panic")
	p.during = nil
	got, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.NoError(t, err)
	require.Equal(t, token("new-2"), got)
}

func TestCredentials_CallerGivesUpRefreshGoesOn(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	ctx, cancel := context.WithCancel(t.Context())
	p := &tokens{during: cancel}
	_, err := d.Credentials(ctx, id("c1"), token("old"), p)
	if err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
	got, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.NoError(t, err)
	require.Equal(t, token("new-1"), got)
	require.EqualValues(t, 1, p.calls.Load())
}

func TestCredentials_OthersClaim(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	d, peer := open(t, url), open(t, url)
	load(t, peer, one(old))
	c, _ := peer.held(id("c1"))
	require.NoError(t, peer.claim(t.Context(), c))
	claimed := func() bool { c, ok := d.held(id("c1")); return ok && c.renewal != nil }
	require.Eventually(t, claimed, soon, time.Millisecond)

	p := &tokens{}
	got := make(chan tsp.Credentials, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), soon) // well before the claim runs out
		defer cancel()
		set, err := d.Credentials(ctx, id("c1"), token("old"), p)
		if err != nil {
			t.Error(err)
		}
		got <- set
	}()
	c, _ = peer.held(id("c1"))
	_, err := peer.save(t.Context(), c.ID, c.Credentials, token("peers"))
	require.NoError(t, err)
	require.Equal(t, token("peers"), <-got, "a claim is waited for")
	require.Zero(t, p.calls.Load())

	c, _ = peer.held(id("c1"))
	peer.now = func() time.Time { return time.Now().Add(-2 * renewalTTL) }
	require.NoError(t, peer.claim(t.Context(), c))
	require.Eventually(t, claimed, soon, time.Millisecond)
	set, err := d.Credentials(t.Context(), id("c1"), token("peers"), p)
	require.NoError(t, err)
	require.Equal(t, token("new-1"), set, "a claim that ran out is taken over")
}

func TestCredentials_FileChangesDuringRefresh(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	p := &tokens{during: func() { load(t, d, one("description: b, credentials: {access_token: given}")) }}
	got, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.NoError(t, err)
	require.Equal(t, token("given"), got)
	c, _ := d.held(id("c1"))
	require.Nil(t, c.renewal)
	require.Equal(t, "b", c.Description)
}

func TestLoadFile_KeepsWhatWasRefreshed(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	_, err := d.Credentials(t.Context(), id("c1"), token("old"), &tokens{})
	require.NoError(t, err)
	require.Zero(t, load(t, d, one(old)).Writes())
	require.Equal(t, Count{Updated: 1}, load(t, d, one("description: x, "+old)).Connections)
	require.Equal(t, token("new-1"), stored(d), "the same credentials given again")
	load(t, d, one("credentials: {access_token: given}"))
	require.Equal(t, token("given"), stored(d), "other credentials given")
}

func TestCredentials_NATSDiesDuringRefresh(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	d := open(t, server.URL())
	load(t, d, one(old))
	killed := make(chan struct{})
	p := &tokens{during: func() { server.Kill(); close(killed) }}
	got := make(chan tsp.Credentials, 1)
	go func() {
		set, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
		if err != nil {
			t.Error(err)
		}
		got <- set
	}()
	<-killed
	require.Eventually(t, func() bool {
		d.renewals.mu.Lock()
		defer d.renewals.mu.Unlock()
		return maps.Equal(d.renewals.unsaved[id("c1")].set, token("new-1"))
	}, soon, time.Millisecond, "a refresh may have spent the stored token, so what it gave outlives the call")
	require.Empty(t, got)
	require.NoError(t, server.Restart())
	require.Equal(t, token("new-1"), <-got)
	require.Equal(t, token("new-1"), stored(open(t, server.URL())), "it is stored before anybody has it")
}

func TestCredentials_UnsavedSetIsSavedFirst(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	d.keep(id("c1"), unsaved{from: token("old"), set: token("unsaved")})
	p := &tokens{}
	got, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.NoError(t, err)
	require.Equal(t, token("unsaved"), got)
	require.Zero(t, p.calls.Load())
	require.Empty(t, d.renewals.unsaved)

	load(t, d, one("credentials: {access_token: given}"))
	d.keep(id("c1"), unsaved{from: token("old"), set: token("unsaved")})
	got, err = d.Credentials(t.Context(), id("c1"), token("given"), p)
	require.NoError(t, err)
	require.Equal(t, token("new-1"), got, "it takes no place of what was given since")
	require.Equal(t, got, stored(d))
}
