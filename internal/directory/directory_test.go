package directory

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

const sample = "testdata/registry.yaml"

func TestLoadFile_GivesWhatTheSampleSays(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	writer, reader := open(t, url), open(t, url)
	report, err := writer.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	require.Equal(t, Report{
		Partners: Count{Created: 2}, Fleets: Count{Created: 1},
		Connections: Count{Created: 3}, Users: Count{Created: 3},
	}, report)

	for name, d := range map[string]*Directory{"writer": writer, "reader": reader} {
		require.Eventually(t, func() bool {
			_, _, ok := d.User(other, id("a900"))
			return ok && len(d.Connections(demo)) == 2 && len(d.UsersPage(demo, uuid.Nil, 10, UserFilter{})) == 2
		}, soon, time.Millisecond, name)
		p, ok := d.Partner(demo)
		require.True(t, ok)
		require.Equal(t, "Demo Partner", p.Name)
		f, ok := d.Fleet(demo, id("f1"))
		require.True(t, ok)
		require.Equal(t, "north", f.Ref)

		c, ok := d.Connection(demo, id("c1"))
		require.True(t, ok)
		require.NotZero(t, c.Revision)
		require.WithinDuration(t, time.Now(), c.CreatedAt, time.Minute)
		require.Equal(t, Connection{
			ID: id("c1"), PartnerID: demo, FleetID: id("f1"), FleetRef: "north", TSPID: TSPID("samsara"),
			Provider: "samsara", Description: "Samsara, north", Status: ConnectionActive, Share: ShareReadWrite,
			Credentials: tsp.Credentials{"access_token": "token-from-env"},
			Limits: LimitsOverride{InFlight: 4, PerSecond: 5, Burst: 2, Call: 15 * time.Second,
				Deadline: 12 * time.Hour, MaxAttempts: 6},
			CreatedAt: c.CreatedAt, UpdatedAt: c.CreatedAt, Revision: c.Revision,
		}, c)
		u, on, ok := d.User(demo, id("a100"))
		require.True(t, ok)
		require.Equal(t, c.ID, on.ID)
		require.Equal(t, "45646", u.SourceID)
		require.Equal(t, operation.Changes{
			operation.FieldUsername: operation.Text("driver-00"), operation.FieldFirstName: operation.Text("Ada"),
			operation.FieldIsDriver:          operation.Flag(true),
			operation.FieldLicenseExpiration: operation.Text("2030-01-31"),
			operation.FieldHOSComplianceType: operation.Text(operation.NonExempt),
		}, u.Fields.Changes())
	}
}

func TestLookups_KeepPartnersApart(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	_, err := d.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	for _, tc := range []struct {
		name    string
		partner uuid.UUID
		mine    bool
	}{{"the owner", demo, true}, {"another partner", other, false}, {"nobody", uuid.Nil, false}} {
		t.Run(tc.name, func(t *testing.T) {
			_, ok := d.Connection(tc.partner, id("c1"))
			require.Equal(t, tc.mine, ok)
			_, _, ok = d.User(tc.partner, id("a100"))
			require.Equal(t, tc.mine, ok)
			_, ok = d.Fleet(tc.partner, id("f1"))
			require.Equal(t, tc.mine, ok)
			require.Equal(t, tc.mine, len(d.UsersPage(tc.partner, uuid.Nil, 9, UserFilter{ConnectionID: id("c1")})) > 0)
			for _, c := range d.Connections(tc.partner) {
				require.Equal(t, tc.partner, c.PartnerID)
			}
		})
	}
	_, ok := d.ConnectionByID(id("c1"))
	require.True(t, ok)
}

// lastOf is how often the bucket was written to.
func lastOf(t *testing.T, d *Directory) uint64 {
	t.Helper()
	info, err := natsq.BucketInfo(t.Context(), d.js, Bucket)
	require.NoError(t, err)
	return info.State.LastSeq
}

func TestLoadFile_AgainWritesNothing(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	d := open(t, url)
	_, err := d.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	before := lastOf(t, d)
	for _, d := range []*Directory{d, open(t, url)} {
		report, err := d.LoadFile(t.Context(), sample)
		require.NoError(t, err)
		require.Zero(t, report.Writes())
		require.Equal(t, Count{Unchanged: 3}, report.Users)
	}
	require.Equal(t, before, lastOf(t, d))
}

