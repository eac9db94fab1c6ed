package directory

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// registry is a registry file that has no fault of its own.
type registry struct {
	// prune says that connections and users that are not in the file are gone.
	prune       bool
	partners    []Partner
	fleets      []Fleet
	connections []Connection
	users       []User
	// lines says where an entry, by its key, is in the file.
	lines map[string]int
}

// fileReader reads the entries and knows what must be unique.
type fileReader struct {
	reader
	registry
	providers map[string]bool
	ids       map[uuid.UUID]int
}

// CheckFile reads a registry file as LoadFile does, and changes nothing. providers are
// source names known besides the contract's. The error is as that of LoadFile.
func CheckFile(path string, providers []string, getenv func(string) (string, bool)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("directory: registry file: %w", err)
	}
	_, err = parse(path, text, listTSPs(providers), getenv)
	return err
}

// parse reads a registry file. Every fault is in the *FileError.
func parse(path string, text []byte, providers []TSP, getenv func(string) (string, bool)) (*registry, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, syntaxError(path, text, err)
	}
	f := &fileReader{
		reader: reader{getenv: getenv}, registry: registry{lines: make(map[string]int)},
		providers: make(map[string]bool, len(providers)), ids: make(map[uuid.UUID]int),
	}
	for _, p := range providers {
		f.providers[p.SourceName] = true
	}
	root := &doc
	if len(doc.Content) > 0 {
		root = doc.Content[0]
	}
	if plain(root) == nil || root.Kind == 0 {
		return nil, &FileError{Path: path, Faults: []Fault{{Line: 1, Rule: "the file is empty"}}}
	}
	top := f.mapping(root, "registry", []string{"partners"}, []string{"prune"})
	f.prune = f.flag(top["prune"], "prune")
	for _, n := range f.list(top["partners"], "partners") {
		f.partner(n)
	}
	if len(f.faults) > 0 {
		slices.SortStableFunc(f.faults, func(a, b Fault) int { return a.Line - b.Line })
		return nil, &FileError{Path: path, Faults: f.faults}
	}
	return &f.registry, nil
}

var (
	yamlLine = regexp.MustCompile(`line (\d+): (.*)`)
	// bareName is a ${NAME} within {}, whose braces YAML takes for its own.
	bareName = regexp.MustCompile(`\{[^}\n]*:\s*\$\{`)
)

// syntaxError is what the YAML parser found; it ends at the first.
func syntaxError(path string, text []byte, err error) error {
	fault := Fault{Line: 1, Rule: "not YAML"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		fault.Line, _ = strconv.Atoi(m[1])
		fault.Rule = "not YAML: " + m[2]
	}
	if bareName.Match(text) {
		fault.Rule += "; within {} a ${NAME} stands in quotes"
	}
	return &FileError{Path: path, Faults: []Fault{fault}}
}

// unique gives an entry's id, which no other entry of the file may have.
func (f *fileReader) unique(n *yaml.Node, what string, key func(uuid.UUID) string) uuid.UUID {
	id := f.id(n, what)
	if id == uuid.Nil {
		return id
	}
	if line, taken := f.ids[id]; taken {
		f.fault(n, "%s: the id is taken by line %d", what, line)
	}
	f.ids[id], f.lines[key(id)] = n.Line, n.Line
	return id
}

func (f *fileReader) partner(n *yaml.Node) {
	m := f.mapping(n, "partner", []string{"id", "name"}, []string{"fleets", "connections"})
	p := Partner{ID: f.unique(m["id"], "partner.id", partnerKey), Name: f.filled(m["name"], "partner.name")}
	f.partners = append(f.partners, p)
	fleets := make(map[string]Fleet)
	for _, n := range f.list(m["fleets"], "partner.fleets") {
		f.fleet(n, p.ID, fleets)
	}
	for _, n := range f.list(m["connections"], "partner.connections") {
		f.connection(n, p.ID, fleets)
	}
}

func (f *fileReader) fleet(n *yaml.Node, partner uuid.UUID, byRef map[string]Fleet) {
	m := f.mapping(n, "fleet", []string{"id", "ref"}, []string{"name"})
	fleet := Fleet{
		ID: f.unique(m["id"], "fleet.id", fleetKey), PartnerID: partner,
		Ref: f.filled(m["ref"], "fleet.ref"), Name: f.text(m["name"], "fleet.name"),
	}
	if _, taken := byRef[fleet.Ref]; taken {
		f.fault(m["ref"], "fleet.ref: the partner has another fleet with it")
	}
	byRef[fleet.Ref] = fleet
	f.fleets = append(f.fleets, fleet)
}

