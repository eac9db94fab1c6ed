package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/pkg/operation/redisstore"
)

// lanesRead bounds the lanes that are read of each shard.
const lanesRead = 200

// shardView is a shard as it is printed.
type shardView struct {
	Shard       int      `json:"shard"`
	State       string   `json:"state"`
	Generation  string   `json:"generation"`
	BeatAge     *float64 `json:"beat_age_seconds"`
	Lanes       int      `json:"lanes"`
	LanesDue    int      `json:"lanes_due"`
	DueAge      float64  `json:"due_age_seconds"`
	Outbox      int      `json:"outbox"`
	OutboxAge   float64  `json:"outbox_age_seconds"`
	Outstanding int      `json:"outstanding"`
	Ready       int      `json:"ready"`
	InFlight    int      `json:"in_flight"`
	Blocked     int      `json:"lanes_blocked"`
	Open        int      `json:"lanes_breaker_open"`
	Paused      int      `json:"lanes_paused"`
	LanesRead   int      `json:"lanes_read"`
	Error       string   `json:"error,omitempty"`
}

// The states of a shard.
const (
	stateOpen       = "open"
	stateMissing    = "missing"
	stateRebuilding = "rebuilding"
	stateHistory    = "history"
	stateAway       = "away"
)

func stateOf(s redisstore.Shard) string {
	switch {
	case s.Err != nil:
		return stateAway
	case s.Generation == "" && s.Rebuilding:
		return stateRebuilding
	case s.Generation == "":
		return stateMissing
	case s.History:
		return stateHistory
	default:
		return stateOpen
	}
}

func viewShard(s redisstore.Shard) shardView {
	v := shardView{
		Shard: s.Number, State: stateOf(s), Generation: s.Generation, Lanes: s.Lanes, LanesDue: s.LanesDue,
		DueAge: s.DueAge.Seconds(), Outbox: s.Outbox, OutboxAge: s.OutboxAge.Seconds(), LanesRead: s.Read,
	}
	if s.Err != nil {
		v.Error = s.Err.Error()
	}
	d := redisstore.DepthOf([]redisstore.Shard{s})
	v.Outstanding, v.Ready, v.InFlight, v.Blocked, v.Open, v.Paused = d.Outstanding, d.Ready, d.InFlight, d.Blocked, d.Open, d.Paused
	if s.Beat >= 0 {
		age := s.Beat.Seconds()
		v.BeatAge = &age
	}
	return v
}

// queues are the stores of what waits, by the label that metrics have for them.
var queues = map[string]redisstore.Config{"operations": {}, "webhooks": {Prefix: "wh"}}

func (c *ctl) shardsCommand() *cobra.Command {
	queue := "operations"
	names := slices.Sorted(maps.Keys(queues))
	return c.command(spec{
		use: "shards", short: "Every shard: generation, beat, due index, outbox, rebuild",
		long: "In a Redis Cluster, the shards whose server does not answer are away; the others are\n" +
			"shown all the same, and the command ends with 1. Where no worker ever had the role\n" +
			"webhooks, all shards of its queue are missing.",
		example: "writeback shards\nwriteback shards --queue webhooks --json",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&queue, "queue", queue, "whose shards: those of "+strings.Join(names, ", or of "))
		},
		values: map[string]cobra.CompletionFunc{"queue": cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)},
		run:    func(ctx context.Context, _ []string) error { return c.shardsShow(ctx, queue) },
	})
}

func (c *ctl) shardsShow(ctx context.Context, queue string) error {
	cfg, ok := queues[queue]
	if !ok {
		return wrongUsage("--queue %q is none of %s", queue, strings.Join(slices.Sorted(maps.Keys(queues)), ", "))
	}
	rdb, err := c.redis()
	if err != nil {
		return err
	}
	shards, away := redisstore.New(rdb, cfg).Shards(ctx, lanesRead)
	if away != nil && !slices.ContainsFunc(shards, func(s redisstore.Shard) bool { return s.Err == nil }) {
		return explain(ctx, away)
	}
	views, gone := make([]shardView, len(shards)), 0
	for i, s := range shards {
		if views[i] = viewShard(s); s.Err != nil {
			gone++
		}
	}
	if err := c.print(views, func(w io.Writer) { writeShards(w, shards, views, gone) }); err != nil || away == nil {
		return err
	}
	return fmt.Errorf("%d of %d shards could not be asked: %w", gone, len(shards), explain(ctx, away))
}

func writeShards(w io.Writer, shards []redisstore.Shard, views []shardView, away int) {
	row(w, "SHARD", "STATE", "BEAT", "LANES", "DUE", "DUE FOR", "OUTBOX", "OVERDUE", "OUTSTANDING", "READY", "IN FLIGHT", "BLOCKED", "BREAKER", "PAUSED", "GENERATION")
	for i, s := range shards {
		v, beat := views[i], "-"
		if s.Beat >= 0 {
			beat = short(s.Beat)
		}
		row(w, v.Shard, v.State, beat, v.Lanes, v.LanesDue, short(s.DueAge), v.Outbox, short(s.OutboxAge), v.Outstanding,
			v.Ready, v.InFlight, v.Blocked, v.Open, v.Paused, v.Generation)
	}
	d := redisstore.DepthOf(shards)
	state := fmt.Sprintf("%d missing", d.Missing)
	if away > 0 {
		state = fmt.Sprintf("%d away, %s", away, state)
	}
	row(w, "all", state, "", d.Lanes, d.LanesDue, short(d.DueAge), d.Outbox, short(d.OutboxAge),
		d.Outstanding, d.Ready, d.InFlight, d.Blocked, d.Open, d.Paused, "")
}
