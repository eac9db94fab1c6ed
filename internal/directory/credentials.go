package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

const (
	refreshTimeout = 30 * time.Second
	saveTimeout    = 30 * time.Second
	// renewalTTL is how long other processes wait for one that refreshes. It
	// outlasts a refresh and its save, with room for clocks that differ.
	renewalTTL = 90 * time.Second
	// refusedFor is how long a refusal is given without asking again: some
	// providers lock out who logs in too often.
	refusedFor = 30 * time.Second
)

// renewals is what a process remembers of the refreshes that did not end well.
type renewals struct {
	mu      sync.Mutex
	refused map[uuid.UUID]refusal
	unsaved map[uuid.UUID]unsaved
}

type refusal struct {
	from  tsp.Credentials
	err   error
	until time.Time
}

// unsaved is a refreshed set that the bucket does not hold yet. The old one may
// be of no use any more, so the next call saves it before anything else.
type unsaved struct{ from, set tsp.Credentials }

// Credentials gives a set of credentials that can be used for a call. Stale is
// the set that the provider refused, or nil. Where the stored set differs from it
// and is fresh, that is the answer; else the refresher gets a new set, one time
// for all processes, and it is stored before it is returned. A nil refresher says
// that the provider's credentials do not expire.
//
// A refusal comes back as the *operation.Failure that it is. One that the provider
// itself gave makes the connection failed, so that nobody asks again: Activate,
// or other credentials, undo that. Any other error says that nobody could be asked, or that the
// new set could not be stored: the attempt was not made.
func (d *Directory) Credentials(ctx context.Context, connection uuid.UUID, stale tsp.Credentials, refresher tsp.Refresher) (tsp.Credentials, error) {
	// The flight that is joined may be the one that made the stale set.
	for range 3 {
		c, usable, err := d.look(connection, stale, refresher)
		switch {
		case err != nil:
			return nil, err
		case usable:
			return c.Credentials, nil
		case refresher == nil:
			return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "the provider refused the credentials, and they cannot be refreshed"}
		}
		set, err := d.join(ctx, connection, stale, refresher)
		if err != nil {
			return nil, err
		}
		if !same(set, stale) {
			return set, nil
		}
	}
	return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "a refresh gave the same credentials again"}
}

// look gives the connection as it is, and whether its credentials can be used. The error says
// why they cannot be renewed either.
func (d *Directory) look(id uuid.UUID, stale tsp.Credentials, refresher tsp.Refresher) (c held, usable bool, err error) {
	c, ok := d.held(id)
	switch {
	case !ok || c.Status == ConnectionDeleted:
		return c, false, errGone
	case c.Status == ConnectionFailed:
		return c, false, c.Failure()
	case c.Locked:
		return c, false, d.box.locked(id)
	}
	return c, !same(c.Credentials, stale) && (refresher == nil || refresher.Fresh(c.Credentials, d.now())), nil
}

var errGone = &operation.Failure{Type: operation.ErrorAuth, Detail: "the connection does not exist any more"}

// same reports whether the set is the stale one; no set is stale if none is given.
func same(set, stale tsp.Credentials) bool { return stale != nil && maps.Equal(set, stale) }

