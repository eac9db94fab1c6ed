package directory

import (
	"fmt"
	"iter"
	"slices"

	"github.com/google/uuid"

	"writeback/internal/newer"
)

// table is the copy in memory. Entries are replaced, never changed, so a reader
// may keep what it got. The Directory's lock guards it.
type table struct {
	box         box
	partners    map[uuid.UUID]Partner
	fleets      map[uuid.UUID]Fleet
	connections map[uuid.UUID]*held
	users       map[uuid.UUID]*User
	// onConnection lists the users of a connection, in no order. A user may be
	// read before its connection.
	onConnection map[uuid.UUID][]uuid.UUID
	// named lists those of them whose id does not follow from the provider's: a registry file
	// gave it. The others need no list to be found by the provider's id.
	named map[uuid.UUID][]uuid.UUID
	// ofPartner lists the connections of a partner, in order.
	ofPartner map[uuid.UUID][]uuid.UUID
	// sorted holds the user ids of a partner in order. A missing entry is made
	// when it is asked for.
	sorted map[uuid.UUID]*order
	// newer are the entries, by key, of which a newer version has written what this one
	// does not know.
	newer map[string]*newer.Entry
}

// order is the users of a partner in order, and those that have come since. Some may be
// there no more, or another partner's by now.
type order struct{ ids, since []uuid.UUID }

func newTable(b box) *table {
	return &table{
		box:          b,
		partners:     make(map[uuid.UUID]Partner),
		fleets:       make(map[uuid.UUID]Fleet),
		connections:  make(map[uuid.UUID]*held),
		users:        make(map[uuid.UUID]*User),
		onConnection: make(map[uuid.UUID][]uuid.UUID),
		named:        make(map[uuid.UUID][]uuid.UUID),
		ofPartner:    make(map[uuid.UUID][]uuid.UUID),
		sorted:       make(map[uuid.UUID]*order),
		newer:        make(map[string]*newer.Entry),
	}
}

// revision gives the revision under which the entry is held. Zero: it is not,
// or the store has lost it.
func (t *table) revision(kind string, id uuid.UUID) uint64 {
	switch kind {
	case kindPartner:
		return t.partners[id].revision
	case kindFleet:
		return t.fleets[id].revision
	case kindConnection:
		if c := t.connections[id]; c != nil {
			return c.Revision
		}
	case kindUser:
		if u := t.users[id]; u != nil {
			return u.revision
		}
	}
	return 0
}

// put takes an entry in, unless a newer one is held. An entry that cannot be
// read leaves the one before in place.
func (t *table) put(key string, value []byte, revision uint64) error {
	kind, id, err := splitKey(key)
	if err != nil {
		return fmt.Errorf("directory: key: %w", err)
	}
	if t.revision(kind, id) >= revision {
		return nil
	}
	var unknown *newer.Entry
	switch kind {
	case kindPartner:
		var r partnerRecord
		if unknown, err = newer.Read(value, &r); err == nil {
			r.revision = revision
			t.partners[id] = Partner(r)
		}
	case kindFleet:
		var r fleetRecord
		if unknown, err = newer.Read(value, &r); err == nil {
			r.revision = revision
			t.fleets[id] = Fleet(r)
		}
	case kindConnection:
		var c *held
		if c, unknown, err = t.box.decode(value, revision); err == nil {
			t.putConnection(c)
		}
	case kindUser:
		var r userRecord
		if unknown, err = newer.Read(value, &r); err == nil {
			r.revision = revision
			t.putUser(User(r))
		}
	default:
		err = fmt.Errorf("unknown kind")
	}
	if err != nil {
		return fmt.Errorf("directory: %s %s: %w", kind, id, err)
	}
	if delete(t.newer, key); unknown != nil {
		t.newer[key] = unknown
	}
	return nil
}

func (t *table) putConnection(c *held) {
	old := t.connections[c.ID]
	t.connections[c.ID] = c
	if old != nil && old.PartnerID == c.PartnerID {
		return
	}
	if old != nil {
		t.disown(old)
	}
	owned := t.ofPartner[c.PartnerID]
	if at, found := slices.BinarySearchFunc(owned, c.ID, compareIDs); !found {
		t.ofPartner[c.PartnerID] = slices.Insert(owned, at, c.ID)
	}
	delete(t.sorted, c.PartnerID)
}

