package directory

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// renewing is a provider that renews as its function says.
type renewing func(context.Context, tsp.Connection) (tsp.Credentials, error)

func (renewing) Fresh(c tsp.Credentials, _ time.Time) bool { return c["access_token"] != "" }

func (r renewing) Refresh(ctx context.Context, c tsp.Connection) (tsp.Credentials, error) {
	return r(ctx, c)
}

// two is a registry with a connection of each of two partners, whose tokens are the same.
func two() string {
	return `partners: [{id: ` + demo.String() + `, name: Demo, connections: [{id: ` + id("c1").String() + `, provider: samsara, ` + old + `}]},
  {id: ` + other.String() + `, name: Other, connections: [{id: ` + id("c2").String() + `, provider: samsara, ` + old + `}]}]`
}

// One connection's refresh is never another's, which may be another partner's.
func TestCredentials_EachConnectionHasItsOwnRefresh(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, two())
	var p renewing
	second := make(chan tsp.Credentials, 1)
	p = func(ctx context.Context, c tsp.Connection) (tsp.Credentials, error) {
		if c.ID == id("c2") {
			return token("of c2"), nil
		}
		go func() {
			set, err := d.Credentials(t.Context(), id("c2"), token("old"), p)
			if err != nil {
				t.Error(err)
			}
			second <- set
		}()
		select {
		case set := <-second:
			second <- set
		case <-ctx.Done():
			t.Error("it waits for the other's")
		}
		return token("of c1"), nil
	}
	set, err := d.Credentials(t.Context(), id("c1"), token("old"), p)
	require.NoError(t, err)
	require.Equal(t, token("of c1"), set)
	require.Equal(t, token("of c2"), <-second)
}

// What a refresh left behind that could not clear its claim holds this process back no longer
// than the next call.
func TestCredentials_OwnClaimIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	c, _ := d.held(id("c1"))
	c.renewal = &renewal{Owner: d.owner, Until: time.Now().Add(time.Hour).UTC()}
	require.NoError(t, d.write(t.Context(), c))
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	got, err := d.Credentials(ctx, id("c1"), token("old"), &tokens{})
	require.NoError(t, err)
	require.Equal(t, token("new-1"), got)
}

// Who loads the file while another process refreshes does not end its claim: the token that both
// would refresh from can be used once.
func TestLoadFile_KeepsAClaim(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	c, _ := d.held(id("c1"))
	require.NoError(t, d.claim(t.Context(), c))
	claimed, _ := d.held(id("c1"))
	require.NotNil(t, claimed.renewal)
	load(t, d, one("description: b, "+old))
	c, _ = d.held(id("c1"))
	require.Equal(t, "b", c.Description)
	require.Equal(t, claimed.renewal, c.renewal)
}

// A provider that gives what it has just refused is not asked for ever.
func TestCredentials_TheSameSetAgainIsARefusal(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(old))
	var calls atomic.Int32
	_, err := d.Credentials(t.Context(), id("c1"), token("old"), renewing(func(context.Context, tsp.Connection) (tsp.Credentials, error) {
		calls.Add(1)
		return token("old"), nil
	}))
	var failure *operation.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, operation.ErrorAuth, failure.Type)
	require.EqualValues(t, 3, calls.Load())
}

func TestCredentials_OfADeletedConnectionAreNotUsed(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one("status: deleted, "+old))
	p := &tokens{}
	for _, stale := range []tsp.Credentials{nil, token("old")} {
		set, err := d.Credentials(t.Context(), id("c1"), stale, p)
		var failure *operation.Failure
		require.ErrorAs(t, err, &failure)
		require.Nil(t, set)
	}
	require.Zero(t, p.calls.Load())
}
