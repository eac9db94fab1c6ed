package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"writeback/pkg/operation"
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

func shardsShow(ctx context.Context, c *ctl, _ []string) error {
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

// chosen gives the shards that the flags name.
func (c *ctl) chosen() ([]int, error) {
	if c.all == (c.shards != "") {
		return nil, wrongUsage("rebuild takes -shard or -all")
	}
	if c.all {
		out := make([]int, operation.Shards)
		for i := range out {
			out[i] = i
		}
		return out, nil
	}
	var out []int
	for text := range strings.SplitSeq(c.shards, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 || n >= operation.Shards {
			return nil, wrongUsage("shard %q is not a number from 0 to %d", text, operation.Shards-1)
		}
		out = append(out, n)
	}
	return out, nil
}

const (
	progressEvery = 250 * time.Millisecond
	// takenWithin is how soon a running worker or api takes a rebuild up.
	takenWithin = 15 * time.Second
)

// rebuild withdraws the generations and waits until somebody has filled the shards
// again, older history included.
func rebuild(ctx context.Context, c *ctl, _ []string) error {
	shards, err := c.chosen()
	if err != nil {
		return err
	}
	if !c.yes {
		return wrongUsage("rebuild refuses writes to %d shards for a while; add -yes if that is meant", len(shards))
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errors.New("not done in time; it goes on without us, see: writebackctl shards"))
	defer cancel()
	began := time.Now()
	if err := store.Withdraw(ctx, shards); err != nil {
		return explain(ctx, err)
	}
	if err := c.follow(ctx, store, shards); err != nil {
		return err
	}
	took := time.Since(began)
	return c.print(map[string]any{"shards": shards, "seconds": took.Seconds()}, func(w io.Writer) {
		row(w, fmt.Sprintf("%d shards rebuilt in %s", len(shards), short(took)))
	})
}

// follow shows how many shards are not back yet until all are.
func (c *ctl) follow(ctx context.Context, store *redisstore.Store, shards []int) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	began, last := time.Now(), ""
	for {
		all, err := store.Shards(ctx, 1)
		if err != nil {
			return explain(ctx, err)
		}
		count := map[string]int{}
		for _, n := range shards {
			count[stateOf(all[n])]++
		}
		if count[stateOpen] == len(shards) {
			return nil
		}
		if line := fmt.Sprintf("missing %d, rebuilding %d, older history %d, done %d", count[stateMissing], count[stateRebuilding], count[stateHistory], count[stateOpen]); line != last {
			_, _ = fmt.Fprintln(c.progress, line)
			last = line
		}
		if count[stateMissing] == len(shards) && time.Since(began) > takenWithin {
			return errors.New("nobody takes the rebuild up: it needs a running worker or api, and NATS")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
