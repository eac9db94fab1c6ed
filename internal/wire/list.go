package wire

import (
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// MaxWindow is the longest time window of a list of operations.
const MaxWindow = 45 * 24 * time.Hour

const (
	// defaultWindow is how far back a list goes that names no start.
	defaultWindow = 24 * time.Hour
	// clockRoom is how far beyond now one goes that names no end: accept times are of the
	// store's clock, and what was answered must be in the list.
	clockRoom = time.Minute
)

// ListUsers are the parameters of the list of users. Zero values select all.
type ListUsers struct {
	IsDriver     *bool
	FleetIDs     []uuid.UUID
	FleetRefs    []string
	ConnectionID uuid.UUID
	UserIDs      []uuid.UUID
	SourceIDs    []string
	// Name is text that the name of a user holds, in any case.
	Name              string
	IncludeSourceData bool
	// SortBy is one of UserSortKeys; "id" unless asked otherwise.
	SortBy     string
	Descending bool
	Size       int
}

// UserSortKeys are the keys that the list of users can be sorted by. Ties are
// in the order of the ids.
var UserSortKeys = []string{"id", "source_id", "username", "first_name", "last_name", "created_at", "updated_at"}

// ListConnections are the parameters of the list of connections. Zero values
// select all.
type ListConnections struct {
	TSPID     uuid.UUID
	FleetIDs  []uuid.UUID
	FleetRefs []string
	Size      int
}

// Mode is how a write is to be done. The zero value queues it.
type Mode struct {
	// Sync does it in the request.
	Sync bool
	// Dry does not do it, and says what it would be.
	Dry bool
}

// ParseMode reads the parameters of a write. The error is an *operation.Error with
// every fault.
func ParseMode(q url.Values) (Mode, error) {
	p := params{q: q}
	m := Mode{Sync: p.flag("is_sync"), Dry: p.flag("dry_run")}
	if m.Sync && m.Dry {
		p.fault("dry_run", q.Get("dry_run"), "cannot be joined with is_sync: a dry run writes nothing", typeConflict)
	}
	return m, p.err()
}

// ParsePlainMode refuses what a write can be asked for and this, for example "a batch",
// cannot. The error is an *operation.Error with every fault.
func ParsePlainMode(q url.Values, this string) error {
	p := params{q: q}
	for _, name := range []string{"is_sync", "dry_run"} {
		if p.flag(name) {
			p.fault(name, q.Get(name), "is not possible in "+this, "extra_forbidden")
		}
	}
	return p.err()
}

// ParseGetUser reads the parameters of one user's read: whether the provider's
// own data is asked for. The error is an *operation.Error with every fault.
func ParseGetUser(q url.Values) (includeSourceData bool, err error) {
	p := params{q: q}
	include := p.flag("include_source_data")
	return include, p.err()
}

// ParsePage reads the parameters that every list has: the page size and the
// cursor, which is empty for the first page. The error is an *operation.Error
// with every fault.
func ParsePage(q url.Values) (size int, cursor string, err error) {
	p := params{q: q}
	size, cursor = p.page()
	return size, cursor, p.err()
}

// ParseListOperations reads the parameters of the list of operations. The query
// comes without a partner; a cursor's window and position are put into it by
// Cursor.Apply. The error is an *operation.Error with every fault.
func ParseListOperations(q url.Values, now time.Time) (operation.Query, string, error) {
	p := params{q: q}
	out := operation.Query{
		Resource:     p.enum("resource", Resources),
		ConnectionID: p.uuid("connection_id"),
		Provider:     p.text("source_name"),
		FleetRefs:    p.many("fleet_refs"),
		Type:         operation.Type(p.enum("operation", operationTypes)),
		SourceID:     p.text("source_id"),
	}
	if out.SourceID != "" && len(q["resource"]) == 0 {
		p.fault("resource", "", "is required with source_id", typeMissing)
	}
	out.From, out.To = p.window(now)
	size, cursor := p.page()
	out.Limit = size
	return out, cursor, p.err()
}

// ParseListUsers reads the parameters of the list of users. The error is an
// *operation.Error with every fault.
func ParseListUsers(q url.Values) (ListUsers, string, error) {
	p := params{q: q}
	out := ListUsers{
		IsDriver:          p.bool("is_driver"),
		FleetIDs:          p.uuids("fleet_ids"),
		FleetRefs:         p.many("fleet_refs"),
		ConnectionID:      p.uuid("connection_id"),
		UserIDs:           p.uuids("user_ids"),
		SourceIDs:         p.many("source_ids"),
		Name:              p.text("name"),
		IncludeSourceData: p.flag("include_source_data"),
		SortBy:            p.enum("sort_by", UserSortKeys),
		Descending:        p.enum("sort_order", sortOrders) == "desc",
	}
	if out.SortBy == "" {
		out.SortBy = "id"
	}
	size, cursor := p.page()
	out.Size = size
	return out, cursor, p.err()
}

// ParseListConnections reads the parameters of the list of connections. The
// error is an *operation.Error with every fault.
func ParseListConnections(q url.Values) (ListConnections, string, error) {
	p := params{q: q}
	out := ListConnections{
		TSPID:     p.uuid("tsp_id"),
		FleetIDs:  p.uuids("fleet_ids"),
		FleetRefs: p.many("fleet_refs"),
	}
	size, cursor := p.page()
	out.Size = size
	return out, cursor, p.err()
}

func (p *params) page() (size int, cursor string) {
	// An empty cursor is a fault too: taken as the first page, a client that
	// sends the last page's missing cursor as "" would never end.
	return p.size(), p.text("cursor")
}

// window reads the time bounds and their defaults. With a cursor the window is the
// cursor's: the bounds are part of its filters only, and the defaults have moved since.
func (p *params) window(now time.Time) (from, to time.Time) {
	before := len(p.faults)
	from, to = p.time("from_datetime"), p.time("to_datetime")
	if len(p.faults) > before || len(p.q["cursor"]) > 0 {
		return from, to
	}
	if from.IsZero() {
		from = ceilMicro(now.Add(-defaultWindow))
	}
	end := to
	if to.IsZero() {
		to = ceilMicro(now)
		end = to.Add(clockRoom)
	}
	switch {
	case from.After(end):
		p.badWindow("from_datetime", "to_datetime", from, to, "must not end before it starts", "datetime_order")
	case to.Sub(from) > MaxWindow:
		p.badWindow("to_datetime", "from_datetime", from, to, "must be at most 45 days long", "window_too_long")
	}
	return from, end
}

// badWindow blames a bound that was sent: the one, or if that is a default the other.
func (p *params) badWindow(one, other string, from, to time.Time, rule, slug string) {
	name := one
	if len(p.q[one]) == 0 {
		name = other
	}
	p.fault(name, p.q.Get(name), fmt.Sprintf("the window %s; it is from %s to %s, where a bound that is not given is a day ago, or now",
		rule, from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano)), slug)
}