func TestLoadFile_ManyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	var wg sync.WaitGroup
	written := make([]int, 4)
	for i := range written {
		d := open(t, url)
		wg.Go(func() {
			report, err := d.LoadFile(t.Context(), sample)
			if err != nil {
				t.Error(err)
			}
			written[i] = report.Writes()
		})
	}
	wg.Wait()
	require.Equal(t, 9, written[0]+written[1]+written[2]+written[3])
}

func TestLoadFile_OnTopOfWhatOthersWrote(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	late, err := Open(t.Context(), streams(t, url), Config{}) // follows nothing
	require.NoError(t, err)
	peer := open(t, url)
	load(t, peer, one("description: first, credentials: {access_token: a}"))
	report := load(t, late, one("description: second, credentials: {access_token: a}"))
	require.Equal(t, [2]Count{{Unchanged: 1}, {Updated: 1}}, [2]Count{report.Partners, report.Connections})
	sees(t, peer, "second")
}

func TestLoadFile_Prune(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	_, err := d.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	const text = "credentials: {access_token: a}, users: [{id: 00000000-0000-7000-8000-00000000a100, source_id: x}]"

	report := load(t, d, one(text))
	require.Zero(t, report.Connections.Deleted+report.Users.Deleted)
	_, _, ok := d.User(demo, id("a101"))
	require.True(t, ok, "without prune what is absent is left alone")

	report = load(t, d, "prune: true\n"+one(text))
	require.Equal(t, Count{Deleted: 2, Unchanged: 1}, report.Connections)
	require.Equal(t, Count{Deleted: 2, Unchanged: 1}, report.Users)
	c, ok := d.Connection(other, id("c9"))
	require.True(t, ok)
	require.Equal(t, ConnectionDeleted, c.Status)
	_, _, ok = d.User(demo, id("a101"))
	require.False(t, ok)
	require.Zero(t, load(t, d, "prune: true\n"+one(text)).Writes())

	_, err = d.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	_, _, ok = d.User(demo, id("a101"))
	require.True(t, ok, "what comes back into the file is there again")
}

func TestLoadFile_RefusesToMove(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	_, err := d.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	_, err = d.LoadFile(t.Context(), file(t, `partners:
  - id: 00000000-0000-7000-8000-0000000000b2
    name: Other
    fleets:
      - {id: 00000000-0000-7000-8000-0000000000f1, ref: x}
    connections:
      - id: 00000000-0000-7000-8000-0000000000c1
        provider: samsara
        credentials: {}
        users:
          - {id: 00000000-0000-7000-8000-00000000a900, source_id: "1"}
`))
	var faults *FileError
	require.ErrorAs(t, err, &faults)
	require.Equal(t, []Fault{
		{5, "fleet.id: belongs to another partner in the store"},
		{7, "connection.id: belongs to another partner in the store"},
		{11, "user.id: belongs to another connection in the store"},
	}, faults.Faults)
	c, _ := d.ConnectionByID(id("c1"))
	require.Equal(t, demo, c.PartnerID)
}

func TestRun_FollowsAcrossRestartAndWipe(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	text := func(description string) string {
		return `partners: [{id: ` + demo.String() + `, name: Demo, fleets: [{id: ` + id("f1").String() + `, ref: ` + description + `}],
			connections: [{id: ` + id("c1").String() + `, provider: samsara, description: ` + description + `, credentials: {access_token: a},
				users: [{id: ` + id("a100").String() + `, source_id: "7", fields: {first_name: ` + description + `}}]}]}]`
	}
	sees := func(d *Directory, description string) {
		require.Eventually(t, func() bool {
			f, _ := d.Fleet(demo, id("f1"))
			u, c, ok := d.User(demo, id("a100"))
			return ok && f.Ref == description && c.Description == description && u.Fields.Changes()[operation.FieldFirstName].Text() == description
		}, soon, 5*time.Millisecond, description)
	}
	writer, reader := open(t, server.URL()), open(t, server.URL())
	load(t, writer, text("first"))
	sees(reader, "first")

	server.Kill()
	sees(reader, "first")
	require.NoError(t, reader.Ready(), "a copy is served while NATS is away")
	require.NoError(t, server.Restart())
	reloads(t, writer, text("second"))
	sees(reader, "second")

	server.Kill()
	require.NoError(t, os.RemoveAll(filepath.Join(server.Dir(), "jetstream")))
	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool {
		c, ok := writer.ConnectionByID(id("c1"))
		return ok && c.Revision == 0
	}, soon, 5*time.Millisecond, "a wiped bucket is noticed and what was known is served")
	sees(reader, "second")
	reloads(t, writer, text("second"))
	late := open(t, server.URL())
	sees(late, "second")
	reloads(t, late, text("third"))
	sees(reader, "third")
}

