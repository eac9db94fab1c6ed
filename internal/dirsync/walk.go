package dirsync

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// walk is one connection's walk in this process.
type walk struct {
	*Syncer
	conn     directory.Connection
	provider tsp.Provider
	lister   tsp.Lister
	limits   tsp.Limits
	p        Progress
	// stale is how many pages in a row showed nobody new.
	stale int
}

// aside says that a walk is put down until later, as nothing went wrong.
type aside struct {
	wait time.Duration
	// told says that the provider asked for it.
	told bool
}

// Error says so.
func (a *aside) Error() string { return "dirsync: put down for " + a.wait.String() }

// errInactive says that the connection may not be called any more.
var errInactive = errors.New("dirsync: the connection is not active")

// errShort says that the walk saw fewer users than there are.
var errShort = errors.New("dirsync: the provider listed fewer users than it says it has")

// errEndless says that there is no end of pages. It is the provider's fault, and nobody is
// marked as gone by what was seen.
var errEndless = errors.New("dirsync: the provider's list does not end")

// maxStale is how many pages in a row may show nobody new. A page that a killed worker had
// noted does so, and an empty one that is not the last.
const maxStale = 100

// maxAnew is how often a walk that was short is begun anew.
const maxAnew = 2

// walk does what there is to do for a connection, as far as it goes now. It is false if
// nobody could say whether there is anything.
func (s *Syncer) walk(ctx context.Context, c directory.Connection) bool {
	provider, _ := s.parts.Providers.Get(c.Provider)
	lister, ok := Listable(c.Provider, provider)
	if !ok {
		return true
	}
	w := &walk{
		Syncer: s, conn: c, provider: provider, lister: lister,
		limits: c.Limits.Over(provider.Describe().Limits).WithDefaults(),
	}
	taken, err := w.claim(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		s.log.WarnContext(ctx, "directory sync not begun", "connection_id", c.ID, "provider", c.Provider, "error", err)
	case err == nil && taken:
		w.leave(ctx, w.run(ctx))
	}
	return err == nil
}

// claim takes the walk, or begins one, if it is still due.
func (w *walk) claim(ctx context.Context) (bool, error) {
	p, err := w.parts.Book.Get(ctx, w.conn.ID)
	if err != nil {
		return false, err
	}
	now := w.cfg.Now().UTC()
	if _, due := w.cfg.dueSince(p, now); !due {
		return false, nil
	}
	before := p.Run
	p.Again = p.Again || p.Asked()
	if fresh := !p.Unfinished() || now.Sub(p.StartedAt) > w.cfg.MaxAge; fresh {
		p = Progress{
			Run: uuid.New(), StartedAt: now, WantedAt: p.WantedAt, Failures: p.Failures, GivenUp: p.GivenUp,
			LastError: p.LastError, revision: p.revision,
		}
	}
	p.AnsweredAt, p.UpdatedAt, p.ResumeAt, p.Told = p.WantedAt, now, time.Time{}, false
	p.Owner, p.LeaseUntil = w.owner, now.Add(w.cfg.Lease)
	if p, err = w.parts.Book.write(ctx, w.conn.ID, p); errors.Is(err, errTaken) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if p.Run != before {
		w.seen.drop(ctx, w.conn.ID, before)
	}
	w.p = p
	return true, nil
}

