package main

import (
	"context"
	"io"

	"writeback/internal/directory"
)

// countView is what a load did with the entries of one kind.
type countView struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Deleted   int `json:"deleted"`
	Unchanged int `json:"unchanged"`
}

func registryLoad(ctx context.Context, c *ctl, args []string) error {
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	report, err := d.LoadFile(ctx, args[0])
	if err != nil {
		return err
	}
	kinds := []string{"partners", "fleets", "connections", "users"}
	counts := map[string]countView{}
	for i, n := range []directory.Count{report.Partners, report.Fleets, report.Connections, report.Users} {
		counts[kinds[i]] = countView{n.Created, n.Updated, n.Deleted, n.Unchanged}
	}
	return c.print(counts, func(w io.Writer) {
		row(w, "", "CREATED", "UPDATED", "DELETED", "UNCHANGED")
		for _, kind := range kinds {
			n := counts[kind]
			row(w, kind, n.Created, n.Updated, n.Deleted, n.Unchanged)
		}
	})
}
