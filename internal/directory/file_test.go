package directory

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

func noEnv(string) (string, bool) { return "", false }

func TestParse_EveryFaultWithItsLine(t *testing.T) {
	t.Parallel()
	const text = `prune: maybe
partner: x
partners:
  - id: 00000000-0000-7000-8000-0000000000b1
    name: ""
    fleets:
      - {id: 00000000-0000-7000-8000-0000000000f1, ref: a}
      - {id: 00000000-0000-7000-8000-0000000000f1, ref: a}
    connections:
      - id: not-a-uuid
        provider: samsarra
        fleet: b
        status: on
        share: write
        credentials: {access_token: "${NOT_SET}"}
        limits: {in_flight: 0, per_second: fast, call: 20, burst: 1, burst: 2}
      - provider: samsara
        limits: {call: 91s, deadline: 45h}
        credentials: secret
        settings: [a]
        users:
          - {id: 00000000-0000-7000-8000-00000000a100, source_id: ""}
          - id: 00000000-0000-7000-8000-00000000a101
            source_id: s
            fields:
              nick: x
              is_driver: "yes"
              license_expiration: 31.01.2030
              country_code: US
              status: GONE
              notes: [a]
          - {id: 00000000-0000-7000-8000-00000000a102, source_id: s, fields: {notes: null}}
          - just text
          -
      - null
  -
`
	_, err := parse("f.yaml", []byte(text), listTSPs(nil), noEnv)
	var faults *FileError
	require.ErrorAs(t, err, &faults)
	want := []struct {
		line int
		rule string
	}{
		{1, "prune: must be true or false"},
		{2, `registry: unknown key "partner"`},
		{5, "partner.name: must not be empty"},
		{8, "fleet.id: the id is taken by line 7"},
		{8, "fleet.ref: the partner has another fleet"},
		{10, "connection.id: must be a UUID"},
		{11, "connection.provider: not a known source name"},
		{12, "connection.fleet: must be the ref"},
		{13, "connection.status: must be"},
		{14, "connection.share: must be"},
		{15, "connection.credentials.access_token: the environment has no NOT_SET"},
		{16, `limits: key "burst" is given twice`},
		{16, "limits.in_flight: must be a whole number"},
		{16, "limits.per_second: must be a number"},
		{16, "limits.call: must be a duration"},
		{17, "connection: id is required"},
		{18, "limits.call: must be 1m30s at most"},
		{18, "limits.deadline: must be 44h0m0s at most"},
		{19, "connection.credentials: must be a mapping"},
		{20, "connection.settings: must be a mapping"},
		{22, "user.source_id: must not be empty"},
		{26, `user.fields: unknown field "nick"`},
		{27, "user.fields.is_driver: must be true or false"},
		{28, "user.fields.license_expiration: must be a date"},
		{29, "user.fields.country_code: must have three letters"},
		{30, "user.fields.status: must be one of the contract's 2 values"},
		{31, "user.fields.notes: must be a single value"},
		{32, "user.source_id: the connection has another user"},
		{33, "user: must be a mapping"},
		{34, "connection.users: has an empty entry"},
		{35, "partner.connections: has an empty entry"},
		{36, "partners: has an empty entry"},
	}
	for i, f := range faults.Faults {
		require.Less(t, i, len(want), "%+v", f)
		require.Equal(t, want[i].line, f.Line, "%+v", f)
		require.Contains(t, f.Rule, want[i].rule)
	}
	require.Len(t, faults.Faults, len(want))
	require.True(t, strings.HasPrefix(err.Error(), "f.yaml:1: prune"))
	require.NotContains(t, err.Error(), "secret")
}

