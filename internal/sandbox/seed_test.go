package sandbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
)

// newConnections are those of the parts: provider, and the ids of user 5.
var newConnections = map[string][]string{
	"00000000-0000-7000-8000-0000000000c5": {"webfleet", "00000000-0000-7000-8000-00000000a505", "1-55005-0A7"},
	"00000000-0000-7000-8000-0000000000c6": {"wialon", "00000000-0000-7000-8000-00000000a605", "600123:6"},
	"00000000-0000-7000-8000-0000000000c7": {"gpsinsight", "00000000-0000-7000-8000-00000000a705", "4551005"},
}

func TestSeeds_FollowTheDevIDs(t *testing.T) {
	t.Parallel()
	seeds := boxes.Seeds()
	require.Equal(t, boxes.Seeds(), seeds, "the same every time")
	require.GreaterOrEqual(t, len(seeds), 5+len(newConnections))
	byID := map[string]sandbox.Seed{}
	for _, s := range seeds {
		require.NotContains(t, byID, s.Connection)
		require.Len(t, s.Users, 100)
		byID[s.Connection] = s
		names := map[string]bool{}
		sources := map[string]bool{}
		for _, u := range s.Users {
			names[u.FirstName+" "+u.LastName] = true
			sources[u.SourceID] = true
		}
		require.Len(t, names, 100)
		require.Len(t, sources, 100)
	}
	for id, want := range newConnections {
		s := byID[id]
		require.Equal(t, want, []string{s.Provider, s.Users[5].CatenaID, s.Users[5].SourceID})
	}
	for id, want := range map[string][]string{
		"00000000-0000-7000-8000-0000000000c1": {sandbox.Samsara, "00000000-0000-7000-8000-00000000a105", "494105"},
		"00000000-0000-7000-8000-0000000000c2": {sandbox.Motive, "00000000-0000-7000-8000-00000000a205", "800005"},
		"00000000-0000-7000-8000-0000000000c3": {sandbox.Geotab, "00000000-0000-7000-8000-00000000a305", "b6"},
		"00000000-0000-7000-8000-0000000000c4": {sandbox.Simulator, "00000000-0000-7000-8000-00000000a405", "sim-05"},
		"00000000-0000-7000-8000-0000000000c9": {sandbox.Samsara, "00000000-0000-7000-8000-00000000a905", "494905"},
	} {
		s := byID[id]
		require.Equal(t, want, []string{s.Provider, s.Users[5].CatenaID, s.Users[5].SourceID})
	}
	require.Empty(t, byID["00000000-0000-7000-8000-0000000000c4"].Credentials)
	require.Equal(t, "admin", byID["00000000-0000-7000-8000-0000000000c2"].Users[98].Role)
	require.Equal(t, "fleet_user", byID["00000000-0000-7000-8000-0000000000c2"].Users[99].Role)
	require.Empty(t, sandbox.UserID(1, 100))
}

func TestExtraConnection(t *testing.T) {
	t.Parallel()
	extra := sandbox.Seed{
		Connection: "11111111-0000-7000-8000-000000000001", Provider: sandbox.Samsara,
		Credentials: map[string]string{"access_token": "extra"},
		Users:       []sandbox.SeedUser{{SourceID: "777", FirstName: "A", LastName: "B", Username: "ab", TimeZone: "America/Chicago"}},
	}
	b := newBox(t, sandbox.Config{Extra: []sandbox.Seed{extra}})
	r := b.call("PATCH", "/samsara/fleet/drivers/777", `{"notes":"x"}`, "Authorization", "Bearer extra", "Content-Type", jsonType)
	require.Equal(t, 200, r.status, r.body)
	require.Equal(t, extra.Connection, b.last().Connection)
	extra.Credentials = map[string]string{"access_token": samsaraToken}
	require.Panics(t, func() { sandbox.New(sandbox.Config{Parts: boxes.Parts(boxes.Config{}), Extra: []sandbox.Seed{extra}}) })
}
