package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/internal/dirsync"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/all"
)

func everyFlag(o *options, f *flag.FlagSet) {
	f.BoolVar(&o.all, "all", false, "every active connection whose users can be listed")
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

// syncing is what the sync commands work with.
type syncing struct {
	directory *directory.Directory
	providers *tsp.Registry
	book      *dirsync.Book
}

func (c *ctl) syncing(ctx context.Context) (syncing, error) {
	d, providers, err := c.directory(ctx)
	if err != nil {
		return syncing{}, err
	}
	js, err := c.streams()
	if err != nil {
		return syncing{}, err
	}
	book, err := dirsync.OpenBook(ctx, js, c.settings.Replicas)
	return syncing{d, providers, book}, err
}

// directory opens the directory with the keyset, if there is one.
func (c *ctl) directory(ctx context.Context) (*directory.Directory, *tsp.Registry, error) {
	js, err := c.streams()
	if err != nil {
		return nil, nil, err
	}
	sealer, err := c.sealer()
	if err != nil {
		return nil, nil, err
	}
	providers, err := all.Providers(all.Config{})
	if err != nil {
		return nil, nil, fmt.Errorf("providers: %w", err)
	}
	d, err := directory.Open(ctx, js, directory.Config{Replicas: c.settings.Replicas, Providers: providers.Names(), Sealer: sealer})
	return d, providers, err
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
		slices.SortFunc(out, func(a, b directory.Connection) int { return strings.Compare(a.ID.String(), b.ID.String()) })
		return out, nil
	}
	connection, err := id("connection_id", args[0])
	if err != nil {
		return nil, err
	}
	c, ok := s.directory.ConnectionByID(connection)
	if !ok {
		return nil, errors.New("not found")
	}
	return []directory.Connection{c}, nil
}

func syncStart(ctx context.Context, c *ctl, args []string) error {
	if c.all == (len(args) > 0) {
		return wrongUsage("sync start takes a connection_id or -all")
	}
	s, err := c.syncing(ctx)
	if err != nil {
		return err
	}
	list, err := s.connections(args)
	if err != nil {
		return err
	}
	asked := make([]uuid.UUID, 0, len(list))
	for _, conn := range list {
		if err := s.able(conn); err != nil {
			return err
		}
		if err := s.book.Want(ctx, conn.ID, time.Now()); err != nil {
			return err
		}
		asked = append(asked, conn.ID)
	}
	return c.print(map[string]any{"connections": asked}, func(w io.Writer) {
		for _, id := range asked {
			row(w, "asked for", id)
		}
	})
}

func syncShow(ctx context.Context, c *ctl, args []string) error {
	s, err := c.syncing(ctx)
	if err != nil {
		return err
	}
	list, err := s.connections(args)
	if err != nil {
		return err
	}
	known, err := s.book.All(ctx)
	if err != nil {
		return err
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

// moment shows a time that may be absent.
func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return when(*t)
}