func (w *walk) run(ctx context.Context) error {
	for !w.p.Listed {
		if err := w.page(ctx); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}

// page lists one page, learns it and keeps how far the walk is.
func (w *walk) page(ctx context.Context) error {
	page, err := w.list(ctx)
	if err != nil {
		return err
	}
	if page.Next == w.p.Cursor && page.Next != "" {
		return &operation.Failure{Type: operation.ErrorTSP, Detail: "the provider gave the same page again"}
	}
	users, ids := distinct(w.parts.Directory.Named(w.conn.ID, page.Users))
	seen, err := w.seen.add(ctx, w.conn.ID, w.p.Run, ids, w.p.Seen)
	if err != nil {
		return err
	}
	learned, err := w.parts.Directory.Learn(ctx, w.conn.ID, users)
	count(ctx, w.metrics.users, w.conn.Provider, "created", learned.Created)
	count(ctx, w.metrics.users, w.conn.Provider, "updated", learned.Updated)
	count(ctx, w.metrics.users, w.conn.Provider, "unchanged", learned.Unchanged)
	if err != nil {
		return err
	}
	if seen > w.p.Seen {
		w.stale = 0
	} else {
		w.stale++
	}
	w.p.Cursor, w.p.Listed = page.Next, page.Next == ""
	w.p.Seen, w.p.Total = seen, max(w.p.Total, page.Total)
	w.p.Pages++
	w.p.Users += len(users)
	w.p.Created += learned.Created
	w.p.Updated += learned.Updated
	w.p.Failures = 0
	if err := w.keep(ctx); err != nil {
		return err
	}
	if !w.p.Listed && w.endless() {
		return errEndless
	}
	if wait := page.Result.RetryAfter; wait > 0 && !w.p.Listed {
		return w.wait(ctx, wait)
	}
	return nil
}

// endless reports a list that goes round in a circle, or is longer than a fleet can be or a
// cursor can live.
func (w *walk) endless() bool {
	return w.stale >= maxStale || w.p.Seen > int64(w.cfg.MaxUsers) || w.cfg.Now().Sub(w.p.StartedAt) > w.cfg.MaxAge
}

// keep writes the progress down and extends the lease.
func (w *walk) keep(ctx context.Context) (err error) {
	now := w.cfg.Now().UTC()
	w.p.UpdatedAt, w.p.LeaseUntil = now, now.Add(w.cfg.Lease)
	w.p, err = w.parts.Book.keep(ctx, w.conn.ID, w.p, w.owner)
	return err
}

// distinct gives the users of a page once each; of two that are the same the last.
func distinct(page []tsp.ListedUser) ([]tsp.ListedUser, []string) {
	at := make(map[string]int, len(page))
	users := make([]tsp.ListedUser, 0, len(page))
	ids := make([]string, 0, len(page))
	for _, u := range page {
		if !tsp.IsSourceID(u.SourceID) {
			continue
		}
		if i, twice := at[u.SourceID]; twice {
			users[i] = u
			continue
		}
		at[u.SourceID] = len(users)
		users, ids = append(users, u), append(ids, u.SourceID)
	}
	return users, ids
}

// finish marks who is gone and ends the walk. A list that is short marks nobody:
// somebody was missed while it moved. Neither does an empty one: it is more often a
// lost permission than an empty fleet.
func (w *walk) finish(ctx context.Context) error {
	note := ""
	switch short := w.p.Seen < int64(w.p.Total); {
	case short && w.p.GivenUp < maxAnew:
		return errShort
	case short:
		note = "the provider listed fewer users than it says it has, so nobody was marked as gone"
	case w.p.Seen == 0:
		note = "the provider listed nobody, so nobody was marked as gone"
	default:
		if err := w.retire(ctx); err != nil {
			return err
		}
	}
	w.p.FinishedAt, w.p.LastError, w.p.Failures, w.p.GivenUp = w.cfg.Now().UTC(), note, 0, 0
	if w.p.Again { // asked for still
		w.p.Again, w.p.AnsweredAt = false, time.Time{}
	}
	return nil
}

// retire marks who was not seen.
func (w *walk) retire(ctx context.Context) error {
	gone, err := w.parts.Directory.Retire(ctx, w.conn.ID, w.p.StartedAt.Add(-w.cfg.Settle),
		func(ctx context.Context, ids []string) ([]bool, error) {
			if err := w.keep(ctx); err != nil {
				return nil, err
			}
			return w.seen.has(ctx, w.conn.ID, w.p.Run, ids, w.p.Seen)
		})
	w.p.Gone += gone
	count(ctx, w.metrics.users, w.conn.Provider, "gone", gone)
	return err
}

// leave writes down how the walk ended, or why it is put down, and lets it go.
func (w *walk) leave(ctx context.Context, err error) {
	if errors.Is(err, errTaken) {
		w.log.InfoContext(ctx, "directory sync was taken over", "connection_id", w.conn.ID, "provider", w.conn.Provider)
		return
	}
	stopped := err != nil && ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err != nil && !stopped {
		w.explain(err) //nolint:contextcheck // it waits for nothing
	}
	w.p.Owner, w.p.LeaseUntil, w.p.UpdatedAt = uuid.Nil, time.Time{}, w.cfg.Now().UTC()
	if _, kept := w.parts.Book.keep(ctx, w.conn.ID, w.p, w.owner); kept != nil {
		// The lease ends by itself, and the walk goes on at its last page.
		w.log.WarnContext(ctx, "directory sync: progress not kept", "connection_id", w.conn.ID, "provider", w.conn.Provider, "error", kept)
		return
	}
	w.tell(ctx, err, stopped)
}

func (w *walk) tell(ctx context.Context, err error, stopped bool) {
	args := []any{
		"connection_id", w.conn.ID, "partner_id", w.conn.PartnerID, "provider", w.conn.Provider, "run_id", w.p.Run,
		"pages", w.p.Pages, "users", w.p.Users, "created", w.p.Created, "updated", w.p.Updated, "gone", w.p.Gone,
	}
	var put *aside
	switch {
	case err == nil:
		w.seen.drop(ctx, w.conn.ID, w.p.Run)
		count(ctx, w.metrics.walks, w.conn.Provider, "finished", 1)
		if w.p.LastError != "" {
			args = append(args, "note", w.p.LastError)
		}
		w.log.InfoContext(ctx, "directory sync finished", append(args, "duration_ms", w.p.FinishedAt.Sub(w.p.StartedAt).Milliseconds())...)
	case stopped:
		w.log.InfoContext(ctx, "directory sync put down: the worker stops", args...)
	case errors.As(err, &put):
		w.log.DebugContext(ctx, "directory sync put down", append(args, "resume_at", w.p.ResumeAt)...)
	default:
		if w.p.Restart {
			count(ctx, w.metrics.walks, w.conn.Provider, "given_up", 1)
		}
		w.log.WarnContext(ctx, "directory sync interrupted", append(args, "resume_at", w.p.ResumeAt, "error", w.p.LastError)...)
	}
}

// explain turns an error into when and how the walk goes on.
func (w *walk) explain(err error) {
	now := w.cfg.Now().UTC()
	var put *aside
	if errors.As(err, &put) {
		w.p.ResumeAt, w.p.Told = now.Add(put.wait), put.told
		return
	}
	w.p.LastError = err.Error()
	var f *operation.Failure
	if errors.As(err, &f) {
		count(context.Background(), w.metrics.pages, w.conn.Provider, string(f.Type), 1)
		if f.RetryAfter > 0 {
			w.p.ResumeAt, w.p.Told = now.Add(f.RetryAfter), true
			return
		}
	}
	w.p.Failures++
	tries := w.p.Failures
	// A cursor that is refused, or leads nowhere, is none any more, and without all who are
	// there nobody can be said to be gone.
	if errors.Is(err, errForgotten) || errors.Is(err, errShort) || errors.Is(err, errEndless) || f != nil && f.Type == operation.ErrorValidation && w.p.Cursor != "" {
		w.p.Restart = true
		w.p.GivenUp++
		tries = max(tries, 2*w.p.GivenUp)
	}
	w.p.ResumeAt = now.Add(w.cfg.Backoff.Delay(tries))
}
