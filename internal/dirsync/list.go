package dirsync

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// renewWait bounds the wait for a credential that somebody else renews.
const renewWait = 45 * time.Second

// list gives the next page. A refused credential is renewed once, and a short wait
// is waited for; everything else is an error.
func (w *walk) list(ctx context.Context) (tsp.UserPage, error) {
	var stale tsp.Credentials
	began := w.cfg.Now()
	for {
		if err := w.spend(ctx); err != nil {
			return tsp.UserPage{}, err
		}
		conn, err := w.connection(ctx, stale)
		if err != nil {
			return tsp.UserPage{}, err
		}
		page, err := w.call(ctx, conn)
		var f *operation.Failure
		if errors.As(err, &f) {
			w.block(ctx, f.RetryAfter)
		}
		switch {
		case err == nil:
			count(ctx, w.metrics.pages, w.conn.Provider, "success", 1)
			w.block(ctx, page.Result.RetryAfter)
			return page, nil
		case f == nil:
			return page, err
		case f.Refresh && stale == nil:
			stale = conn.Credentials
		case f.RetryAfter > 0 && f.RetryAfter <= w.cfg.Inline && w.cfg.Now().Sub(began) < w.cfg.Lease/2:
			count(ctx, w.metrics.pages, w.conn.Provider, string(f.Type), 1)
			if err := pause(ctx, f.RetryAfter); err != nil {
				return page, err
			}
		default:
			return page, err
		}
	}
}

// block keeps the connection's writes back as well: the limit is the account's.
func (w *walk) block(ctx context.Context, wait time.Duration) {
	if wait <= 0 {
		return
	}
	if err := w.parts.Rates.Block(ctx, w.conn.ID, wait); err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "directory sync: the provider's wait was not kept for writes", "connection_id", w.conn.ID, "provider", w.conn.Provider, "error", err)
	}
}

// spend takes a call from the connection's rate, and waits for it if that is soon.
func (w *walk) spend(ctx context.Context) error {
	limits := redisstore.Limits{
		InFlight: w.limits.InFlight, PerSecond: w.limits.PerSecond, Burst: w.limits.Burst,
		Call: w.limits.Call, Life: w.limits.Deadline,
	}
	for waited := time.Duration(0); ; {
		wait, err := w.parts.Rates.Spend(ctx, w.conn.ID, limits)
		switch {
		case errors.Is(err, redisstore.ErrPaused), errors.Is(err, redisstore.ErrStale): // the first start of all begins with a rebuild
			return &aside{wait: 2 * w.cfg.Inline}
		case err != nil:
			return fmt.Errorf("dirsync: the connection's rate: %w", err)
		}
		if wait <= 0 {
			return nil
		}
		if waited += wait; waited > w.cfg.Inline {
			// It may be blocked or busy with writes, which come first.
			return &aside{wait: max(wait, 2*w.cfg.Inline)}
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// connection is the connection as it is now, with credentials that can be used.
func (w *walk) connection(ctx context.Context, stale tsp.Credentials) (tsp.Connection, error) {
	c, ok := w.parts.Directory.ConnectionByID(w.conn.ID)
	if !ok || c.Status != directory.ConnectionActive {
		return tsp.Connection{}, errInactive
	}
	if c.Locked {
		return tsp.Connection{}, &aside{} // another worker may have the key
	}
	conn := c.TSP()
	refresher, ok := w.provider.(tsp.Refresher)
	switch {
	case stale == nil && (!ok || refresher.Fresh(conn.Credentials, time.Now())):
		return conn, nil
	case stale == nil:
		stale = conn.Credentials
	}
	ctx, cancel := context.WithTimeout(ctx, renewWait)
	defer cancel()
	set, err := w.parts.Directory.Credentials(ctx, conn.ID, stale, refresher)
	conn.Credentials = set
	return conn, err
}

// call asks the provider. A panic in an adapter fails this page only.
func (w *walk) call(ctx context.Context, conn tsp.Connection) (page tsp.UserPage, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.limits.Call, errors.New("the call deadline passed"))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			w.log.ErrorContext(ctx, "adapter panicked", "connection_id", w.conn.ID, "provider", w.conn.Provider, "stack", string(debug.Stack()))
			err = &operation.Failure{Type: operation.ErrorTSP, Detail: "the adapter failed on this page"}
		}
	}()
	return w.lister.ListUsers(ctx, conn, w.p.Cursor)
}

// wait waits for what a provider asked for, or puts the walk down.
func (w *walk) wait(ctx context.Context, d time.Duration) error {
	if d > w.cfg.Inline {
		return &aside{wait: d, told: true}
	}
	return pause(ctx, d)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
