package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/auth"
)

func TestKeys_RotationIsLearnedOnDemand(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, nil)
	before := i.mint(t, nil)
	_, err := v.Verify(t.Context(), before)
	require.NoError(t, err)

	require.NoError(t, i.Rotate())
	_, err = v.Verify(t.Context(), i.mint(t, nil))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), before)
	require.NoError(t, err, "the older key is still published")
	require.EqualValues(t, 2, i.certs.Load())
}

func TestKeys_RemovedKeyTakesItsTokensWithIt(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, nil)
	known(t, v)
	before := i.mint(t, nil)
	_, err := v.Verify(t.Context(), before)
	require.NoError(t, err)

	require.NoError(t, i.Rotate())
	require.NoError(t, i.Rotate()) // The first key leaves the set.
	_, err = v.Verify(t.Context(), i.mint(t, nil))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), before)
	require.ErrorIs(t, err, auth.ErrInvalid, "remembered although its key has gone")
}

// A key may leave while a token of it is verified: that is not remembered for good.
func TestKeys_RemovedWhileVerified(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	var leaves atomic.Pointer[func()]
	asked := 0
	v := i.verifier(t, func(c *auth.Config) {
		c.Now = func() time.Time {
			if leave := leaves.Load(); leave != nil {
				if asked++; asked == 3 { // after the signature
					leaves.Store(nil)
					(*leave)()
				}
			}
			return time.Now()
		}
	})
	known(t, v)
	before := i.mint(t, nil)
	leave := func() {
		require.NoError(t, i.Rotate())
		require.NoError(t, i.Rotate())
		_, err := v.Verify(t.Context(), i.mint(t, nil)) // refreshes
		require.NoError(t, err)
	}
	leaves.Store(&leave)
	_, err := v.Verify(t.Context(), before)
	require.NoError(t, err)
	require.Nil(t, leaves.Load())
	_, err = v.Verify(t.Context(), before)
	require.ErrorIs(t, err, auth.ErrInvalid)
}

func TestKeys_PeriodicRefresh(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, func(c *auth.Config) { c.RefreshInterval = 10 * time.Millisecond })
	require.Eventually(t, func() bool { return i.certs.Load() >= 3 }, 10*time.Second, time.Millisecond)
	require.NoError(t, v.Check(t.Context()))
}

// A flood of tokens with unknown keys costs one refresh an interval, and tokens
// with a known key pass all the while.
func TestKeys_UnknownKeyFlood(t *testing.T) {
	t.Parallel()
	i, stranger := startIssuer(t, false), startIssuer(t, false)
	v := i.verifier(t, nil)
	known(t, v)

	var wg sync.WaitGroup
	for n := range 20 {
		unknown := stranger.mint(t, map[string]any{"iss": i.url, "sub": fmt.Sprint(n)})
		known := i.mint(t, map[string]any{"sub": fmt.Sprint(n)})
		wg.Go(func() {
			for range 10 {
				if _, err := v.Verify(t.Context(), unknown); !isInvalid(err) {
					t.Errorf("unknown key: %v", err)
				}
			}
			if _, err := v.Verify(t.Context(), known); err != nil {
				t.Errorf("known key: %v", err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 2, i.certs.Load(), "the first fetch and one for the flood")
}

// A token that can never be accepted fetches nothing, whatever its kid.
func TestKeys_HopelessTokensFetchNothing(t *testing.T) {
	t.Parallel()
	i, stranger := startIssuer(t, false), startIssuer(t, false)
	v := i.verifier(t, nil)
	known(t, v)
	for _, claims := range []map[string]any{
		nil, // The stranger's own issuer.
		{"iss": i.url, "exp": 1},
		{"iss": i.url, "aud": "elsewhere"},
	} {
		_, err := v.Verify(t.Context(), stranger.mint(t, claims))
		require.Error(t, err)
	}
	require.EqualValues(t, 1, i.certs.Load())
}

func TestKeys_IssuerDownWithKnownKeys(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, func(c *auth.Config) { c.RefreshInterval = 5 * time.Millisecond })
	_, err := v.Verify(t.Context(), i.mint(t, nil))
	require.NoError(t, err)

	i.down.Store(true)
	seen := i.asked.Load()
	require.Eventually(t, func() bool { return i.asked.Load() > seen+2 }, 10*time.Second, time.Millisecond)
	_, err = v.Verify(t.Context(), i.mint(t, map[string]any{"sub": "never seen before"}))
	require.NoError(t, err)
	require.NoError(t, v.Check(t.Context()))
}

func TestKeys_IssuerDownFromTheStart(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, true)
	v := i.verifier(t, func(c *auth.Config) { c.RefreshGap = time.Millisecond })
	token := i.mint(t, nil)
	_, err := v.Verify(t.Context(), token)
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.ErrorIs(t, v.Check(t.Context()), auth.ErrUnavailable)

	i.down.Store(false)
	require.Eventually(t, func() bool { return v.Check(t.Context()) == nil }, 20*time.Second, 5*time.Millisecond)
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
}

// An issuer that takes questions and answers none keeps nobody for longer than was agreed.
func TestKeys_IssuerHangs(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.(http.Flusher).Flush() // the answer has begun
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	token := startIssuer(t, false).mint(t, map[string]any{"iss": hangs.URL})
	verifier := func(wait, fetch time.Duration) *auth.Verifier {
		v, err := auth.New(t.Context(), auth.Config{Issuer: hangs.URL, Audience: audience, KeyWait: wait, FetchTimeout: fetch})
		require.NoError(t, err)
		t.Cleanup(v.Close)
		return v
	}
	_, err := verifier(time.Millisecond, time.Hour).Verify(t.Context(), token)
	require.ErrorIs(t, err, auth.ErrUnavailable)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = verifier(time.Hour, time.Hour).Verify(gone, token)
	require.ErrorIs(t, err, auth.ErrUnavailable)
	seen := asked.Load()
	verifier(time.Hour, time.Millisecond)
	require.Eventually(t, func() bool { return asked.Load() > seen+3 }, 20*time.Second, time.Millisecond, "it is asked again")
}

func TestKeys_ClosedVerifierKeepsItsKeys(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, func(c *auth.Config) { c.KeyWait = time.Hour })
	_, err := v.Verify(t.Context(), i.mint(t, nil))
	require.NoError(t, err)
	v.Close()
	_, err = v.Verify(t.Context(), i.mint(t, nil))
	require.NoError(t, err)
	require.NoError(t, i.Rotate())
	_, err = v.Verify(t.Context(), i.mint(t, nil))
	require.ErrorIs(t, err, auth.ErrInvalid, "and does not hang for an unknown one")
}
