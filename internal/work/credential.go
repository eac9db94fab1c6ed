package work

import (
	"context"
	"errors"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// renew renews a credential that was refused for an operation which does not try again, so
// that the next one has another. Whether that works is for the next call to find out. Empty:
// none was refused.
func (a *Attempter) renew(ctx context.Context, op operation.Accepted, refused string) {
	if refused == "" {
		return
	}
	if t, failure := a.target(op); failure == nil {
		_ = a.prepare(ctx, &t, refused)
	}
}

// prepare renews a short-lived credential before the call: when it is known to be
// over, and when the last attempt was refused for it. If that was for another set than
// we hold now, somebody has renewed it since. A panic in the adapter fails this attempt only.
func (a *Attempter) prepare(ctx context.Context, t *target, lastRefused string) (failure *operation.Failure) {
	defer failPanic(&failure)
	conn := &t.conn
	refresher, ok := t.provider.(tsp.Refresher)
	if !ok || ((lastRefused == "" || lastRefused != conn.Credentials.Mark()) && refresher.Fresh(conn.Credentials, time.Now())) {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, refreshWait)
	defer cancel()
	fresh, err := a.parts.Directory.Credentials(short, conn.ID, conn.Credentials, refresher)
	var refused *operation.Failure
	switch {
	case errors.As(err, &refused):
		final := *refused
		final.Refresh = false // this was the renewal
		return &final
	case err != nil:
		return notMade(err, "the connection's credential is being renewed")
	}
	conn.Credentials = fresh
	return nil
}

// late refuses a call that could only start after its window: the wait for a credential
// was too long. The next one finds it there. A sync write has no window, since its
// caller waits and its lease outlasts the wait.
func (a *Attempter) late(lease redisstore.Lease) *operation.Failure {
	if lease.Handed.IsZero() || time.Since(lease.Handed) <= a.parts.Store.Config().StartWindow {
		return nil
	}
	return notMade(errLate, "its credential came too late")
}

var errLate = errors.New("work: the start window has passed")

// refreshWait bounds the wait for a credential that somebody else renews; a slot
// must not stand still for long.
const refreshWait = 5 * time.Second
