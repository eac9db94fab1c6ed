// Command bench measures Writeback: its real programs, started as processes and
// spoken to over HTTP, beside the same service made with asynq on the same machine
// in the same minutes. It prints the figures, and writes bench/results and
// docs/performance.md if it measured everything.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"writeback/bench/measure"
	"writeback/bench/rig"
)

func main() {
	quick := flag.Bool("quick", false, "everything smaller, under four minutes")
	only := flag.String("only", "", "rows to measure, separated by commas, of "+strings.Join(measure.Rows, ","))
	rounds := flag.Int("rounds", 0, "rounds of the comparison; 0: 3, or 2 if quick")
	root := flag.String("root", "..", "folder of Writeback's module; another checkout of it can be measured, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *root, *only, *quick, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root, only string, quick bool, rounds int) error {
	r, err := rig.New(ctx, root)
	if err != nil {
		return err
	}
	defer r.Close()
	b := measure.New(r, quick, os.Stderr)
	if rounds > 0 {
		b.Rounds = rounds
	}
	var want measure.Wanted
	if only != "" {
		want = measure.Wanted{}
		for row := range strings.SplitSeq(only, ",") {
			if !slices.Contains(measure.Rows, row) {
				return fmt.Errorf("there is no row %q; there are %s", row, strings.Join(measure.Rows, ", "))
			}
			want[row] = true
		}
	}
	all, err := b.Run(ctx, want)
	all.Print(os.Stdout)
	return err
}
