package stack

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"writeback/internal/devissuer"
	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
)

// Registry is what a registry file is made from.
type Registry struct {
	// Users of each connection. Zero: all that the sandbox has ids for.
	Users int
	// Limits of every connection.
	Limits history.Limits
	// Statuses by connection id. Absent: active.
	Statuses map[string]string
	// GeotabHost is where the Geotab sandbox is, as host:port.
	GeotabHost string
}

// Foreign is the connection that belongs to the second partner.
func Foreign() string { return sandbox.ConnectionID(9) }

// Seeds are the connections of a stack: those of the providers that take a load.
// The others allow a few writes a minute.
func Seeds() []sandbox.Seed {
	loaded := []string{sandbox.Samsara, sandbox.Motive, sandbox.Geotab, sandbox.Simulator}
	return slices.DeleteFunc(boxes.Seeds(), func(s sandbox.Seed) bool { return !slices.Contains(loaded, s.Provider) })
}

// Write writes the file.
func (r Registry) Write(path string) error {
	clients := devissuer.DefaultClients()
	partners := make([]map[string]any, 2)
	for i, name := range []string{"Demo", "Other"} {
		partners[i] = map[string]any{
			"id": clients[i].PartnerID.String(), "name": name,
			"fleets": []map[string]any{{"id": fmt.Sprintf("00000000-0000-7000-8000-0000000000f%d", i+1), "ref": "fleet", "name": "Fleet"}},
		}
	}
	for i := range partners {
		var connections []map[string]any
		for _, seed := range Seeds() {
			if (seed.Connection == Foreign()) == (i == 1) {
				connections = append(connections, r.connection(seed))
			}
		}
		partners[i]["connections"] = connections
	}
	text, err := yaml.Marshal(map[string]any{"partners": partners})
	if err != nil {
		return fmt.Errorf("stack: registry: %w", err)
	}
	return os.WriteFile(path, text, 0o600)
}

func (r Registry) connection(seed sandbox.Seed) map[string]any {
	credentials := maps.Clone(seed.Credentials)
	if seed.Provider == sandbox.Geotab {
		credentials["host"] = strings.TrimPrefix(r.GeotabHost, "http://")
	}
	var users []map[string]any
	for _, u := range seed.Users {
		if u.CatenaID != "" && (r.Users == 0 || len(users) < r.Users) {
			users = append(users, map[string]any{"id": u.CatenaID, "source_id": u.SourceID})
		}
	}
	c := map[string]any{
		"id": seed.Connection, "provider": seed.Provider, "fleet": "fleet", "credentials": credentials, "users": users,
	}
	limits := map[string]any{}
	set := func(name string, on bool, v any) {
		if on {
			limits[name] = v
		}
	}
	set("in_flight", r.Limits.InFlight > 0, r.Limits.InFlight)
	set("per_second", r.Limits.PerSecond > 0, r.Limits.PerSecond)
	set("burst", r.Limits.Burst > 0, r.Limits.Burst)
	set("call", r.Limits.Call > 0, r.Limits.Call.Round(time.Millisecond).String())
	if len(limits) > 0 {
		c["limits"] = limits
	}
	if s := r.Statuses[seed.Connection]; s != "" {
		c["status"] = s
	}
	return c
}
