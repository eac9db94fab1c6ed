package test

import (
	"maps"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/testenv"
	"writeback/pkg/tsp/all/boxes"
)

// TestRegistryExample_FitsTheSandbox loads the example as api and worker do, and
// compares it with what the sandbox of the compose file knows.
func TestRegistryExample_FitsTheSandbox(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	d, err := directory.Open(t.Context(), js, directory.Config{})
	require.NoError(t, err)

	report, err := d.LoadFile(t.Context(), "../deploy/registry.example.yaml")
	require.NoError(t, err)
	require.Equal(t, 2, report.Partners.Created)
	require.GreaterOrEqual(t, report.Connections.Created, 5)

	users, connections := 0, 0
	for _, seed := range boxes.Seeds() {
		id := uuid.MustParse(seed.Connection)
		c, ok := d.ConnectionByID(id)
		if !ok {
			continue
		}
		connections++
		require.Equal(t, seed.Provider, c.Provider)
		require.True(t, maps.Equal(seed.Credentials, c.Credentials), "%s: the sandbox has other credentials", id)
		for _, u := range seed.Users {
			known, at, ok := d.User(c.PartnerID, uuid.MustParse(u.CatenaID))
			if ok {
				users++
				require.Equal(t, id, at.ID)
				require.Equal(t, u.SourceID, known.SourceID)
			}
		}
	}
	require.Equal(t, report.Connections.Created, connections, "some connections are unknown to the sandbox")
	require.Equal(t, report.Users.Created, users, "some users are unknown to the sandbox")
}
