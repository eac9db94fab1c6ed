package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// userSpace is the name space of the ids of users that no registry file names.
var userSpace = uuid.MustParse("7d0b1d1e-7e0c-5b8e-9a53-3a5f0a6f7c11")

// UserID gives the stable id of a provider's user: the same user of the same
// connection always has the same.
func UserID(connection uuid.UUID, sourceID string) uuid.UUID {
	return uuid.NewSHA1(userSpace, append(connection[:], sourceID...))
}

// learnTries bounds how often a user that others write too is tried.
const learnTries = 5

// Learn takes in users as a provider has them: new ones get a stable id, known
// ones their present fields, and ones that were marked as gone are back. What is
// the same already is not written. It gives how many were written.
func (d *Directory) Learn(ctx context.Context, connection uuid.UUID, users []tsp.ListedUser) (Count, error) {
	if _, ok := d.ConnectionByID(connection); !ok {
		return Count{}, fmt.Errorf("directory: learn: no connection %s", connection)
	}
	known := d.bySource(connection, users)
	var mu sync.Mutex
	var total Count
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bucketCalls)
	for _, u := range users {
		g.Go(func() error {
			id := known[u.SourceID]
			if id == uuid.Nil {
				id = UserID(connection, u.SourceID)
			}
			count, err := d.learn(ctx, connection, id, u)
			mu.Lock()
			defer mu.Unlock()
			total.Created += count.Created
			total.Updated += count.Updated
			total.Unchanged += count.Unchanged
			return err
		})
	}
	return total, g.Wait()
}

// Named gives the listed users by the ids by which the directory has them: one whom the
// registry file names by an alias stands under that, and under the provider's own id only if
// the file names that too. Two ids for one user would be two mailboxes.
func (d *Directory) Named(connection uuid.UUID, listed []tsp.ListedUser) []tsp.ListedUser {
	inFile := d.inFile(connection, listed)
	if len(inFile) == 0 {
		return listed
	}
	out := make([]tsp.ListedUser, 0, len(listed))
	for _, u := range listed {
		named := false
		for _, alias := range u.Aliases {
			if inFile[alias] {
				out = append(out, tsp.ListedUser{SourceID: alias, Fields: u.Fields})
				named = true
			}
		}
		if !named || inFile[u.SourceID] {
			out = append(out, u)
		}
	}
	return out
}

// inFile are the ids, of those of listed users that have aliases, by which the registry file
// names a user.
func (d *Directory) inFile(connection uuid.UUID, listed []tsp.ListedUser) map[string]bool {
	asked := make(map[string]bool)
	for _, u := range listed {
		for _, alias := range u.Aliases {
			asked[alias], asked[u.SourceID] = true, true
		}
	}
	if len(asked) == 0 {
		return nil
	}
	out := make(map[string]bool)
	d.mu.RLock()
	defer d.mu.RUnlock()
	for u := range d.copy.withSources(connection, asked) {
		if u.Given != "" {
			out[u.SourceID] = true
		}
	}
	return out
}

// bySource maps the listed ones of the provider's ids of a connection to ours,
// users that are gone included. Of two with the same the one stands that the
// registry file names, else the one that is not gone.
func (d *Directory) bySource(connection uuid.UUID, listed []tsp.ListedUser) map[string]uuid.UUID {
	asked := make(map[string]bool, len(listed))
	for _, u := range listed {
		asked[u.SourceID] = true
	}
	out := make(map[string]uuid.UUID, len(listed))
	d.mu.RLock()
	defer d.mu.RUnlock()
	for u := range d.copy.withSources(connection, asked) {
		if other, twice := out[u.SourceID]; !twice || before(u, d.copy.users[other]) {
			out[u.SourceID] = u.ID
		}
	}
	return out
}

// before reports whether a is the one that stands for both.
func before(a, b *User) bool {
	if (a.Given != "") != (b.Given != "") {
		return a.Given != ""
	}
	if (a.DeletedAt == nil) != (b.DeletedAt == nil) {
		return a.DeletedAt == nil
	}
	return compareIDs(a.ID, b.ID) < 0
}

func (d *Directory) learn(ctx context.Context, connection, id uuid.UUID, listed tsp.ListedUser) (Count, error) {
	key := userKey(connection, id)
	for try := 1; ; try++ {
		old := d.user(id)
		u := learned(connection, id, listed, old)
		value, err := encodeUser(u)
		if err != nil {
			return Count{}, fmt.Errorf("directory: %s: %w", u, err)
		}
		if old != nil {
			before, err := encodeUser(*old)
			if err == nil && bytes.Equal(before, value) {
				return Count{Unchanged: 1}, nil
			}
		}
		now := d.now().UTC()
		u.UpdatedAt = now
		if old == nil {
			u.CreatedAt = now
		}
		if value, err = encodeUser(u); err != nil {
			return Count{}, fmt.Errorf("directory: %s: %w", u, err)
		}
		err = d.store(ctx, key, d.kept(key, value), u.revision)
		switch {
		case err == nil && old == nil:
			return Count{Created: 1}, nil
		case err == nil:
			return Count{Updated: 1}, nil
		case !errors.Is(err, errConflict) || try == learnTries:
			return Count{}, err
		}
		if err := d.again(ctx, key); err != nil {
			return Count{}, err
		}
	}
}

// learned is the user with what the provider says now.
func learned(connection, id uuid.UUID, listed tsp.ListedUser, old *User) User {
	u := User{ID: id, ConnectionID: connection}
	if old != nil {
		u = *old
	}
	u.SourceID, u.DeletedAt = listed.SourceID, nil
	fields := make(operation.Changes, len(operation.UserFields))
	maps.Insert(fields, u.Fields.All())
	for f, v := range listed.Fields {
		if v.IsNull() {
			delete(fields, f)
		} else {
			fields[f] = v
		}
	}
	u.Fields = Pack(fields)
	return u
}

// user gives a user by id, also one that is gone.
func (d *Directory) user(id uuid.UUID) *User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u := d.copy.users[id]
	if u == nil {
		return nil
	}
	out := *u
	return &out
}
