package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Part is a provider in one piece: its wire, its records and its dev connections.
type Part struct {
	// Name of the provider, and the first element of its paths.
	Name string
	// Make gives the wire of the provider's accounts. Nil: it has no wire.
	Make func(accounts []*Account, now func() time.Time) Wire
	// Record is a person's record, and Claims what of a record must be unique in an
	// account.
	Record func(SeedUser, time.Time) map[string]any
	Claims func(map[string]any) []string
	// Connections are the dev connections.
	Connections []Connection
	// Person changes made-up user n before there is a record of it. Nil: nothing.
	Person func(n int, p *SeedUser)
}

// Connection is a dev connection of a part.
type Connection struct {
	// Digit names the connection and its users, in hex: 1 to 15, each once.
	Digit       int
	Credentials map[string]string
	Settings    map[string]string
	// SourceID is the provider's id of user n.
	SourceID func(n int) string
}

// Ender is a wire with sessions or tokens that can be ended: those of a connection,
// or all if it is empty.
type Ender interface{ End(connection string) }

// Viewer is a wire whose users look otherwise than their fields do.
type Viewer interface {
	// View is how a user is shown.
	View(u *User) map[string]any
}

// Excepter is a wire with errors that have names, which are answered with 200.
type Excepter interface {
	// Exceptions are the names, Exception the answer of one.
	Exceptions() []string
	Exception(name string) Answer
}

// wireNames are the providers that have a wire, in the order of the parts.
func wireNames(parts []Part) []string {
	var names []string
	for _, p := range parts {
		if p.Make != nil {
			names = append(names, p.Name)
		}
	}
	return names
}

func partOf(parts []Part, provider string) (Part, bool) {
	i := slices.IndexFunc(parts, func(p Part) bool { return p.Name == provider })
	if i < 0 {
		return Part{}, false
	}
	return parts[i], true
}

// Seeds are the dev connections of the parts with 100 users each, by digit. It is
// the same in every process.
func Seeds(parts []Part) []Seed { return seeds(parts, DefaultUsers) }

func seeds(parts []Part, users int) []Seed {
	var out []Seed
	for _, p := range parts {
		for _, c := range p.Connections {
			out = append(out, p.seed(c, users))
		}
	}
	slices.SortFunc(out, func(a, b Seed) int { return a.Digit - b.Digit })
	for i := range out[:max(len(out)-1, 0)] {
		if out[i].Digit == out[i+1].Digit {
			panic(fmt.Sprintf("sandbox: two connections have the digit %x", out[i].Digit))
		}
	}
	return out
}

// seed is a dev connection with its users.
func (p Part) seed(c Connection, users int) Seed {
	s := Seed{
		Connection: ConnectionID(c.Digit), Digit: c.Digit, Provider: p.Name,
		Credentials: maps.Clone(c.Credentials), Settings: maps.Clone(c.Settings),
	}
	for n := range users {
		u := person(c.Digit, n)
		u.SourceID = c.SourceID(n)
		if p.Person != nil {
			p.Person(n, &u)
		}
		s.Users = append(s.Users, u)
	}
	return s
}

// AccountsBy finds accounts by one of their credentials. It panics if it is not
// unique, which is a mistake in the program.
func AccountsBy(credential string, accounts []*Account) map[string]*Account {
	found := make(map[string]*Account)
	for _, a := range accounts {
		key := a.Credentials[credential]
		if key == "" || found[key] != nil {
			panic("sandbox: the " + credential + " of connection " + a.Connection + " is empty or not unique")
		}
		found[key] = a
	}
	return found
}

// ApplyTo puts a new record in the place of a user's, and counts the write.
func (x *Exchange) ApplyTo(u *User, next map[string]any) {
	u.Fields = next
	u.Applied++
	x.Applied = u.Applied
}

// StrangeKey gives the first key that is none of the known ones, or "".
func StrangeKey[V any](given map[string]V, known ...string) string {
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, key) {
			return key
		}
	}
	return ""
}
