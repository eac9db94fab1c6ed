package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"writeback/internal/directory"
)

// countView is what an import did with the entries of one kind.
type countView struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Deleted   int `json:"deleted"`
	Unchanged int `json:"unchanged"`
}

// connectionView is a connection as it is printed: no credentials.
type connectionView struct {
	Connection uuid.UUID `json:"connection_id"`
	Partner    uuid.UUID `json:"partner_id"`
	Fleet      string    `json:"fleet_ref"`
	Provider   string    `json:"provider"`
	Share      string    `json:"share"`
	Status     string    `json:"status"`
	Reason     string    `json:"status_reason"`
	Locked     bool      `json:"locked"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func viewConnection(c directory.Connection) connectionView {
	return connectionView{
		Connection: c.ID, Partner: c.PartnerID, Fleet: c.FleetRef, Provider: c.Provider, Share: string(c.Share),
		Status: string(c.Status), Reason: c.StatusReason, Locked: c.Locked, UpdatedAt: c.UpdatedAt,
	}
}

const exampleConnection = " 00000000-0000-7000-8000-0000000000c1"

func (c *ctl) connectionCommands() *cobra.Command {
	return c.group("connection", "Connections to providers, and their credentials",
		c.command(spec{
			use: "list", short: "Every connection", example: "writeback connection list --json", run: c.connectionList,
		}),
		c.command(spec{
			use: "show <connection_id>", short: "A connection's status, and why it is failed", first: c.completeConnections,
			example: "writeback connection show" + exampleConnection, run: c.connectionShow,
		}),
		c.command(spec{
			use: "import <file>", short: "Bring the directory to what a registry file says",
			long: "The file's ${NAME} are taken from the environment. Entries that it does not have stay,\n" +
				"unless it says prune. Running processes follow; none needs a restart.",
			example: "writeback connection import /etc/writeback/registry.yaml", timeout: 10 * time.Minute,
			first: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
			},
			run: c.connectionImport,
		}),
		c.command(spec{
			use: "activate <connection_id>", short: "Use a failed connection again, with the credentials that it has",
			first: c.completeConnections, example: "writeback connection activate" + exampleConnection, run: c.connectionActivate,
		}),
		c.command(spec{
			use: "rotate-key", short: "Seal every stored secret under the keyset's primary key",
			long: "Credentials in clear are sealed too. It can be run again, and it says how many were\n" +
				"sealed. Before it come `writeback keyset add` and `writeback keyset promote`.",
			example: "writeback connection rotate-key", timeout: 10 * time.Minute, run: c.rotateKey,
		}),
	)
}

func (c *ctl) connectionList(ctx context.Context, _ []string) error {
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	views := []connectionView{}
	for _, conn := range sorted(d.All()) {
		views = append(views, viewConnection(conn))
	}
	return c.print(views, func(w io.Writer) {
		row(w, "CONNECTION", "PARTNER", "FLEET", "PROVIDER", "SHARE", "STATUS", "LOCKED", "REASON")
		for _, v := range views {
			row(w, v.Connection, v.Partner, cmp.Or(v.Fleet, "-"), v.Provider, v.Share, v.Status, yes(v.Locked), v.Reason)
		}
	})
}

// errNoConnection is for an id that the directory does not have.
var errNoConnection = errors.New("there is no such connection; see: writeback connection list")

func sorted(all []directory.Connection) []directory.Connection {
	slices.SortFunc(all, func(a, b directory.Connection) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return all
}

func (c *ctl) connectionImport(ctx context.Context, args []string) error {
	d, _, err := c.openDirectory(ctx, directory.Config{})
	if err != nil {
		return err
	}
	var report directory.Report
	err = c.busy(ctx, "importing", func(ctx context.Context) (err error) {
		report, err = d.LoadFile(ctx, args[0])
		return err
	})
	if err != nil {
		return err
	}
	kinds := []string{"partners", "fleets", "connections", "users"}
	counts := map[string]countView{}
	for i, n := range []directory.Count{report.Partners, report.Fleets, report.Connections, report.Users} {
		counts[kinds[i]] = countView(n)
	}
	return c.print(counts, func(w io.Writer) {
		row(w, "", "CREATED", "UPDATED", "DELETED", "UNCHANGED")
		for _, kind := range kinds {
			n := counts[kind]
			row(w, kind, n.Created, n.Updated, n.Deleted, n.Unchanged)
		}
	})
}

func (c *ctl) connectionActivate(ctx context.Context, args []string) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	if err := d.Activate(ctx, connection); err != nil {
		return err
	}
	return c.print(map[string]any{"connection_id": connection, "status": directory.ConnectionActive},
		func(w io.Writer) { row(w, "active", connection) })
}

func (c *ctl) connectionShow(ctx context.Context, args []string) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	conn, ok := d.ConnectionByID(connection)
	if !ok {
		return errNoConnection
	}
	v := viewConnection(conn)
	return c.print(v, func(w io.Writer) {
		row(w, "connection", v.Connection)
		row(w, "partner", v.Partner)
		row(w, "fleet", cmp.Or(v.Fleet, "-"))
		row(w, "provider", v.Provider)
		row(w, "share", v.Share)
		row(w, "status", v.Status)
		row(w, "reason", cmp.Or(v.Reason, "-"))
		row(w, "locked", yes(v.Locked))
		row(w, "updated", when(v.UpdatedAt))
	})
}
