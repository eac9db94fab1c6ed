package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/internal/directory"
	"writeback/internal/dirsync"
	"writeback/pkg/tsp"
)

// asking is what the flags of users sync say.
type asking struct{ all, noWait bool }

func (c *ctl) usersCommands() *cobra.Command {
	var a asking
	return c.group("users", "Users, listed from the providers",
		c.command(spec{
			use: "sync [connection_id]", short: "Have a worker list users from the provider, and wait until it has", first: c.completeConnections,
			long: "A worker with the role sync does the work. One that is under way goes on, and another\n" +
				"follows. Without a connection it takes --all.",
			example: "writeback users sync" + exampleConnection + "\nwriteback users sync --all --no-wait",
			timeout: 30 * time.Minute,
			flags: func(f *pflag.FlagSet) {
				f.BoolVar(&a.all, "all", false, "every active connection whose users can be listed")
				f.BoolVar(&a.noWait, "no-wait", false, "only ask for it")
			},
			run: func(ctx context.Context, args []string) error { return c.usersSync(ctx, args, a) },
		}),
		c.command(spec{
			use: "status [connection_id]", short: "How far listing users is, and what it found", first: c.completeConnections,
			example: "writeback users status --json", run: c.usersStatus,
		}),
	)
}

// syncView is the progress of a connection's sync as it is printed. It has no
// cursor: that may hold a provider's id of a user.
type syncView struct {
	Connection uuid.UUID  `json:"connection_id"`
	Provider   string     `json:"provider"`
	State      string     `json:"state"`
	Run        *uuid.UUID `json:"run_id"`
	Pages      int        `json:"pages"`
	Users      int        `json:"users"`
	Created    int        `json:"created"`
	Updated    int        `json:"updated"`
	Gone       int        `json:"gone"`
	StartedAt  *time.Time `json:"started_at"`
	UpdatedAt  *time.Time `json:"updated_at"`
	FinishedAt *time.Time `json:"finished_at"`
	WantedAt   *time.Time `json:"wanted_at"`
	ResumeAt   *time.Time `json:"resume_at"`
	LastError  string     `json:"last_error"`
}

func viewSync(c directory.Connection, p dirsync.Progress, now time.Time) syncView {
	v := syncView{
		Connection: c.ID, Provider: c.Provider, State: p.State(now), Pages: p.Pages, Users: p.Users,
		Created: p.Created, Updated: p.Updated, Gone: p.Gone, StartedAt: stamp(p.StartedAt), UpdatedAt: stamp(p.UpdatedAt),
		FinishedAt: stamp(p.FinishedAt), WantedAt: stamp(p.WantedAt), ResumeAt: stamp(p.ResumeAt), LastError: p.LastError,
	}
	if p.Run != uuid.Nil {
		v.Run = &p.Run
	}
	return v
}

// syncing is what the sync commands work with. Without a book nothing was listed yet.
type syncing struct {
	directory *directory.Directory
	providers *tsp.Registry
	book      *dirsync.Book
}

// syncing makes the book only for who writes in it.
func (c *ctl) syncing(ctx context.Context, writes bool) (syncing, error) {
	d, providers, err := c.directory(ctx)
	if err != nil {
		return syncing{}, err
	}
	if !writes {
		_, err := c.js.KeyValue(ctx, dirsync.Bucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			return syncing{d, providers, nil}, nil
		}
		if err != nil {
			return syncing{}, fmt.Errorf("NATS: %w", err)
		}
	}
	book, err := dirsync.OpenBook(ctx, c.js, c.settings.Replicas, nil)
	return syncing{d, providers, book}, err
}

// able says why a connection's users cannot be listed. Nil: they can.
func (s syncing) able(c directory.Connection) error {
	provider, ok := s.providers.Get(c.Provider)
	if ok {
		_, ok = dirsync.Listable(c.Provider, provider)
	}
	switch {
	case !ok:
		return fmt.Errorf("users of %s cannot be listed", c.Provider)
	case c.Status != directory.ConnectionActive:
		return fmt.Errorf("the connection is %s, not active", c.Status)
	}
	return nil
}

