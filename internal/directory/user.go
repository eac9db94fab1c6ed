package directory

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// User is one user of a connection.
type User struct {
	ID           uuid.UUID
	ConnectionID uuid.UUID
	// SourceID is the provider's id of the user.
	SourceID string
	// Fields are what is known of the user. A field that is not there is unknown;
	// none is null.
	Fields    Known
	CreatedAt time.Time
	UpdatedAt time.Time
	// DeletedAt is when the user was found to be gone. Look-ups do not give such a
	// user.
	DeletedAt *time.Time
	// Given is the mark of what the registry file said last, and of which fields; the same
	// said again changes nothing. Empty: no file names the user.
	Given string

	revision uint64
}

// String names the user and nothing personal.
func (u User) String() string { return "user " + u.ID.String() }

// GoString names the user and nothing personal.
func (u User) GoString() string { return u.String() }

// LogValue names the user and nothing personal.
func (u User) LogValue() slog.Value {
	return slog.GroupValue(slog.String("user_id", u.ID.String()), slog.String("connection_id", u.ConnectionID.String()))
}

// gone is the user from when nobody has it any more. Nothing personal is kept, unless the
// registry file says it, which would not say it again: a sync that finds the user again does.
func (u User) gone(at time.Time) User {
	u.DeletedAt, u.UpdatedAt = &at, at
	fields, said := u.Fields.Changes(), strings.Fields(u.Given)
	maps.DeleteFunc(fields, func(f operation.Field, _ operation.Value) bool { return !slices.Contains(said, string(f)) })
	u.Fields = Pack(fields)
	return u
}

// UserFilter selects users; the zero value of each field selects all.
type UserFilter struct {
	ConnectionID uuid.UUID
	IDs          []uuid.UUID
	SourceIDs    []string
	FleetIDs     []uuid.UUID
	FleetRefs    []string
	// Name is text that a user's name must hold, in any case: the first and last name
	// with a space between, or the username.
	Name string
	// IsDriver also leaves out users of whom it is not known.
	IsDriver *bool
}

// Matches reports whether the filter selects a user, who is on the connection.
func (f UserFilter) Matches(u User, c Connection) bool {
	switch {
	case f.ConnectionID != uuid.Nil && f.ConnectionID != u.ConnectionID,
		len(f.IDs) > 0 && !slices.Contains(f.IDs, u.ID),
		len(f.SourceIDs) > 0 && !slices.Contains(f.SourceIDs, u.SourceID),
		len(f.FleetIDs) > 0 && !slices.Contains(f.FleetIDs, c.FleetID),
		len(f.FleetRefs) > 0 && !slices.Contains(f.FleetRefs, c.FleetRef),
		f.Name != "" && !u.isCalled(f.Name):
		return false
	}
	if f.IsDriver == nil {
		return true
	}
	v, known := u.Fields.Get(operation.FieldIsDriver)
	return known && v.Flag() == *f.IsDriver
}

// isCalled reports whether the user's name holds the text. Letters are compared
// one by one without case, so that no language has rules of its own.
func (u User) isCalled(name string) bool {
	text := func(f operation.Field) string {
		v, _ := u.Fields.Get(f)
		return strings.ToLower(v.Text())
	}
	name = strings.ToLower(name)
	return strings.Contains(text(operation.FieldFirstName)+" "+text(operation.FieldLastName), name) ||
		strings.Contains(text(operation.FieldUsername), name)
}

// User gives a partner's user and the connection it is on, and whether there is
// such a user: another partner's and a deleted one are not found.
func (d *Directory) User(partner, id uuid.UUID) (User, Connection, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u, ok := d.copy.users[id]
	if !ok || u.DeletedAt != nil {
		return User{}, Connection{}, false
	}
	c, ok := d.copy.connections[u.ConnectionID]
	if !ok || c.PartnerID != partner {
		return User{}, Connection{}, false
	}
	return *u, c.Connection, true
}

// UsersPage gives at most limit of a partner's users that the filter selects, by
// id ascending, from after (exclusive; uuid.Nil: the first). Fewer than limit
// means that there are no more. Users of deleted connections are left out.
func (d *Directory) UsersPage(partner, after uuid.UUID, limit int, filter UserFilter) []User {
	ids := d.userIDs(partner)
	at, found := slices.BinarySearchFunc(ids, after, compareIDs)
	if found {
		at++
	}
	var out []User
	for some := range slices.Chunk(ids[at:], lookedAt) {
		if out = d.match(out, some, partner, limit, filter); len(out) >= limit {
			break
		}
	}
	return out
}

// lookedAt is how many users a list looks at before it lets a change in, for which all
// look-ups wait.
const lookedAt = 1000

// match adds those that the filter selects, up to the limit.
func (d *Directory) match(out []User, ids []uuid.UUID, partner uuid.UUID, limit int, filter UserFilter) []User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, id := range ids {
		if len(out) >= limit {
			break
		}
		u, ok := d.copy.users[id]
		if !ok || u.DeletedAt != nil {
			continue
		}
		c, ok := d.copy.connections[u.ConnectionID]
		if ok && c.PartnerID == partner && c.Status != ConnectionDeleted && filter.Matches(*u, c.Connection) {
			out = append(out, *u)
		}
	}
	return out
}

// userIDs gives the ids of a partner's users in order. The slice is never
// changed, only replaced.
func (d *Directory) userIDs(partner uuid.UUID) []uuid.UUID {
	d.mu.RLock()
	o := d.copy.sorted[partner]
	if o != nil && len(o.since) == 0 {
		defer d.mu.RUnlock()
		return o.ids
	}
	d.mu.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.copy.sort(partner)
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
