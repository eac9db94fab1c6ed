package directory

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/tsp"
)

// ConnectionStatus is the contract's state of a connection. Only an active one
// may be written to.
type ConnectionStatus string

// The statuses.
const (
	ConnectionActive    ConnectionStatus = "active"
	ConnectionFailed    ConnectionStatus = "failed"
	ConnectionCancelled ConnectionStatus = "cancelled"
	ConnectionPaused    ConnectionStatus = "paused"
	ConnectionStale     ConnectionStatus = "stale"
	ConnectionDeleted   ConnectionStatus = "deleted"
)

// Valid reports whether s is one of the contract's statuses.
func (s ConnectionStatus) Valid() bool {
	switch s {
	case ConnectionActive, ConnectionFailed, ConnectionCancelled, ConnectionPaused, ConnectionStale, ConnectionDeleted:
		return true
	}
	return false
}

// ShareLevel is what a fleet allows a partner. A write needs ShareReadWrite.
type ShareLevel string

// The share levels.
const (
	ShareRead      ShareLevel = "read"
	ShareReadWrite ShareLevel = "read_write"
)

// Valid reports whether l is one of the contract's share levels.
func (l ShareLevel) Valid() bool { return l == ShareRead || l == ShareReadWrite }

// Partner is who calls the API.
type Partner struct {
	ID   uuid.UUID
	Name string

	revision uint64
}

// Fleet is a partner's customer.
type Fleet struct {
	ID        uuid.UUID
	PartnerID uuid.UUID
	// Ref is the partner's own name of the fleet. Empty: none.
	Ref  string
	Name string

	revision uint64
}

// Connection is one fleet at one provider. Its maps are shared with the
// directory's copy and must not be changed.
type Connection struct {
	ID        uuid.UUID
	PartnerID uuid.UUID
	// FleetID is uuid.Nil for a connection without a fleet; FleetRef is then empty.
	FleetID  uuid.UUID
	FleetRef string
	// TSPID is the provider's stable id; see TSPID.
	TSPID uuid.UUID
	// Provider is the contract's source_name.
	Provider    string
	Description string
	Status      ConnectionStatus
	// StatusReason says why the connection is failed: what the provider answered to
	// a refresh. Empty: somebody said so in the registry file, or it is not failed.
	StatusReason string
	Share        ShareLevel
	// Credentials are what the store holds now; a worker asks
	// Directory.Credentials for a set that can be used. They are never written as
	// JSON: MaskedCredentials is for the API.
	Credentials tsp.Credentials `json:"-"`
	// Locked says that the credentials are sealed and this process cannot open them:
	// nothing can be called with the connection here.
	Locked   bool `json:"-"`
	Settings map[string]string
	Limits   LimitsOverride
	// PausedAt is when an operator paused the connection's calls. Zero: they are made.
	PausedAt  time.Time `json:"-"`
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision rises with every change. Zero: the store has lost it, and this is
	// what was known before.
	Revision uint64
}

// String names the connection and nothing secret.
func (c Connection) String() string { return fmt.Sprintf("connection %s (%s)", c.ID, c.Provider) }

// GoString names the connection and nothing secret.
func (c Connection) GoString() string { return c.String() }

// LogValue names the connection and nothing secret.
func (c Connection) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("connection_id", c.ID.String()), slog.String("partner_id", c.PartnerID.String()),
		slog.String("provider", c.Provider), slog.String("status", string(c.Status)),
		slog.String("status_reason", c.StatusReason))
}

// TSP is the connection as an adapter sees it.
func (c Connection) TSP() tsp.Connection {
	return tsp.Connection{ID: c.ID, Credentials: c.Credentials, Settings: c.Settings}
}

// LimitsOverride replaces a provider's limits for one connection; a zero field
// leaves the provider's.
type LimitsOverride tsp.Limits

// Over gives the provider's limits with the override on top.
func (o LimitsOverride) Over(l tsp.Limits) tsp.Limits {
	return tsp.Limits{
		InFlight:    cmp.Or(o.InFlight, l.InFlight),
		PerSecond:   cmp.Or(o.PerSecond, l.PerSecond),
		Burst:       cmp.Or(o.Burst, l.Burst),
		Call:        cmp.Or(o.Call, l.Call),
		MaxAttempts: cmp.Or(o.MaxAttempts, l.MaxAttempts),
		Deadline:    cmp.Or(o.Deadline, l.Deadline),
	}
}

// mask stands for a value that is not shown.
const mask = "*****"

// shownCredentials are the keys that say nothing secret, by provider; the empty
// provider's are shown for all: they belong to an exchanged short-lived token.
var shownCredentials = map[string][]string{
	"":        {"token_type", "expires_in", "scope", "user_id"},
	"samsara": {"client_id"},
	"motive":  {"client_id", "redirect_uri"},
	"geotab":  {"database"},
}

// Secrets are those of the values, which may be newer than the connection's own, that
// MaskedCredentials masks.
func (c Connection) Secrets(values tsp.Credentials) []string {
	var out []string
	for key, value := range values {
		if !slices.Contains(shownCredentials[""], key) && !slices.Contains(shownCredentials[c.Provider], key) {
			out = append(out, value)
		}
	}
	return out
}

// MaskedCredentials is what the API shows: every key that the connection has,
// with the mask for each value that the contract does not show by name.
func (c Connection) MaskedCredentials() map[string]any {
	out := make(map[string]any, len(c.Credentials))
	for key := range c.Credentials {
		out[key] = mask
	}
	for _, provider := range []string{"", c.Provider} {
		for _, key := range shownCredentials[provider] {
			value, ok := c.Credentials[key]
			if !ok {
				continue
			}
			out[key] = value
			// The contract's only number.
			if seconds, err := strconv.Atoi(value); err == nil && key == "expires_in" {
				out[key] = seconds
			}
		}
	}
	return out
}
