package rig

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// Partner is the one partner.
const Partner = "00000000-0000-7000-8000-0000000000d1"

const providerToken = "bench-token-of-the-provider"

// Fleet says whom the writes concern.
type Fleet struct{ Connections []Connection }

// Alive are the connections whose provider answers.
func (f Fleet) Alive() []Connection {
	return slices.DeleteFunc(slices.Clone(f.Connections), func(c Connection) bool { return c.Provider != "samsara" })
}

// Connection is one connection with its users.
type Connection struct {
	ID string
	// Provider is "samsara", which the bench's provider speaks, or "motive", which
	// is down.
	Provider string
	// InFlight is how many calls there may be at a time. Zero: as many as there are slots.
	InFlight int
	Users    []User
}

// User is one user, with the id that the provider has for it.
type User struct{ ID, SourceID string }

// NewConnection makes the n-th connection.
func NewConnection(n int, provider string, users int) Connection {
	c := Connection{ID: fmt.Sprintf("00000000-0000-7000-8000-0000c%07x", n), Provider: provider}
	for i := range users {
		c.Users = append(c.Users, User{ID: fmt.Sprintf("00000000-0000-7000-8000-%06x%06x", 0xa00000+n, i), SourceID: fmt.Sprint(1_000_000 + n*10_000 + i)})
	}
	return c
}

// UsualFleet has 4,000 users on 40 connections.
func UsualFleet() Fleet { return FleetOf(100) }

// FleetOf has 40 connections with as many users each as is said.
func FleetOf(users int) Fleet {
	var f Fleet
	for n := range 40 {
		f.Connections = append(f.Connections, NewConnection(n, "samsara", users))
	}
	return f
}

// writeWriteback writes Writeback's registry. JSON is YAML.
func (f Fleet) writeWriteback(path string) error {
	connections := make([]map[string]any, 0, len(f.Connections))
	for _, c := range f.Connections {
		users := make([]map[string]any, 0, len(c.Users))
		for _, u := range c.Users {
			users = append(users, map[string]any{"id": u.ID, "source_id": u.SourceID})
		}
		inFlight := c.InFlight
		if inFlight == 0 {
			inFlight = 1000
		}
		connections = append(connections, map[string]any{
			"id": c.ID, "provider": c.Provider, "fleet": "bench", "description": "bench",
			"credentials": map[string]any{"access_token": providerToken},
			// The provider's own limits would bound the run.
			"limits": map[string]any{"in_flight": inFlight, "per_second": 1_000_000, "burst": 1_000_000},
			"users":  users,
		})
	}
	text, err := json.Marshal(map[string]any{"partners": []any{map[string]any{
		"id": Partner, "name": "Bench", "connections": connections,
		"fleets": []any{map[string]any{"id": "00000000-0000-7000-8000-0000000000f1", "ref": "bench", "name": "Bench"}},
	}}})
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
