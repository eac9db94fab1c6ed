package sandbox

import (
	"maps"
	"slices"
	"time"
)

// part is a provider in one piece: its wire, its records and its dev connection.
type part struct {
	name string
	// make gives the wire of the accounts.
	make func(accounts []*account, cfg Config) wire
	// record and claims are a person's record, and what of it must be unique.
	record func(SeedUser, time.Time) map[string]any
	claims func(map[string]any) []string

	// digit names the dev connection; sourceID is the provider's id of its user n.
	digit       int
	credentials map[string]string
	settings    map[string]string
	sourceID    func(n int) string
}

// parts are the providers beside Samsara, Motive and Geotab. A new one is one line
// here.
func parts() []part {
	return []part{
		webfleetPart(),
		wialonPart(),
		gpsinsightPart(),
		verizonConnectPart(),
	}
}

func partOf(provider string) (part, bool) {
	for _, p := range parts() {
		if p.name == provider {
			return p, true
		}
	}
	return part{}, false
}

// ender is a wire with sessions that can be ended: those of a connection, or all
// if it is empty.
type ender interface{ end(connection string) }

// wireNames are the providers that have a wire.
func wireNames() []string {
	names := []string{Samsara, Motive, Geotab}
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// seed is the dev connection of a part, without users.
func (p part) seed() Seed {
	return Seed{
		Connection: ConnectionID(p.digit), Provider: p.name,
		Credentials: maps.Clone(p.credentials), Settings: maps.Clone(p.settings),
	}
}

// accountsBy finds the accounts of a provider by one of their credentials.
func accountsBy(provider, credential string, accounts []*account) map[string]*account {
	found := make(map[string]*account)
	for _, a := range accounts {
		if a.provider != provider {
			continue
		}
		key := a.credentials[credential]
		if key == "" || found[key] != nil {
			panic("sandbox: the " + credential + " of connection " + a.connection + " is empty or not unique")
		}
		found[key] = a
	}
	return found
}

// applyTo puts a new record in the place of a user's, and counts the write.
func (x *exchange) applyTo(u *user, next map[string]any) {
	u.fields = next
	u.applied++
	x.applied = u.applied
}

// strangeKey gives the first key that is none of the known ones, or "".
func strangeKey[V any](given map[string]V, known []string) string {
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, key) {
			return key
		}
	}
	return ""
}