// reloads loads the text once NATS answers again.
func reloads(t *testing.T, d *Directory, text string) {
	t.Helper()
	path := file(t, text)
	require.Eventually(t, func() bool {
		_, err := d.LoadFile(t.Context(), path)
		return err == nil
	}, soon, 10*time.Millisecond)
}

func TestRun_TakesDeletesIn(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	_, err := d.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	require.NoError(t, d.kv.Delete(t.Context(), userKey(id("c1"), id("a100"))))
	require.NoError(t, d.kv.Delete(t.Context(), connectionKey(id("c9"))))
	require.Eventually(t, func() bool {
		_, ok := d.ConnectionByID(id("c9"))
		return !ok && len(d.UsersPage(demo, uuid.Nil, 9, UserFilter{})) == 1
	}, soon, time.Millisecond)
	_, _, ok := d.User(other, id("a900"))
	require.False(t, ok, "a user without its connection is nobody's")
}

func TestRun_UnreadableEntryKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one("description: good, credentials: {access_token: a}"))
	for _, key := range []string{connectionKey(id("c1")), "user.x", "nonsense"} {
		_, err := d.kv.Put(t.Context(), key, []byte("{"))
		require.NoError(t, err)
	}
	last, err := d.kv.Put(t.Context(), partnerKey(other), []byte(`{"id":"`+other.String()+`","name":"mark","later":1}`))
	require.NoError(t, err)
	require.NotZero(t, last)
	require.Eventually(t, func() bool { p, _ := d.Partner(other); return p.Name == "mark" }, soon, time.Millisecond)
	sees(t, d, "good")
}

func TestUsersPage_WalksInOrder(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	writer, d := open(t, url), open(t, url)
	const users = manyUsers
	var text strings.Builder
	fmt.Fprintf(&text, "partners:\n- id: %s\n  name: Big\n  connections:\n", demo)
	for c := range 4 {
		fmt.Fprintf(&text, "  - id: %s\n    provider: samsara\n    credentials: {access_token: a}\n    users:\n", id(fmt.Sprintf("c%d", c)))
		for u := range users / 4 {
			fmt.Fprintf(&text, "    - {id: %s, source_id: s%d, fields: {username: u%d, is_driver: %t}}\n", id(fmt.Sprintf("a%06x", u*4+c)), u, u, u%2 == 0)
		}
	}
	report := load(t, writer, text.String())
	require.Equal(t, Count{Created: users}, report.Users)
	require.Eventually(t, func() bool {
		d.mu.RLock()
		defer d.mu.RUnlock()
		return len(d.copy.users) == users
	}, time.Minute, 10*time.Millisecond)

	var after uuid.UUID
	seen := 0
	for {
		page := d.UsersPage(demo, after, 997, UserFilter{})
		for _, u := range page {
			require.Negative(t, compareIDs(after, u.ID))
			after = u.ID
		}
		seen += len(page)
		if len(page) < 997 {
			break
		}
	}
	require.Equal(t, users, seen)
	yes := true
	require.Len(t, d.UsersPage(demo, uuid.Nil, users, UserFilter{ConnectionID: id("c1"), IsDriver: &yes}), users/8)
	require.Len(t, d.UsersPage(demo, uuid.Nil, users, UserFilter{SourceIDs: []string{"s7", "s8"}}), 8)
	require.Len(t, d.UsersPage(demo, uuid.Nil, users, UserFilter{IDs: []uuid.UUID{id("a000005"), id("a999999")}}), 1)
	require.Empty(t, d.UsersPage(demo, uuid.Nil, users, UserFilter{FleetRefs: []string{"none"}}))
	require.Empty(t, d.UsersPage(demo, uuid.Nil, users, UserFilter{FleetIDs: []uuid.UUID{id("f1")}}))
	require.Zero(t, load(t, d, text.String()).Writes())
}

