package directory

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	samsarabox "writeback/pkg/tsp/samsara/box"
)

// oauth is Samsara with tokens that end, and how often they were renewed.
type oauth struct {
	*samsara.Provider
	box   *sandbox.Sandbox
	mu    sync.Mutex
	calls int
}

func newOAuth(t *testing.T) *oauth {
	t.Helper()
	o := &oauth{box: sandbox.New(sandbox.Config{Parts: []sandbox.Part{samsarabox.Part(samsarabox.Config{OAuth: true})}})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/oauth2/token") {
			o.mu.Lock()
			o.calls++
			o.mu.Unlock()
		}
		o.box.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	o.Provider = samsara.New(httpcall.New(httpcall.Config{Transport: transport}), samsara.Config{BaseURL: server.URL + "/samsara"})
	return o
}

func (o *oauth) end(t *testing.T) {
	t.Helper()
	w := httptest.NewRecorder()
	o.box.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/_control/sessions", nil))
	require.Less(t, w.Code, 300, w.Body.String())
}

func (o *oauth) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls
}

func oauthText(refresh string) string {
	return one(`credentials: {access_token: sandbox-samsara-c1, refresh_token: ` + refresh + `, client_id: sandbox-app-samsara, client_secret: sandbox-samsara-secret}`)
}

// attempts has 64 workers, of two processes, use a credential that has ended.
func attempts(t *testing.T, p *oauth, processes ...*Directory) []error {
	t.Helper()
	errs := make([]error, 64)
	var wg, start sync.WaitGroup
	start.Add(1)
	for i := range errs {
		d := processes[i%len(processes)]
		c, _ := d.ConnectionByID(id("c1"))
		start.Add(1)
		wg.Go(func() {
			start.Done()
			start.Wait() // none has the new set before all had the old one
			set, err := d.Credentials(t.Context(), c.ID, c.Credentials, p)
			if err == nil {
				_, err = p.ListUsers(t.Context(), tsp.Connection{ID: c.ID, Credentials: set}, "")
			}
			errs[i] = err
		})
	}
	start.Done()
	wg.Wait()
	return errs
}

func TestRefresh_SixtyFourWorkersAskOnce(t *testing.T) {
	t.Parallel()
	url, p := testenv.NATS(t), newOAuth(t)
	a, b := open(t, url), open(t, url)
	load(t, a, oauthText("sandbox-samsara-refresh-c1"))
	require.Eventually(t, func() bool { return stored(b) != nil }, soon, time.Millisecond)
	p.end(t)
	_, err := p.ListUsers(t.Context(), tsp.Connection{Credentials: stored(a)}, "")
	require.Error(t, err, "the token has ended")
	require.NoError(t, errors.Join(attempts(t, p, a, b)...))
	require.Equal(t, 1, p.asked())
}

func TestRefresh_RefusalFailsTheConnection(t *testing.T) {
	t.Parallel()
	url, p := testenv.NATS(t), newOAuth(t)
	a, b := open(t, url), open(t, url)
	load(t, a, oauthText("wrong"))
	require.Eventually(t, func() bool { return stored(b) != nil }, soon, time.Millisecond)
	p.end(t)
	for _, err := range attempts(t, p, a, b) {
		var failure *operation.Failure
		require.ErrorAs(t, err, &failure)
		require.Equal(t, operation.ErrorAuth, failure.Type)
		require.False(t, failure.Retryable)
	}
	require.Equal(t, 1, p.asked(), "a refusal is not asked for again")
	for _, d := range []*Directory{a, b} {
		require.Eventually(t, func() bool { c, _ := d.ConnectionByID(id("c1")); return c.Status == ConnectionFailed }, soon, time.Millisecond)
		c, _ := d.ConnectionByID(id("c1"))
		require.NotEmpty(t, c.StatusReason)
		require.Equal(t, "the connection is failed: "+c.StatusReason, c.Failure().Detail)
	}

	require.Zero(t, load(t, a, oauthText("wrong")).Writes(), "a start with the same file does not undo it")
	load(t, a, oauthText("sandbox-samsara-refresh-c1"))
	c, _ := a.ConnectionByID(id("c1"))
	require.Nil(t, c.Failure(), "other credentials do")
	require.Empty(t, c.StatusReason)
	require.NoError(t, errors.Join(attempts(t, p, a)...))
}