// connections gives the one that is named, or all whose users can be listed.
func (s syncing) connections(args []string) ([]directory.Connection, error) {
	if len(args) == 0 {
		out := slices.DeleteFunc(s.directory.All(), func(c directory.Connection) bool { return s.able(c) != nil })
		return sorted(out), nil
	}
	connection, err := id("connection_id", args[0])
	if err != nil {
		return nil, err
	}
	c, ok := s.directory.ConnectionByID(connection)
	if !ok {
		return nil, errNoConnection
	}
	return []directory.Connection{c}, nil
}

func (c *ctl) usersSync(ctx context.Context, args []string, a asking) error {
	if a.all == (len(args) > 0) {
		return wrongUsage("users sync takes a connection_id or --all")
	}
	s, err := c.syncing(ctx, true)
	if err != nil {
		return err
	}
	list, err := s.connections(args)
	if err != nil {
		return err
	}
	asked := time.Now().UTC()
	for _, conn := range list {
		if err := s.able(conn); err != nil {
			return err
		}
		if err := s.book.Want(ctx, conn.ID, asked); err != nil {
			return err
		}
	}
	if !a.noWait {
		err = c.followSync(ctx, s.book, list, asked)
	}
	if shown := c.showSync(ctx, s, list); shown != nil {
		return errors.Join(err, shown)
	}
	return err
}

const (
	syncEvery = 500 * time.Millisecond
	// syncTakenWithin is how soon a worker takes up what was asked for, or goes on with it.
	syncTakenWithin = 30 * time.Second
)

// followSync says how far the walks are until all have ended. One that fails is
// tried again by a worker, so it is waited for as long as there is time.
func (c *ctl) followSync(ctx context.Context, book *dirsync.Book, list []directory.Connection, asked time.Time) error {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	began, seen, last := time.Now(), time.Now(), ""
	for {
		known, err := book.All(ctx)
		if err != nil {
			return err
		}
		done, users := 0, 0
		for _, conn := range list {
			p := known[conn.ID]
			if attended(p, asked, time.Now()) {
				seen = time.Now()
			}
			if !p.AnsweredAt.Before(asked) {
				users += p.Users
				if !p.FinishedAt.IsZero() && !p.Unfinished() && !p.Asked() {
					done++
				}
			}
		}
		if done == len(list) {
			return nil
		}
		if line := fmt.Sprintf("%d of %d connections done, %d users read", done, len(list), users); line != last && time.Since(began) > slow {
			c.say("%s", line)
			last = line
		}
		if time.Since(seen) > syncTakenWithin {
			return errors.New("nobody takes it up: it needs a running worker with the role sync (WRITEBACK_ROLES)")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; it goes on without us, see: writeback users status", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// attended reports whether somebody has taken up what was asked for, or will: a walk that is
// under way goes on first, and a provider's wait is waited for.
func attended(p dirsync.Progress, asked, now time.Time) bool {
	return !p.AnsweredAt.Before(asked) || now.Before(p.LeaseUntil) || p.Told && now.Before(p.ResumeAt)
}

func (c *ctl) usersStatus(ctx context.Context, args []string) error {
	s, err := c.syncing(ctx, false)
	if err != nil {
		return err
	}
	list, err := s.connections(args)
	if err != nil {
		return err
	}
	return c.showSync(ctx, s, list)
}

func (c *ctl) showSync(ctx context.Context, s syncing, list []directory.Connection) error {
	// What stopped the waiting may be the time that is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var known map[uuid.UUID]dirsync.Progress
	if s.book != nil {
		var err error
		if known, err = s.book.All(ctx); err != nil {
			return err
		}
	}
	views := make([]syncView, len(list))
	for i, conn := range list {
		views[i] = viewSync(conn, known[conn.ID], time.Now())
	}
	return c.print(views, func(w io.Writer) {
		row(w, "CONNECTION", "PROVIDER", "STATE", "PAGES", "USERS", "CREATED", "UPDATED", "GONE", "STARTED", "FINISHED", "RESUMES", "LAST ERROR")
		for _, v := range views {
			row(w, v.Connection, v.Provider, v.State, v.Pages, v.Users, v.Created, v.Updated, v.Gone,
				moment(v.StartedAt), moment(v.FinishedAt), moment(v.ResumeAt), v.LastError)
		}
	})
}