// join waits for the connection's one refresh in this process. The refresh
// outlives a caller that gives up: it may have spent the old token already.
func (d *Directory) join(ctx context.Context, id uuid.UUID, stale tsp.Credentials, refresher tsp.Refresher) (tsp.Credentials, error) {
	answer := d.flight.DoChan(id.String(), func() (set any, err error) {
		defer func() {
			if recover() != nil {
				err = fmt.Errorf("directory: refresh %s: panic", id)
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewalTTL+refreshTimeout+saveTimeout)
		defer cancel()
		return d.renew(ctx, id, stale, refresher)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("directory: refresh %s: %w", id, context.Cause(ctx))
	case r := <-answer:
		set, _ := r.Val.(tsp.Credentials)
		return set, r.Err
	}
}

// renew refreshes the credentials, or waits for the process that does.
func (d *Directory) renew(ctx context.Context, id uuid.UUID, stale tsp.Credentials, refresher tsp.Refresher) (tsp.Credentials, error) {
	for {
		changed := d.changes()
		c, usable, err := d.look(id, stale, refresher)
		if err != nil {
			return nil, err
		}
		if usable {
			return c.Credentials, nil
		}
		if set, err := d.remembered(c); err != nil {
			return nil, err
		} else if set != nil {
			return d.save(ctx, id, c.Credentials, set)
		}
		// One's own renewal is what a refresh left behind that could not clear it.
		if r := c.renewal; r != nil && r.Owner != d.owner && d.now().Before(r.Until) {
			if err := wait(ctx, changed, r.Until.Sub(d.now())); err != nil {
				return nil, fmt.Errorf("directory: refresh %s: %w", id, err)
			}
			continue
		}
		switch err := d.claim(ctx, c); {
		case errors.Is(err, errConflict):
			if err := d.again(ctx, connectionKey(id)); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			return d.refresh(ctx, c, refresher)
		}
	}
}

// claim marks the connection as being refreshed by this process. It succeeds
// only on the newest revision, so nobody refreshes from an old token.
func (d *Directory) claim(ctx context.Context, c held) error {
	c.renewal = &renewal{Owner: d.owner, Until: d.now().Add(renewalTTL).UTC()}
	return d.write(ctx, c)
}

// refresh asks the provider, with the connection claimed.
func (d *Directory) refresh(ctx context.Context, c held, refresher tsp.Refresher) (tsp.Credentials, error) {
	asked, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	set, err := refresher.Refresh(asked, c.TSP())
	if err == nil {
		return d.save(ctx, c.ID, c.Credentials, set)
	}
	var failure *operation.Failure
	if errors.As(err, &failure) && !failure.Retryable {
		if failure.Type == operation.ErrorAuth && failure.StatusCode != 0 && d.fail(ctx, c, failure.Detail) {
			return nil, err
		}
		d.renewals.mu.Lock()
		d.renewals.refused[c.ID] = refusal{from: c.Credentials, err: err, until: d.now().Add(refusedFor)}
		d.renewals.mu.Unlock()
	}
	// Nothing was got, so the stored set stays; only the claim goes.
	if _, e := d.save(ctx, c.ID, c.Credentials, c.Credentials); e != nil {
		d.log.Warn("directory claim not cleared", "connection_id", c.ID, "error", e)
	}
	return nil, err
}

// remembered gives the refusal or the unsaved set that belongs to the stored
// credentials, if there is one.
func (d *Directory) remembered(c held) (tsp.Credentials, error) {
	d.renewals.mu.Lock()
	defer d.renewals.mu.Unlock()
	if r, ok := d.renewals.refused[c.ID]; ok {
		if maps.Equal(r.from, c.Credentials) && d.now().Before(r.until) {
			return nil, r.err
		}
		delete(d.renewals.refused, c.ID)
	}
	if u, ok := d.renewals.unsaved[c.ID]; ok {
		if maps.Equal(u.from, c.Credentials) {
			return u.set, nil
		}
		delete(d.renewals.unsaved, c.ID)
	}
	return nil, nil
}

// save stores the set and clears the claim. If the stored set is not the one that
// was refreshed, somebody gave the connection another: that one stays and is the
// answer.
func (d *Directory) save(ctx context.Context, id uuid.UUID, from, set tsp.Credentials) (tsp.Credentials, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	for {
		c, ok := d.held(id)
		if !ok {
			return nil, errGone
		}
		if maps.Equal(c.Credentials, from) {
			c.Credentials = set
		}
		if !maps.Equal(from, set) {
			c.UpdatedAt = d.now().UTC().Truncate(time.Millisecond)
		}
		c.renewal = nil
		err := d.write(ctx, c)
		if err == nil {
			d.keep(id, unsaved{})
			return c.Credentials, nil
		}
		if !errors.Is(err, errConflict) {
			d.keep(id, unsaved{from: from, set: set})
		}
		if again := d.again(ctx, connectionKey(id)); again != nil {
			return nil, errors.Join(err, again)
		}
	}
}

// keep remembers a set that is not saved; an empty one forgets it.
func (d *Directory) keep(id uuid.UUID, u unsaved) {
	d.renewals.mu.Lock()
	defer d.renewals.mu.Unlock()
	if maps.Equal(u.from, u.set) {
		delete(d.renewals.unsaved, id)
		return
	}
	d.renewals.unsaved[id] = u
}
