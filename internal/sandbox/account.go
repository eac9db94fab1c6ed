package sandbox

import (
	"strings"
	"sync"
	"time"
)

// Account is one connection's fleet at a provider.
type Account struct {
	// Connection is the connection's id.
	Connection string
	provider   string
	// Credentials by the contract's names. Never changed.
	Credentials map[string]string

	mu     sync.RWMutex
	users  []*User // in id order; only ever appended to
	byID   map[string]*User
	unique map[string]*User // claimed values, for example "username\x00dana"
	made   int              // users created by calls
}

// User is one record. What follows the lock is guarded by it. Its fields are never changed in place: a write puts a new
// map there, so that a reader may keep the old one without a lock.
type User struct {
	// SourceID is the provider's id; it is set once.
	SourceID string
	catenaID string

	sync.Mutex // taken before an account's, never after it

	// Fields are the record.
	Fields map[string]any
	// State is what a wire keeps beside the record. Nil in a seeded one.
	State any
	// Applied counts the writes.
	Applied int64
	claims  []string
}

// newAccount seeds a fleet.
func newAccount(seed Seed, p Part, now time.Time) *Account {
	a := &Account{
		Connection: seed.Connection, provider: seed.Provider, Credentials: seed.Credentials,
		byID:   make(map[string]*User, len(seed.Users)),
		unique: make(map[string]*User, 2*len(seed.Users)),
	}
	for _, person := range seed.Users {
		u := &User{SourceID: person.SourceID, catenaID: person.CatenaID, Fields: p.Record(person, now)}
		a.Claim(u, p.Claims(u.Fields))
		a.byID[u.SourceID] = u
		a.users = append(a.users, u)
	}
	return a
}

// Snapshot gives the fields as they are now.
func (u *User) Snapshot() map[string]any {
	u.Lock()
	defer u.Unlock()
	return u.Fields
}

// Find gives the user with a source id, or nil.
func (a *Account) Find(id string) *User {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byID[id]
}

// Owner gives the user who holds a claimed value.
func (a *Account) Owner(claim string) *User {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.unique[claim]
}

// List gives all users in id order.
func (a *Account) List() []*User {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.users[:len(a.users):len(a.users)]
}

// Claim takes the values that must be unique in the account for u and gives back
// those it held. If one is taken by another user nothing changes, and its kind
// ("username") is returned.
func (a *Account) Claim(u *User, claims []string) (conflict string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.claimLocked(u, claims)
}

func (a *Account) claimLocked(u *User, claims []string) (conflict string) {
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

// Add puts a new user in, with the id that name gives for its number.
func (a *Account) Add(u *User, claims []string, name func(n int) string) (conflict string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if conflict = a.claimLocked(u, claims); conflict != "" {
		return conflict
	}
	a.made++
	u.SourceID = name(a.made)
	a.byID[u.SourceID] = u
	a.users = append(a.users, u)
	return ""
}

// ClaimOf is one claimed value. An empty value claims nothing.
func ClaimOf(claims []string, kind string, value any) []string {
	text, _ := value.(string)
	if text == "" {
		return claims
	}
	return append(claims, kind+"\x00"+strings.ToLower(text))
}

// Text is the string at a key, or "".
func Text(fields map[string]any, key string) string {
	s, _ := fields[key].(string)
	return s
}

// Before reports whether a time in RFC 3339 is before the bound.
func Before(v any, bound time.Time) bool {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	return err == nil && t.Before(bound)
}