func (f *fileReader) connection(n *yaml.Node, partner uuid.UUID, fleets map[string]Fleet) {
	m := f.mapping(n, "connection", []string{"id", "provider", "credentials"},
		[]string{"fleet", "description", "status", "share", "settings", "limits", "users"})
	c := Connection{
		PartnerID:   partner,
		ID:          f.unique(m["id"], "connection.id", connectionKey),
		Provider:    f.filled(m["provider"], "connection.provider"),
		Description: f.text(m["description"], "connection.description"),
		Status:      ConnectionActive,
		Share:       ShareReadWrite,
		Credentials: tsp.Credentials(f.secrets(m["credentials"], "connection.credentials")),
		Settings:    f.texts(m["settings"], "connection.settings"),
		Limits:      f.limits(m["limits"]),
	}
	if at := m["provider"]; at != nil && !f.providers[c.Provider] {
		f.fault(at, "connection.provider: not a known source name")
	}
	if at := m["fleet"]; at != nil {
		fleet, ok := fleets[f.text(at, "connection.fleet")]
		if !ok {
			f.fault(at, "connection.fleet: must be the ref of a fleet of this partner")
		}
		c.FleetID, c.FleetRef = fleet.ID, fleet.Ref
	}
	if at := m["status"]; at != nil {
		if c.Status = ConnectionStatus(f.text(at, "connection.status")); !c.Status.Valid() {
			f.fault(at, "connection.status: must be active, failed, cancelled, paused, stale or deleted")
		}
	}
	if at := m["share"]; at != nil {
		if c.Share = ShareLevel(f.text(at, "connection.share")); !c.Share.Valid() {
			f.fault(at, "connection.share: must be read or read_write")
		}
	}
	f.connections = append(f.connections, c)
	sources := make(map[string]bool)
	for _, n := range f.list(m["users"], "connection.users") {
		f.user(n, c.ID, sources)
	}
}

func (f *fileReader) limits(n *yaml.Node) LimitsOverride {
	if n == nil {
		return LimitsOverride{}
	}
	m := f.mapping(n, "limits", nil, []string{"in_flight", "per_second", "burst", "call", "deadline", "max_attempts"})
	return LimitsOverride{
		InFlight:    f.count(m["in_flight"], "limits.in_flight"),
		PerSecond:   f.rate(m["per_second"], "limits.per_second"),
		Burst:       f.count(m["burst"], "limits.burst"),
		Call:        f.bounded(m["call"], "limits.call", tsp.MaxCall, "the caller of a sync write waits for it"),
		Deadline:    f.bounded(m["deadline"], "limits.deadline", operation.MaxDeadline, "the stream has to remember the operation for longer"),
		MaxAttempts: f.count(m["max_attempts"], "limits.max_attempts"),
	}
}

// bounded reads a time that may not be longer than most, and says why.
func (f *fileReader) bounded(n *yaml.Node, what string, most time.Duration, why string) time.Duration {
	d := f.duration(n, what)
	if d > most {
		f.fault(n, "%s: must be %s at most: %s", what, most, why)
	}
	return d
}

// user reads one user. Two users with one source id would be written in no
// order at all, so that is a fault.
func (f *fileReader) user(n *yaml.Node, connection uuid.UUID, sources map[string]bool) {
	m := f.mapping(n, "user", []string{"id", "source_id"}, []string{"fields"})
	u := User{
		ConnectionID: connection,
		ID:           f.unique(m["id"], "user.id", func(id uuid.UUID) string { return userKey(connection, id) }),
		SourceID:     f.filled(m["source_id"], "user.source_id"),
	}
	if sources[u.SourceID] && m["source_id"] != nil {
		f.fault(m["source_id"], "user.source_id: the connection has another user with it")
	}
	sources[u.SourceID] = true
	entries := f.entries(m["fields"], "user.fields", func(key *yaml.Node) {
		if _, ok := operation.SpecOf(operation.Field(key.Value)); !ok {
			f.fault(key, "user.fields: unknown field %q", key.Value)
		}
	})
	fields := make(operation.Changes, len(entries))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		spec, ok := operation.SpecOf(operation.Field(name))
		if !ok {
			continue
		}
		value, err := fieldValue(spec, entries[name])
		if err != nil {
			f.fault(entries[name], "user.fields.%s: %s", name, err)
		}
		fields[spec.Name] = value
	}
	u.Fields = Pack(fields)
	f.users = append(f.users, u)
}

var alpha3 = regexp.MustCompile(`^\w{3}$`)

// fieldValue reads a field by the contract's table.
func fieldValue(spec operation.Spec, n *yaml.Node) (operation.Value, error) {
	if n.Kind != yaml.ScalarNode {
		return operation.Value{}, errors.New("must be a single value")
	}
	if spec.Kind == operation.KindBool {
		var b bool
		if n.Tag != "!!bool" || n.Decode(&b) != nil {
			return operation.Value{}, errors.New("must be true or false")
		}
		return operation.Flag(b), nil
	}
	text := n.Value
	switch spec.Kind {
	case operation.KindDate:
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return operation.Value{}, errors.New("must be a date, YYYY-MM-DD")
		}
	case operation.KindAlpha3:
		if !alpha3.MatchString(text) {
			return operation.Value{}, errors.New("must have three letters")
		}
	case operation.KindEnum:
		if !slices.Contains(spec.Enum, text) {
			return operation.Value{}, fmt.Errorf("must be one of the contract's %d values", len(spec.Enum))
		}
	}
	return operation.Text(text), nil
}
