package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

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
}

// The states of a shard.
const (
	stateOpen       = "open"
	stateMissing    = "missing"
	stateRebuilding = "rebuilding"
	stateHistory    = "history"
)

func stateOf(s redisstore.Shard) string {
	switch {
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
	d := redisstore.DepthOf([]redisstore.Shard{s})
	v.Outstanding, v.Ready, v.InFlight, v.Blocked, v.Open, v.Paused = d.Outstanding, d.Ready, d.InFlight, d.Blocked, d.Open, d.Paused
	if s.Beat >= 0 {
		age := s.Beat.Seconds()
		v.BeatAge = &age
	}
	return v
}

func (c *ctl) shardsCommand() *cobra.Command {
	return c.command(spec{
		use: "shards", short: "Every shard: generation, beat, due index, outbox, rebuild",
		example: "writeback shards\nwriteback shards --json", run: c.shardsShow,
	})
}

func (c *ctl) shardsShow(ctx context.Context, _ []string) error {
	store, err := c.store()
	if err != nil {
		return err
	}
	shards, err := store.Shards(ctx, lanesRead)
	if err != nil {
		return explain(ctx, err)
	}
	views := make([]shardView, len(shards))
	for i, s := range shards {
		views[i] = viewShard(s)
	}
	return c.print(views, func(w io.Writer) {
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
		row(w, "all", fmt.Sprintf("%d missing", d.Missing), "", d.Lanes, d.LanesDue, short(d.DueAge), d.Outbox, short(d.OutboxAge),
			d.Outstanding, d.Ready, d.InFlight, d.Blocked, d.Open, d.Paused, "")
	})
}