// disown takes a connection off its partner.
func (t *table) disown(c *held) {
	owned := t.ofPartner[c.PartnerID]
	if at, found := slices.BinarySearchFunc(owned, c.ID, compareIDs); found {
		t.ofPartner[c.PartnerID] = slices.Delete(owned, at, at+1)
	}
	if len(t.ofPartner[c.PartnerID]) == 0 {
		delete(t.ofPartner, c.PartnerID)
	}
	delete(t.sorted, c.PartnerID)
}

func (t *table) putUser(u User) {
	old := t.users[u.ID]
	t.users[u.ID] = &u
	if old != nil && old.ConnectionID == u.ConnectionID && old.SourceID == u.SourceID {
		return
	}
	if old != nil {
		takeOff(t.named, old)
	}
	if u.ID != UserID(u.ConnectionID, u.SourceID) {
		t.named[u.ConnectionID] = append(t.named[u.ConnectionID], u.ID)
	}
	if old != nil && old.ConnectionID == u.ConnectionID {
		return
	}
	if old != nil {
		takeOff(t.onConnection, old)
	}
	t.onConnection[u.ConnectionID] = append(t.onConnection[u.ConnectionID], u.ID)
	if c := t.connections[u.ConnectionID]; c != nil {
		if o := t.sorted[c.PartnerID]; o != nil {
			o.since = append(o.since, u.ID)
		}
	}
}

// remove takes an entry out that was deleted in the store.
func (t *table) remove(key string, revision uint64) {
	kind, id, err := splitKey(key)
	if err != nil || t.revision(kind, id) >= revision {
		return
	}
	delete(t.newer, key)
	switch kind {
	case kindPartner:
		delete(t.partners, id)
	case kindFleet:
		delete(t.fleets, id)
	case kindConnection:
		if c := t.connections[id]; c != nil {
			t.disown(c)
			delete(t.connections, id)
		}
	case kindUser:
		if u := t.users[id]; u != nil && key == userKey(u.ConnectionID, id) {
			takeOff(t.onConnection, u)
			takeOff(t.named, u)
			delete(t.users, id)
		}
	}
}

// takeOff takes a user off the list of its connection.
func takeOff(lists map[uuid.UUID][]uuid.UUID, u *User) {
	list := slices.DeleteFunc(lists[u.ConnectionID], func(id uuid.UUID) bool { return id == u.ID })
	if lists[u.ConnectionID] = list; len(list) == 0 {
		delete(lists, u.ConnectionID)
	}
}

// withSources gives the users of a connection that have one of the provider's ids, those that
// are gone included.
func (t *table) withSources(connection uuid.UUID, asked map[string]bool) iter.Seq[*User] {
	return func(yield func(*User) bool) {
		for source := range asked {
			u := t.users[UserID(connection, source)]
			if u != nil && u.ConnectionID == connection && u.SourceID == source && !yield(u) {
				return
			}
		}
		for _, id := range t.named[connection] {
			if u := t.users[id]; asked[u.SourceID] && !yield(u) {
				return
			}
		}
	}
}

// sort makes and keeps the order of a partner's users, which holds each once. While a sync
// adds users only those are sorted.
func (t *table) sort(partner uuid.UUID) []uuid.UUID {
	o := t.sorted[partner]
	if o == nil {
		o = &order{}
		for _, c := range t.ofPartner[partner] {
			o.since = append(o.since, t.onConnection[c]...)
		}
		// Nothing is kept for an id that is nobody's: the caller chose it.
		if len(o.since) == 0 {
			return nil
		}
		t.sorted[partner] = o
	}
	if len(o.since) > 0 {
		slices.SortFunc(o.since, compareIDs)
		o.ids, o.since = merge(o.ids, o.since), nil
	}
	return o.ids
}

// merge gives a list of both, each id once.
func merge(a, b []uuid.UUID) []uuid.UUID {
	out := make([]uuid.UUID, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compareIDs(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return slices.Compact(append(append(out, a...), b...))
}

// forgetRevisions marks every entry as lost by the store: whatever the store
// holds now replaces it, and the next load writes it again.
func (t *table) forgetRevisions() {
	for id, p := range t.partners {
		p.revision = 0
		t.partners[id] = p
	}
	for id, f := range t.fleets {
		f.revision = 0
		t.fleets[id] = f
	}
	for id, c := range t.connections {
		lost := *c
		lost.Revision = 0
		t.connections[id] = &lost
	}
	for id, u := range t.users {
		lost := *u
		lost.revision = 0
		t.users[id] = &lost
	}
}
