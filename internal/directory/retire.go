package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// retireChunk is how many users are asked for at once.
const retireChunk = 500

// Retire marks the users of a connection as deleted that listed does not know: the
// provider has them no more. listed gets source ids and answers for each. Users
// that were made or changed since the time are left alone. It gives how many were
// marked. A marked user keeps its id and is back when it is learned again.
func (d *Directory) Retire(ctx context.Context, connection uuid.UUID, since time.Time,
	listed func(ctx context.Context, sourceIDs []string) ([]bool, error),
) (int, error) {
	total := 0
	for chunk := range slices.Chunk(d.settled(connection, since), retireChunk) {
		sources := make([]string, len(chunk))
		for i, u := range chunk {
			sources[i] = u.SourceID
		}
		known, err := listed(ctx, sources)
		if err != nil {
			return total, err
		}
		if len(known) != len(sources) {
			return total, fmt.Errorf("directory: retire: %d answers for %d users", len(known), len(sources))
		}
		var gone []User
		for i, u := range chunk {
			if !known[i] {
				gone = append(gone, u)
			}
		}
		n, err := d.retire(ctx, gone)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// settled gives the users of a connection that nobody has touched since.
func (d *Directory) settled(connection uuid.UUID, since time.Time) []User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []User
	for _, id := range d.copy.onConnection[connection] {
		u := d.copy.users[id]
		if u != nil && u.DeletedAt == nil && u.CreatedAt.Before(since) && u.UpdatedAt.Before(since) {
			out = append(out, *u)
		}
	}
	return out
}

// retire marks users. One that somebody else writes at the same time is not gone.
func (d *Directory) retire(ctx context.Context, users []User) (int, error) {
	var mu sync.Mutex
	marked := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bucketCalls)
	for _, u := range users {
		g.Go(func() error {
			value, err := encodeUser(u.gone(d.now().UTC()))
			if err != nil {
				return fmt.Errorf("directory: %s: %w", u, err)
			}
			err = d.store(ctx, userKey(u.ConnectionID, u.ID), value, u.revision)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errConflict):
				return nil
			case err != nil:
				return err
			}
			marked++
			return nil
		})
	}
	return marked, g.Wait()
}
