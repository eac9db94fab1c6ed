package sandbox

import (
	"strings"
	"sync"
	"time"
)

// account is one connection's fleet at a provider.
type account struct {
	connection  string
	provider    string
	credentials map[string]string

	mu     sync.RWMutex
	users  []*user // in id order; only ever appended to
	byID   map[string]*user
	unique map[string]*user // claimed values, for example "username\x00dana"
	made   int              // users created by calls
}

// user is one record. Its fields are never changed in place: a write puts a new
// map there, so that a reader may keep the old one without a lock.
type user struct {
	sourceID string
	catenaID string

	mu      sync.Mutex // taken before account.mu, never after it
	fields  map[string]any
	rules   []ruleRow // Geotab's dated rulesets
	claims  []string
	applied int64 // writes so far
}

// newAccount seeds a fleet, or gives nil for a provider without a wire.
func newAccount(seed Seed, now time.Time) *account {
	var record func(SeedUser, time.Time) map[string]any
	var claims func(map[string]any) []string
	switch seed.Provider {
	case Samsara:
		record, claims = samsaraRecord, samsaraClaims
	case Motive:
		record, claims = motiveRecord, motiveClaims
	case Geotab:
		record, claims = geotabRecord, geotabClaims
	default:
		p, ok := partOf(seed.Provider)
		if !ok {
			return nil
		}
		record, claims = p.record, p.claims
	}
	a := &account{
		connection: seed.Connection, provider: seed.Provider, credentials: seed.Credentials,
		byID:   make(map[string]*user, len(seed.Users)),
		unique: make(map[string]*user, 2*len(seed.Users)),
	}
	for _, person := range seed.Users {
		u := &user{sourceID: person.SourceID, catenaID: person.CatenaID, fields: record(person, now)}
		if seed.Provider == Geotab {
			u.rules = []ruleRow{{from: seedTime, name: "America8Day"}}
		}
		a.claim(u, claims(u.fields))
		a.byID[u.sourceID] = u
		a.users = append(a.users, u)
	}
	return a
}

// snapshot gives the fields as they are now.
func (u *user) snapshot() map[string]any {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fields
}

func (a *account) find(id string) *user {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byID[id]
}

// owner gives the user who holds a claimed value.
func (a *account) owner(claim string) *user {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.unique[claim]
}

// list gives all users in id order.
func (a *account) list() []*user {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.users[:len(a.users):len(a.users)]
}

// claim takes the values that must be unique in the account for u and gives back
// those it held. If one is taken by another user nothing changes, and its kind
// ("username") is returned.
func (a *account) claim(u *user, claims []string) (conflict string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.claimLocked(u, claims)
}

func (a *account) claimLocked(u *user, claims []string) (conflict string) {
	for _, c := range claims {
		if holder := a.unique[c]; holder != nil && holder != u {
			kind, _, _ := strings.Cut(c, "\x00")
			return kind
		}
	}
	for _, c := range u.claims {
		delete(a.unique, c)
	}
	for _, c := range claims {
		a.unique[c] = u
	}
	u.claims = claims
	return ""
}

// add puts a new user in, with the id that name gives for its number.
func (a *account) add(u *user, claims []string, name func(n int) string) (conflict string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if conflict = a.claimLocked(u, claims); conflict != "" {
		return conflict
	}
	a.made++
	u.sourceID = name(a.made)
	a.byID[u.sourceID] = u
	a.users = append(a.users, u)
	return ""
}

// claimOf is one claimed value. An empty value claims nothing.
func claimOf(claims []string, kind string, value any) []string {
	text, _ := value.(string)
	if text == "" {
		return claims
	}
	return append(claims, kind+"\x00"+strings.ToLower(text))
}

func text(fields map[string]any, key string) string {
	s, _ := fields[key].(string)
	return s
}