func TestActivate(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	require.ErrorIs(t, d.Activate(t.Context(), id("c1")), ErrNotFailed)
	require.Error(t, d.Activate(t.Context(), id("cc")))
	p := &tokens{err: &operation.Failure{Type: operation.ErrorAuth, Detail: "refused", StatusCode: 401}}
	_, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.Error(t, err)
	require.NoError(t, d.Activate(t.Context(), id("c1")))
	c, _ := d.ConnectionByID(id("c1"))
	require.Equal(t, ConnectionActive, c.Status)
	require.Empty(t, c.StatusReason)
	p.err = nil
	got, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.NoError(t, err)
	require.Equal(t, token("new-2"), got)
}

// TestRefresh_NobodyAskedFailsNothing: an adapter that has nothing to ask with, and
// a provider that cannot be reached, say nothing of the connection.
func TestRefresh_NobodyAskedFailsNothing(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	for i, failure := range []*operation.Failure{
		{Type: operation.ErrorAuth, Detail: "no refresh token"},
		{Type: operation.ErrorTSP, Detail: "garbage", StatusCode: 200},
		{Type: operation.ErrorNetwork, Retryable: true},
	} {
		set := fmt.Sprint("set-", i) // a refusal is remembered for the one before
		load(t, d, one("credentials: {access_token: "+set+"}"))
		p := &tokens{err: failure}
		_, err := d.Credentials(t.Context(), id("c1"), token(set), p)
		require.Same(t, failure, err)
		require.EqualValues(t, 1, p.calls.Load())
		c, _ := d.held(id("c1"))
		require.Equal(t, ConnectionActive, c.Status, failure.Detail)
		require.Nil(t, c.renewal, "nobody waits for what has ended")
	}
}

// TestRefresh_RefusalIsRememberedForAWhile: some providers lock out who logs in too often.
func TestRefresh_RefusalIsRememberedForAWhile(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	late := time.Duration(0)
	d.now = func() time.Time { return time.Now().Add(late) }
	load(t, d, one(old))
	p := &tokens{err: &operation.Failure{Type: operation.ErrorTSP, Detail: "garbage", StatusCode: 200}}
	asks := func(n int64, stale string) {
		t.Helper()
		_, err := d.Credentials(t.Context(), id("c1"), token(stale), p)
		require.Same(t, p.err, err)
		require.EqualValues(t, n, p.calls.Load())
	}
	asks(1, "old")
	asks(1, "old")
	late = refusedFor
	asks(2, "old")
	load(t, d, one("credentials: {access_token: given}"))
	asks(3, "given")
}

// TestRefresh_RefusalOfWhatIsNoLongerThere: whoever changed the connection while the provider
// was asked has the last word.
func TestRefresh_RefusalOfWhatIsNoLongerThere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ConnectionStatus{
		"credentials: {access_token: given}": ConnectionActive,
		"status: paused, " + old:             ConnectionPaused,
	} {
		d := open(t, testenv.NATS(t))
		load(t, d, one(old))
		p := &tokens{
			err:    &operation.Failure{Type: operation.ErrorAuth, Detail: "refused", StatusCode: 401},
			during: func() { load(t, d, one(text)) },
		}
		_, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
		require.Error(t, err)
		c, _ := d.held(id("c1"))
		require.Equal(t, want, c.Status)
		require.Empty(t, c.StatusReason)
		require.Nil(t, c.renewal)
	}
}

// TestLoadFile_SaysMoreThanARefusal: a connection that its owner gave up is not one that failed.
func TestLoadFile_SaysMoreThanARefusal(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	_, err := d.Credentials(t.Context(), id("c1"), token("old"), &tokens{err: &operation.Failure{Type: operation.ErrorAuth, Detail: "refused", StatusCode: 401}})
	require.Error(t, err)
	load(t, d, one("status: cancelled, "+old))
	c, _ := d.ConnectionByID(id("c1"))
	require.Equal(t, ConnectionCancelled, c.Status)
	require.Empty(t, c.StatusReason)
}
