package directory

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/tsp"
)

// TestPause_IsKept: whatever else happens to the connection.
func TestPause_IsKept(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	d, other := open(t, url), open(t, url)
	const registry = `credentials: {access_token: a}, `
	load(t, d, one(registry+`description: first`))
	require.NoError(t, d.Pause(t.Context(), id("c1"), true))
	before, _ := d.ConnectionByID(id("c1"))
	require.NoError(t, d.Pause(t.Context(), id("c1"), true))
	twice, _ := d.ConnectionByID(id("c1"))
	require.Equal(t, before, twice, "already so")

	load(t, d, one(registry+`description: second`))
	require.Equal(t, []uuid.UUID{id("c1")}, d.Paused(), "the registry file does not know of it")
	_, err := d.change(t.Context(), id("c1"), func(c *held) (bool, error) {
		c.Credentials = tsp.Credentials{"access_token": "b"} // as a refresh does
		return true, nil
	})
	require.NoError(t, err)
	sees(t, other, "second")
	require.Equal(t, []uuid.UUID{id("c1")}, other.Paused())
	require.Equal(t, []uuid.UUID{id("c1")}, open(t, url).Paused(), "who starts later knows it too")

	require.NoError(t, other.Pause(t.Context(), id("c1"), false))
	require.Empty(t, other.Paused())
	require.Eventually(t, func() bool { return len(d.Paused()) == 0 }, soon, soon/1000)
	require.ErrorContains(t, d.Pause(t.Context(), uuid.New(), true), "there is no connection")
}
