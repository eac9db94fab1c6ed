package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// rebuilding is what the flags of rebuild say.
type rebuilding struct {
	shards   string
	all, yes bool
}

func (c *ctl) rebuildCommand() *cobra.Command {
	var r rebuilding
	return c.command(spec{
		use: "rebuild", short: "Have shards read again from the streams, and wait until they are",
		long: "Writes to the shards are answered 503 until they are back, which takes seconds to\n" +
			"minutes. A running worker or api does the work. Nothing that Redis has is lost. It\n" +
			"refuses while NATS or a stream is missing: the shards would stay closed.",
		example: "writeback rebuild --shard 3,17 --yes\nwriteback rebuild --all --yes",
		timeout: 10 * time.Minute,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&r.shards, "shard", "", "the shard, or several separated by commas")
			f.BoolVar(&r.all, "all", false, "all shards")
			f.BoolVar(&r.yes, "yes", false, "do it")
		},
		run: func(ctx context.Context, _ []string) error { return c.rebuild(ctx, r) },
	})
}

// chosen gives the shards that the flags name.
func (r rebuilding) chosen() ([]int, error) {
	if r.all == (r.shards != "") {
		return nil, wrongUsage("rebuild takes --shard or --all")
	}
	if r.all {
		out := make([]int, operation.Shards)
		for i := range out {
			out[i] = i
		}
		return out, nil
	}
	var out []int
	for text := range strings.SplitSeq(r.shards, ",") {
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
func (c *ctl) rebuild(ctx context.Context, r rebuilding) error {
	shards, err := r.chosen()
	if err != nil {
		return err
	}
	if !r.yes {
		return wrongUsage("rebuild refuses writes to %d shards for a while; add --yes if that is meant", len(shards))
	}
	if err := c.readable(ctx); err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
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

// readable says why the streams could not be read now. A shard that is closed then stays
// so, and what only Redis has could not be written either.
func (c *ctl) readable(ctx context.Context) error {
	js, err := c.streams()
	if err == nil {
		_, _, err = natsq.NewHistory(js).Ends(ctx)
	}
	if err != nil {
		return fmt.Errorf("nothing was done, since the shards would stay closed: %w", err)
	}
	return nil
}

// follow shows how many shards are not back yet until all are.
func (c *ctl) follow(ctx context.Context, store *redisstore.Store, shards []int) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	began, last := time.Now(), ""
	for {
		all, err := store.Shards(ctx, 1)
		if err != nil && ctx.Err() != nil {
			return withoutUs(ctx)
		}
		count := map[string]int{}
		for _, n := range shards {
			if err := all[n].Err; err != nil {
				return explain(ctx, err)
			}
			count[stateOf(all[n])]++
		}
		if count[stateOpen] == len(shards) {
			return nil
		}
		if line := fmt.Sprintf("missing %d, rebuilding %d, older history %d, done %d", count[stateMissing], count[stateRebuilding], count[stateHistory], count[stateOpen]); line != last {
			c.say("%s", line)
			last = line
		}
		if count[stateMissing] == len(shards) && time.Since(began) > takenWithin {
			return errors.New("nobody takes the rebuild up: it needs a running worker or api, and NATS")
		}
		select {
		case <-ctx.Done():
			return withoutUs(ctx)
		case <-tick.C:
		}
	}
}

// withoutUs says that the time is up, and what becomes of the rebuild.
func withoutUs(ctx context.Context) error {
	return fmt.Errorf("%w; it goes on without us, see: writeback shards", context.Cause(ctx))
}
