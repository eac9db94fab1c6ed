package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/pkg/operation/redisstore"
)

// laneView is a lane as it is printed.
type laneView struct {
	Connection  uuid.UUID  `json:"connection_id"`
	Shard       int        `json:"shard"`
	Outstanding int        `json:"outstanding"`
	Ready       int        `json:"ready"`
	ReadyNow    int        `json:"ready_now"`
	InFlight    int        `json:"in_flight"`
	Calls       []callView `json:"calls"`
	Room        int        `json:"in_flight_limit"`
	PerSecond   float64    `json:"per_second_limit"`
	Burst       int        `json:"burst_limit"`
	Paused      bool       `json:"paused"`
	Blocked     *time.Time `json:"blocked_until"`
	Breaker     *time.Time `json:"breaker_open_until"`
	Failures    int        `json:"network_failures_in_a_row"`
	Opens       *time.Time `json:"next_call_from"`
	Due         *time.Time `json:"due"`
	Oldest      *time.Time `json:"oldest_accepted_at"`
}

type callView struct {
	Operation uuid.UUID `json:"operation_id"`
	Attempt   uuid.UUID `json:"attempt_id"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"lease_ends"`
}

func viewLane(l redisstore.Lane) laneView {
	v := laneView{
		Connection: l.Connection, Shard: l.Shard, Oldest: stamp(l.Oldest),
		Outstanding: l.Outstanding, Ready: l.Ready, ReadyNow: l.ReadyNow, InFlight: l.InFlight, Calls: []callView{},
		Room: l.Limits.InFlight, PerSecond: l.Limits.PerSecond, Burst: l.Limits.Burst,
		Paused: l.Paused, Failures: l.Failures, Breaker: stamp(l.BreakerUntil), Opens: stamp(l.Opens), Due: stamp(l.Due),
	}
	if l.Blocked.After(l.Now) {
		v.Blocked = stamp(l.Blocked)
	}
	for _, c := range l.Calls {
		v.Calls = append(v.Calls, callView(c))
	}
	return v
}

func (c *ctl) laneCommands() *cobra.Command {
	var everything bool
	return c.group("lane", "Connections' lanes: what waits, what runs, and why",
		c.command(spec{
			use: "list", short: "The lanes that have work, wait or are paused",
			long: "Every connection of the directory is looked at. Without NATS, only those in Redis' due index. With --all also those that nothing was ever accepted\n" +
				"for; those of shards that are closed are in no list (`writeback shards`).",
			example: "writeback lane list\nwriteback lane list --all --json",
			timeout: 2 * time.Minute,
			flags:   func(f *pflag.FlagSet) { f.BoolVar(&everything, "all", false, "idle lanes too") },
			run:     func(ctx context.Context, _ []string) error { return c.laneList(ctx, everything) },
		}),
		c.command(spec{
			use: "show <connection_id>", short: "What a connection's lane holds and waits for", first: c.completeConnections,
			example: "writeback lane show 00000000-0000-7000-8000-0000000000c1", run: c.laneShow,
		}),
		c.command(spec{
			use: "pause <connection_id>", short: "Hand out no more calls; those under way finish", first: c.completeConnections,
			long: "Updates are accepted all the same, and wait. The directory keeps the pause too, so that a loss of Redis' data does not undo it; without NATS the\n" +
				"command says that it is in Redis alone. `writeback lane list` shows what is paused.",
			example: "writeback lane pause 00000000-0000-7000-8000-0000000000c1",
			run:     func(ctx context.Context, args []string) error { return c.setPaused(ctx, args, true) },
		}),
		c.command(spec{
			use: "resume <connection_id>", short: "Hand out calls again", first: c.completeConnections,
			example: "writeback lane resume 00000000-0000-7000-8000-0000000000c1",
			run:     func(ctx context.Context, args []string) error { return c.setPaused(ctx, args, false) },
		}),
	)
}

func (c *ctl) laneShow(ctx context.Context, args []string) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	l, err := store.Lane(ctx, connection)
	switch {
	case errors.Is(err, redisstore.ErrMissing):
		return errors.New("there is no lane: nothing was ever accepted for such a connection, or nothing since Redis was filled from the streams")
	case err != nil:
		return explain(ctx, err)
	}
	return c.print(viewLane(l), func(w io.Writer) { writeLane(w, l) })
}

func writeLane(w io.Writer, l redisstore.Lane) {
	rate := "not limited"
	if l.Limits.PerSecond > 0 {
		rate = fmt.Sprintf("%.3g a second, burst %d", l.Limits.PerSecond, l.Limits.Burst)
	}
	breaker := "closed"
	if !l.BreakerUntil.IsZero() {
		breaker = "open, a probe from " + when(l.BreakerUntil)
	}
	blocked := "no"
	if l.Blocked.After(l.Now) {
		blocked = "until " + when(l.Blocked)
	}
	row(w, "connection", l.Connection)
	row(w, "shard", l.Shard)
	row(w, "outstanding", l.Outstanding)
	row(w, "oldest accepted", when(l.Oldest))
	row(w, "ready", fmt.Sprintf("%d, %d of them not in backoff", l.Ready, l.ReadyNow))
	row(w, "in flight", fmt.Sprintf("%d of %d", l.InFlight, l.Limits.InFlight))
	row(w, "rate", rate)
	row(w, "paused", yes(l.Paused))
	row(w, "blocked", blocked)
	row(w, "breaker", fmt.Sprintf("%s, %d network failures in a row", breaker, l.Failures))
	row(w, "next call from", when(l.Opens))
	row(w, "due", when(l.Due))
	for _, call := range l.Calls {
		row(w, "call", fmt.Sprintf("operation %s attempt %s since %s lease ends %s", call.Operation, call.Attempt, when(call.Since), when(call.Until)))
	}
	if more := l.InFlight - len(l.Calls); more > 0 {
		row(w, "", fmt.Sprintf("and %d more", more))
	}
}

func (c *ctl) setPaused(ctx context.Context, args []string, paused bool) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	switch _, err := store.Lane(ctx, connection); {
	case errors.Is(err, redisstore.ErrMissing):
		// One that was never used, or a typing error.
		if err := c.known(ctx, connection); err != nil {
			return err
		}
	case err != nil:
		return explain(ctx, err)
	}
	if err := store.Pause(ctx, connection, paused); err != nil {
		return explain(ctx, err)
	}
	word := map[bool]string{true: "paused", false: "resumed"}[paused]
	err = c.keepPaused(ctx, connection, paused)
	if err != nil {
		c.say("%s, but Redis alone knows it, and would forget it with its data: %s", word, err)
	}
	return c.print(map[string]any{"connection_id": connection, "paused": paused, "kept": err == nil}, func(w io.Writer) { row(w, word, connection) })
}

// keepPaused has the directory know it too, for a Redis that loses its data.
func (c *ctl) keepPaused(ctx context.Context, connection uuid.UUID, paused bool) error {
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	return d.Pause(ctx, connection, paused)
}

// known says whether the directory has a connection that nothing was accepted for.
func (c *ctl) known(ctx context.Context, connection uuid.UUID) error {
	d, _, err := c.directory(ctx)
	if err != nil {
		return fmt.Errorf("nothing was ever accepted for this connection, and whether there is one cannot be told: %w", err)
	}
	if _, ok := d.ConnectionByID(connection); !ok {
		return errNoConnection
	}
	return nil
}
