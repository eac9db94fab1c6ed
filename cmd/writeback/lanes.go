package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// lanesAtOnce bounds the lanes that are read at a time.
const lanesAtOnce = 32

// completionTime bounds what a shell waits for.
const completionTime = 3 * time.Second

// laneRow is a lane in a list.
type laneRow struct {
	laneView
	Provider string `json:"provider"`
}

func (c *ctl) laneList(ctx context.Context, everything bool) error {
	store, err := c.store()
	if err != nil {
		return err
	}
	known, err := c.connectionsIfAny(ctx)
	if err != nil {
		return err
	}
	due, away, without := store.DueLanes(ctx)
	if len(away) == operation.Shards || without != nil && len(away) == 0 {
		return explain(ctx, without)
	}
	for _, connection := range due {
		if _, ok := known[connection]; !ok {
			known[connection] = "" // somebody took it out of the directory
		}
	}
	maps.DeleteFunc(known, func(connection uuid.UUID, _ string) bool {
		return slices.Contains(away, operation.ShardOf(connection))
	})
	var rows []laneRow
	err = c.busy(ctx, "reading lanes", func(ctx context.Context) (err error) {
		rows, err = readLanes(ctx, store, known, everything)
		return err
	})
	if err != nil {
		return explain(ctx, err)
	}
	if err := c.print(rows, func(w io.Writer) { writeLanes(w, rows) }); err != nil || without == nil {
		return err
	}
	return fmt.Errorf("the lanes of %d of %d shards are not in the list: %w", len(away), operation.Shards, explain(ctx, without))
}

// connectionsIfAny gives the providers of the directory's connections, or says why
// there is no directory.
func (c *ctl) connectionsIfAny(ctx context.Context) (map[uuid.UUID]string, error) {
	out := map[uuid.UUID]string{}
	d, _, err := c.directory(ctx)
	var wrong *usageError
	switch {
	case errors.As(err, &wrong) || ctx.Err() != nil:
		return nil, err
	case err != nil:
		c.say("no directory, so only lanes in the due index are listed: %s", err)
		return out, nil
	}
	for _, conn := range d.All() {
		out[conn.ID] = conn.Provider
	}
	return out, nil
}

func readLanes(ctx context.Context, store *redisstore.Store, known map[uuid.UUID]string, everything bool) ([]laneRow, error) {
	var mu sync.Mutex
	rows := []laneRow{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lanesAtOnce)
	for connection, provider := range known {
		g.Go(func() error {
			l, err := store.Lane(ctx, connection)
			switch {
			case errors.Is(err, redisstore.ErrMissing) && everything:
				l = redisstore.Lane{Connection: connection, Shard: operation.ShardOf(connection)} // nothing was ever accepted
			case errors.Is(err, redisstore.ErrMissing), errors.Is(err, redisstore.ErrStale):
				return nil // or `writeback shards` says why
			case err != nil:
				return err
			case !everything && idle(l):
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, laneRow{viewLane(l), provider})
			return nil
		})
	}
	err := g.Wait()
	slices.SortFunc(rows, func(a, b laneRow) int {
		return cmp.Or(cmp.Compare(b.Outstanding, a.Outstanding), cmp.Compare(a.Connection.String(), b.Connection.String()))
	})
	return rows, err
}

// idle: nothing waits, and nothing would if something came.
func idle(l redisstore.Lane) bool {
	return l.Outstanding == 0 && l.InFlight == 0 && !l.Paused && !l.Blocked.After(l.Now) && l.BreakerUntil.IsZero()
}

func writeLanes(w io.Writer, rows []laneRow) {
	row(w, "CONNECTION", "PROVIDER", "OUTSTANDING", "READY", "IN FLIGHT", "BLOCKED UNTIL", "BREAKER", "PAUSED")
	for _, r := range rows {
		breaker := "closed"
		if r.Breaker != nil {
			breaker = "open until " + when(*r.Breaker)
		}
		row(w, r.Connection, cmp.Or(r.Provider, "-"), r.Outstanding, r.Ready, r.InFlight, moment(r.Blocked), breaker, yes(r.Paused))
	}
}

// completeConnections offers the connections of the directory, for a shell.
func (c *ctl) completeConnections(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.completeIDs(cmd, args, func(ctx context.Context) (map[string]string, error) {
		d, _, err := c.directory(ctx)
		if err != nil {
			return nil, err
		}
		out := map[string]string{}
		for _, conn := range d.All() {
			out[conn.ID.String()] = conn.Provider
		}
		return out, nil
	})
}

// completeIDs offers ids as the first argument, in order, each with what it is.
func (c *ctl) completeIDs(
	cmd *cobra.Command, args []string, read func(ctx context.Context) (map[string]string, error),
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 || c.configure() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	byID, err := read(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, text := range slices.Sorted(maps.Keys(byID)) {
		out = append(out, cobra.CompletionWithDesc(text, byID[text]))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
