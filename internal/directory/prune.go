package directory

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
)

// given is the mark of what the file says of a user, and the names of the fields that it
// gives.
func given(v User) string {
	text, _ := json.Marshal(v.Fields)
	sum := sha256.Sum256(append([]byte(v.SourceID+"\x00"), text...))
	out := hex.EncodeToString(sum[:8])
	for f := range v.Fields.All() {
		out += " " + string(f)
	}
	return out
}

// sameGiven reports whether the file says the same. The names follow from the mark.
func sameGiven(a, b string) bool {
	a, _, _ = strings.Cut(a, " ")
	b, _, _ = strings.Cut(b, " ")
	return a == b
}

// learned marks users that a sync had found before the file named them: two ids
// for one user of a provider would be two mailboxes.
func (p *plan) learned(reg *registry, t *table) {
	type source struct {
		connection uuid.UUID
		id         string
	}
	named := make(map[source]uuid.UUID, len(reg.users))
	for _, v := range reg.users {
		named[source{v.ConnectionID, v.SourceID}] = v.ID
	}
	for id, u := range t.users {
		now, ok := named[source{u.ConnectionID, u.SourceID}]
		if !ok || now == id || u.Given != "" || u.DeletedAt != nil {
			continue
		}
		p.gone(kindUser, userKey(u.ConnectionID, id), p.encoded(encodeUser(u.gone(p.now))), u.revision)
	}
}

// prune marks as deleted what the file does not have. Users that it never had are
// the provider's to say.
func (p *plan) prune(reg *registry, t *table) {
	for id, c := range t.connections {
		if _, listed := reg.lines[connectionKey(id)]; listed || c.Status == ConnectionDeleted {
			continue
		}
		gone := *c
		gone.Status, gone.UpdatedAt = ConnectionDeleted, p.now
		p.gone(kindConnection, connectionKey(id), p.encoded(p.box.connection(gone)), c.Revision)
	}
	for id, u := range t.users {
		if _, listed := reg.lines[userKey(u.ConnectionID, id)]; listed || u.DeletedAt != nil || u.Given == "" {
			continue
		}
		taken := *u
		taken.Given = ""
		p.gone(kindUser, userKey(u.ConnectionID, id), p.encoded(encodeUser(taken.gone(p.now))), u.revision)
	}
}

func (p *plan) gone(kind, key string, value []byte, revision uint64) {
	p.changes = append(p.changes, change{
		kind: kind, key: key, value: value, revision: revision, bare: kind == kindUser, count: func(c *Count) { c.Deleted++ },
	})
}
