package webhook

import (
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/internal/newer"
	"writeback/internal/wire"
)

// Status is where a subscription stands.
type Status string

// The contract's statuses.
const (
	// Active subscriptions get events.
	Active Status = "active"
	// Paused ones were stopped by the partner; their events wait.
	Paused Status = "paused"
	// Stale ones were stopped because their endpoint failed; their events wait. Only
	// the partner makes them active again.
	Stale Status = "stale"
	// Deleted ones are on their way out and get nothing.
	Deleted Status = "deleted"
)

// Valid reports whether s is one of the contract's statuses.
func (s Status) Valid() bool { return s == Active || s == Paused || s == Stale || s == Deleted }

// Schedule is how long a failing delivery is tried again.
type Schedule string

// The schedules; see Delays.
const (
	// Short is the contract's: four sends within about five seconds.
	Short Schedule = "short"
	// Long goes on for hours.
	Long Schedule = "long"
)

// Valid reports whether s is a schedule.
func (s Schedule) Valid() bool { return s == Short || s == Long }

// Filters select by fleet. Without any, all fleets are selected; otherwise those
// that are named, by id or by the partner's own reference.
type Filters struct {
	FleetIDs  []uuid.UUID `json:"fleet_ids,omitempty"`
	FleetRefs []string    `json:"fleet_refs,omitempty"`
}

// Canonical gives the filters in order and without duplicates.
func (f Filters) Canonical() Filters {
	ids, refs := slices.Clone(f.FleetIDs), slices.Clone(f.FleetRefs)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return strings.Compare(string(a[:]), string(b[:])) })
	slices.Sort(refs)
	return Filters{FleetIDs: slices.Compact(ids), FleetRefs: slices.Compact(refs)}
}

// IsZero reports whether all fleets are selected.
func (f Filters) IsZero() bool { return len(f.FleetIDs)+len(f.FleetRefs) == 0 }

// Match reports whether a fleet is selected. refs are the names that the fleet has
// or had; empty ones are no names.
func (f Filters) Match(fleet uuid.UUID, refs ...string) bool {
	if f.IsZero() || fleet != uuid.Nil && slices.Contains(f.FleetIDs, fleet) {
		return true
	}
	return slices.ContainsFunc(refs, func(ref string) bool { return ref != "" && slices.Contains(f.FleetRefs, ref) })
}

// SealedSecret is a signing secret as it is stored.
type SealedSecret struct {
	Sealed []byte `json:"sealed"`
	// Until is when a secret that was replaced stops being used. Zero: it is the
	// present one.
	Until time.Time `json:"until,omitzero"`
}

// Subscription is one partner's wish to be told of one kind of event. It is a value;
// its slices are shared and must not be changed.
type Subscription struct {
	ID        uuid.UUID `json:"id"`
	PartnerID uuid.UUID `json:"partner_id"`
	EventName string    `json:"event_name"`
	// URL of the endpoint. It may hold a secret of the partner's: see MaskedURL.
	URL      string   `json:"url"`
	Filters  Filters  `json:"filters,omitzero"`
	Status   Status   `json:"status"`
	Schedule Schedule `json:"schedule"`
	// Secrets, the present one first.
	Secrets   []SealedSecret `json:"secrets"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
	// ChangedAt is when the endpoint was created or last changed: the breaker leaves
	// it alone for a while after that.
	ChangedAt time.Time `json:"changed_at"`
	// ActivatedAt is when the partner last made it active.
	ActivatedAt time.Time `json:"activated_at,omitzero"`
	// StaledAt and StaleReason say when and why it was given up. Zero: it was not.
	StaledAt    time.Time `json:"staled_at,omitzero"`
	StaleReason string    `json:"stale_reason,omitempty"`
	// Revision rises with every change.
	Revision uint64 `json:"-"`
	// Newer is what a newer version has stored of it.
	Newer *newer.Entry `json:"-"`
}

// Since is when the endpoint became what it is: the breaker judges what came after.
func (s Subscription) Since() time.Time {
	if s.ActivatedAt.After(s.ChangedAt) {
		return s.ActivatedAt
	}
	return s.ChangedAt
}

const mask = wire.MaskedSecret

// MaskedURL is the URL as it may be shown: without the last part of its path and
// without its query, which may hold a secret. A slash at the end is no part; where
// there is no part, the mask stands for the query.
func (s Subscription) MaskedURL() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return mask
	}
	path := u.EscapedPath()
	if parts := strings.TrimRight(path, "/"); parts != "" {
		path = parts[:strings.LastIndexByte(parts, '/')+1] + mask + path[len(parts):]
	} else if u.RawQuery != "" {
		path += "?" + mask
	}
	return u.Scheme + "://" + u.Host + path
}

// IsMasked reports whether a URL has the mask where MaskedURL puts it: it was read, and
// calls nothing.
func IsMasked(u *url.URL) bool {
	parts := strings.TrimRight(u.Path, "/")
	return parts[strings.LastIndexByte(parts, '/')+1:] == mask || u.RawQuery == mask
}

// String names the subscription and nothing secret.
func (s Subscription) String() string { return "webhook " + s.ID.String() }

// GoString names the subscription and nothing secret.
func (s Subscription) GoString() string { return s.String() }

// LogValue names the subscription and nothing secret.
func (s Subscription) LogValue() slog.Value {
	return slog.GroupValue(slog.String("webhook_id", s.ID.String()), slog.String("partner_id", s.PartnerID.String()),
		slog.String("event_name", s.EventName), slog.String("status", string(s.Status)))
}