func TestParse_NotARegistry(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "f.yaml:1: the file is empty"},
		{"null", "~", "f.yaml:1: the file is empty"},
		{"comment", "# nothing\n", "f.yaml:1: the file is empty"},
		{"a list", "- a\n", "f.yaml:1: registry: must be a mapping"},
		{"no partners", "prune: true\n", "f.yaml:1: registry: partners is required"},
		{"not YAML", "a: b\n\tc: [", "f.yaml:2: not YAML: found a tab character that violates indentation"},
		{"bare name", "a: {b: ${NAME}}\n", "f.yaml:1: not YAML; within {} a ${NAME} stands in quotes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse("f.yaml", []byte(tc.text), listTSPs(nil), noEnv)
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestParse_AliasesAndEnvironment(t *testing.T) {
	t.Parallel()
	env := func(name string) (string, bool) { return "<" + name + ">", name != "" }
	reg, err := parse("f.yaml", []byte(one(`settings: &a {x: "1"}, credentials: {k: "a ${ONE}-${TWO} $THREE"}`)), listTSPs(nil), env)
	require.NoError(t, err)
	require.Equal(t, "a <ONE>-<TWO> $THREE", reg.connections[0].Credentials["k"])
	require.Equal(t, map[string]string{"x": "1"}, reg.connections[0].Settings)
}

// A variable that is set to nothing is a secret that is not there.
func TestParse_EmptyVariable(t *testing.T) {
	t.Parallel()
	_, err := parse("f.yaml", []byte(one(`credentials: {k: "${EMPTY}"}`)), listTSPs(nil), func(string) (string, bool) { return "", true })
	require.ErrorContains(t, err, "the environment has no EMPTY")
}

// Ids are compared as texts by whoever reads the file, and are in partners' hands.
func TestParse_AnIDHasOneSpelling(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"00000000-0000-0000-0000-000000000000", "00000000000070008000000000000c01", "urn:uuid:00000000-0000-7000-8000-0000000000b1",
		`"{00000000-0000-7000-8000-0000000000b1}"`,
	} {
		_, err := parse("f.yaml", []byte("partners: [{id: "+id+", name: P}]"), listTSPs(nil), noEnv)
		require.ErrorContains(t, err, "partner.id: must be a UUID", id)
	}
}

func TestLoadFile_MissingFile(t *testing.T) {
	t.Parallel()
	_, err := (&Directory{}).LoadFile(t.Context(), "testdata/none.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// What a partner reads as changed at is when it changed.
func TestLoadFile_SaysWhenItChanged(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	made := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	at := made
	d.now = func() time.Time { return at }
	text := func(name string) string {
		return one(`description: ` + name + `, credentials: {access_token: old}, users: [{id: ` + id("a100").String() + `, source_id: x, fields: {first_name: ` + name + `}}]`)
	}
	changed := func(want time.Time) {
		t.Helper()
		u, c, ok := d.User(demo, id("a100"))
		require.True(t, ok)
		require.Equal(t, [4]time.Time{made, made, want, want}, [4]time.Time{c.CreatedAt, u.CreatedAt, c.UpdatedAt, u.UpdatedAt})
	}
	load(t, d, text("a"))
	changed(made)
	at = at.Add(time.Hour)
	load(t, d, text("a"))
	changed(made)
	load(t, d, text("b"))
	changed(at)
	at = at.Add(time.Hour)
	_, err := d.Learn(t.Context(), id("c1"), names("x"))
	require.NoError(t, err)
	_, err = d.Credentials(t.Context(), id("c1"), token("old"), &tokens{})
	require.NoError(t, err)
	changed(at)
	at = at.Add(time.Hour)
	_, err = d.Credentials(t.Context(), id("c1"), token("new-1"), &tokens{err: &operation.Failure{Type: operation.ErrorAuth, StatusCode: 401}})
	require.Error(t, err)
	failed, _ := d.ConnectionByID(id("c1"))
	require.Equal(t, at, failed.UpdatedAt)
	made = at
	_, err = d.Learn(t.Context(), id("c1"), names("new"))
	require.NoError(t, err)
	u, _, _ := d.User(demo, UserID(id("c1"), "new"))
	require.Equal(t, [2]time.Time{at, at}, [2]time.Time{u.CreatedAt, u.UpdatedAt})
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(sample)
	require.NoError(f, err)
	f.Add(string(text))
	f.Add(one("credentials: {a: *b}"))
	f.Add("partners: &a [*a]")
	f.Add("? [a]\n: b")
	f.Add("partners: [null, {}]")
	providers := listTSPs(nil)
	f.Fuzz(func(t *testing.T, text string) {
		reg, err := parse("f.yaml", []byte(text), providers, noEnv)
		if (reg == nil) == (err == nil) {
			t.Fatalf("got %v and %v", reg, err)
		}
		if reg == nil {
			return
		}
		var ids []uuid.UUID
		for _, p := range reg.partners {
			ids = append(ids, p.ID)
		}
		for _, fleet := range reg.fleets {
			ids = append(ids, fleet.ID, fleet.PartnerID)
		}
		for _, c := range reg.connections {
			ids = append(ids, c.ID, c.PartnerID)
		}
		for _, u := range reg.users {
			ids = append(ids, u.ID, u.ConnectionID)
		}
		require.NotContains(t, ids, uuid.Nil, "an entry of nothing")
	})
}