func TestTSPs_StableIDs(t *testing.T) {
	t.Parallel()
	d, err := Open(t.Context(), streams(t, testenv.NATS(t)), Config{Providers: []string{"own_provider", "samsara"}})
	require.NoError(t, err)
	bySource := make(map[string]TSP)
	for _, p := range d.TSPs() {
		require.NotContains(t, bySource, p.SourceName)
		bySource[p.SourceName] = p
	}
	require.Len(t, bySource, 169)
	// These ids are in partners' hands: they never change.
	require.Equal(t, "samsara", bySource["samsara"].Slug)
	require.Equal(t, "b2c2be25-b322-5895-935b-75c59d7b3f3b", bySource["samsara"].ID.String())
	require.Equal(t, "own-provider", bySource["own_provider"].Slug)
}

func TestMaskedCredentials(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		provider string
		have     tsp.Credentials
		want     map[string]any
	}{
		{"samsara", tsp.Credentials{"client_id": "i", "client_secret": "s", "auth_code": "c"},
			map[string]any{"client_id": "i", "client_secret": mask, "auth_code": mask}},
		{"motive", tsp.Credentials{"client_id": "i", "client_secret": "s", "redirect_uri": "r"},
			map[string]any{"client_id": "i", "client_secret": mask, "redirect_uri": "r"}},
		{"geotab", tsp.Credentials{"username": "u", "password": "p", "database": "d", "session_id": "s", "server": "h"},
			map[string]any{"username": mask, "password": mask, "database": "d", "session_id": mask, "server": mask}},
		{"samsara", tsp.Credentials{"access_token": "a", "refresh_token": "r", "expires_in": "3600", "token_type": "Bearer", "scope": "w", "user_id": "7", "account_id": "1", "host": "h"},
			map[string]any{"access_token": mask, "refresh_token": mask, "expires_in": 3600, "token_type": "Bearer", "scope": "w", "user_id": "7", "account_id": mask, "host": mask}},
		{"webfleet", tsp.Credentials{"client_id": "i", "anything": "x", "expires_in": "soon"},
			map[string]any{"client_id": mask, "anything": mask, "expires_in": "soon"}},
		{"samsara", nil, map[string]any{}},
	} {
		require.Equal(t, tc.want, Connection{Provider: tc.provider, Credentials: tc.have}.MaskedCredentials())
		var secrets []string
		for key, shown := range tc.want {
			if shown == mask {
				secrets = append(secrets, tc.have[key])
			}
		}
		require.ElementsMatch(t, secrets, Connection{Provider: tc.provider}.Secrets(tc.have), "what is masked, and nothing else")
	}
}

func TestPrinting_ShowsNothingSecret(t *testing.T) {
	t.Parallel()
	c := Connection{Provider: "geotab", Credentials: tsp.Credentials{"password": "hush"}}
	u := User{SourceID: "7", Fields: Pack(operation.Changes{operation.FieldPhoneNumber: operation.Text("hush")})}
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "connection", c, "user", u)
	fmt.Fprintf(&out, "%v %+v %#v %s %v %+v %#v", c, c, c, c, u, u, u)
	fmt.Fprintf(&out, "%v %+v", []Connection{c}, held{Connection: c, given: c.Credentials})
	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.NotContains(t, out.String()+string(text), "hush")
	require.Contains(t, out.String(), "geotab")
}

func TestLimitsOverride_Over(t *testing.T) {
	t.Parallel()
	provider := tsp.Limits{InFlight: 5, PerSecond: 10, Burst: 3, Call: time.Second, MaxAttempts: 7, Deadline: time.Hour}
	require.Equal(t, provider, LimitsOverride{}.Over(provider))
	own := tsp.Limits{InFlight: 1, PerSecond: 2, Burst: 3, Call: 4, MaxAttempts: 5, Deadline: 6}
	require.Equal(t, own, LimitsOverride(own).Over(provider))
}

// A tool that asks for no user reads none: there may be hundreds of thousands.
func TestOpen_NoUsersReadsNone(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	all := open(t, url)
	_, err := all.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	d, err := Open(t.Context(), all.js, Config{NoUsers: true, Existing: true})
	require.NoError(t, err)
	require.Len(t, d.All(), 3)
	require.Len(t, d.copy.partners, 2)
	require.Len(t, d.copy.fleets, 1)
	require.Empty(t, d.copy.users)
	require.NoError(t, d.Pause(t.Context(), id("c1"), true), "what it read can be changed")
	require.Equal(t, []uuid.UUID{id("c1")}, d.Paused())
}
