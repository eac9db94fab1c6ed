package directory

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/internal/newer"
	"writeback/pkg/tsp"
)

// The stored forms: JSON under the keys partner.<id>, fleet.<id>,
// connection.<id> and user.<connection>.<id>. Unknown JSON fields are ignored, and kept
// when the entry is written, so that an older process may change what a newer one wrote.
const (
	kindPartner    = "partner"
	kindFleet      = "fleet"
	kindConnection = "connection"
	kindUser       = "user"
)

func partnerKey(id uuid.UUID) string    { return kindPartner + "." + id.String() }
func fleetKey(id uuid.UUID) string      { return kindFleet + "." + id.String() }
func connectionKey(id uuid.UUID) string { return kindConnection + "." + id.String() }
func userKey(connection, id uuid.UUID) string {
	return kindUser + "." + connection.String() + "." + id.String()
}

// splitKey gives the kind and the id, the last part of the key.
func splitKey(key string) (kind string, id uuid.UUID, err error) {
	kind, rest, _ := strings.Cut(key, ".")
	if kind == kindUser {
		_, rest, _ = strings.Cut(rest, ".")
	}
	id, err = uuid.Parse(rest)
	return kind, id, err
}

// held is a connection with what only the directory needs to know of it.
type held struct {
	Connection
	// given are the credentials as the registry file had them last: the same ones
	// given again do not replace what was refreshed since.
	given tsp.Credentials
	// renewal is set while a process refreshes the credentials.
	renewal *renewal
	// sealed are the credentials as they are stored. Nil: they are stored in clear.
	sealed []byte
}

// renewal says who refreshes a connection's credentials, and until when the
// others wait for it.
type renewal struct {
	Owner uuid.UUID `json:"owner"`
	Until time.Time `json:"until"`
}

type partnerRecord struct {
	ID       uuid.UUID `json:"id"`
	Name     string    `json:"name"`
	revision uint64
}

type fleetRecord struct {
	ID        uuid.UUID `json:"id"`
	PartnerID uuid.UUID `json:"partner_id"`
	Ref       string    `json:"ref,omitempty"`
	Name      string    `json:"name,omitempty"`
	revision  uint64
}

type userRecord struct {
	ID           uuid.UUID  `json:"id"`
	ConnectionID uuid.UUID  `json:"connection_id"`
	SourceID     string     `json:"source_id"`
	Fields       Known      `json:"fields,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	DeletedAt    *time.Time `json:"deleted_at,omitempty"`
	Given        string     `json:"given,omitempty"`
	revision     uint64
}

type connectionRecord struct {
	ID          uuid.UUID         `json:"id"`
	PartnerID   uuid.UUID         `json:"partner_id"`
	FleetID     uuid.UUID         `json:"fleet_id"`
	FleetRef    string            `json:"fleet_ref,omitempty"`
	Provider    string            `json:"provider"`
	Description string            `json:"description,omitempty"`
	Status      ConnectionStatus  `json:"status"`
	Reason      string            `json:"status_reason,omitempty"`
	Share       ShareLevel        `json:"share"`
	Settings    map[string]string `json:"settings,omitempty"`
	Limits      limitsRecord      `json:"limits"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Credentials json.RawMessage   `json:"credentials"`
	Renewal     *renewal          `json:"renewal,omitempty"`
	PausedAt    time.Time         `json:"paused_at,omitzero"`
}

type limitsRecord struct {
	InFlight    int           `json:"in_flight,omitempty"`
	PerSecond   float64       `json:"per_second,omitempty"`
	Burst       int           `json:"burst,omitempty"`
	Call        time.Duration `json:"call_ns,omitempty"`
	MaxAttempts int           `json:"max_attempts,omitempty"`
	Deadline    time.Duration `json:"deadline_ns,omitempty"`
}

// credentialSets is what is stored of the credentials; box says in which form.
type credentialSets struct {
	Current tsp.Credentials `json:"current"`
	Given   tsp.Credentials `json:"given"`
}

func encodePartner(p Partner) ([]byte, error) { return json.Marshal(partnerRecord(p)) }
func encodeFleet(f Fleet) ([]byte, error)     { return json.Marshal(fleetRecord(f)) }
func encodeUser(u User) ([]byte, error)       { return json.Marshal(userRecord(u)) }

// connection gives the stored form of a connection.
func (b box) connection(c held) ([]byte, error) {
	secret, err := b.put(c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(connectionRecord{
		ID: c.ID, PartnerID: c.PartnerID, FleetID: c.FleetID, FleetRef: c.FleetRef,
		Provider: c.Provider, Description: c.Description, Status: c.Status, Reason: c.StatusReason, Share: c.Share,
		Settings: c.Settings, Limits: limitsRecord(c.Limits), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
		Credentials: secret, Renewal: c.renewal, PausedAt: c.PausedAt,
	})
}

func (b box) decode(value []byte, revision uint64) (*held, *newer.Entry, error) {
	var r connectionRecord
	unknown, err := newer.Read(value, &r)
	if err != nil {
		return nil, nil, err
	}
	c := &held{
		Connection: Connection{
			ID: r.ID, PartnerID: r.PartnerID, FleetID: r.FleetID, FleetRef: r.FleetRef,
			TSPID: TSPID(r.Provider), Provider: r.Provider, Description: r.Description,
			Status: r.Status, StatusReason: r.Reason, Share: r.Share, Settings: r.Settings,
			Limits: LimitsOverride(r.Limits), PausedAt: r.PausedAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Revision: revision,
		},
		renewal: r.Renewal,
	}
	if err := b.get(c, r.Credentials); err != nil {
		return nil, nil, err
	}
	return c, unknown, nil
}
