// Command bench measures Writeback: its real programs, started as processes and
// spoken to over HTTP, beside the same service made with asynq on the same machine
// in the same minutes. It prints the figures, and writes bench/results and
// docs/performance.md if it measured everything at full size.
//
// It is run in its own folder.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"writeback/bench/measure"
	"writeback/bench/report"
	"writeback/bench/rig"
)

// options are the flags.
type options struct {
	quick, write        bool
	only, root, profile string
	rounds, retained    int
}

// schedules is how many open loads run beside each other at most.
const schedules = 4

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "everything smaller, in less than four minutes")
	flag.StringVar(&o.only, "only", "", "rows to measure, separated by commas, of "+strings.Join(measure.Rows, ","))
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of the comparison; 0: the usual number")
	flag.IntVar(&o.retained, "retained", 0, "ended operations of the row retained; 0: the usual number")
	flag.StringVar(&o.root, "root", "..", "folder of Writeback's module; another checkout of it can be measured, too")
	flag.StringVar(&o.profile, "profile", "", "folder for profiles of api and worker during the burst of the row e2e")
	flag.BoolVar(&o.write, "write", false, "write results and document even if not everything was measured")
	flag.Parse()
	// A schedule sleeps in the kernel, and the runtime takes a processor back from such a
	// thread only after milliseconds, by which the request that is due would be late.
	runtime.GOMAXPROCS(runtime.NumCPU() + schedules)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	want, err := wanted(o.only)
	if err != nil {
		return err
	}
	began := time.Now()
	r, err := rig.New(ctx, o.root)
	if err != nil {
		return err
	}
	defer r.Close()
	b := measure.New(r, o.quick, os.Stderr)
	b.ProfileDir = o.profile
	if o.rounds > 0 {
		b.Rounds = o.rounds
	}
	if o.retained > 0 {
		b.Retained = o.retained
	}
	result, err := b.Run(ctx, want)
	result.Print(os.Stdout)
	took := time.Since(began).Round(time.Second)
	fmt.Println("took", took)
	if err != nil || !o.write && (o.quick || o.only != "") {
		return err
	}
	all := report.Run{Result: result, Machine: report.Here(), Took: took, Quick: o.quick, Date: began.UTC().Format(time.DateOnly)}
	return all.Write("results", filepath.Join("..", "docs", "performance.md"))
}

// wanted reads the list of rows.
func wanted(only string) (measure.Wanted, error) {
	if only == "" {
		return nil, nil
	}
	want := measure.Wanted{}
	for row := range strings.SplitSeq(only, ",") {
		if !slices.Contains(measure.Rows, row) {
			return nil, fmt.Errorf("there is no row %q; there are %s", row, strings.Join(measure.Rows, ", "))
		}
		want[row] = true
	}
	return want, nil
}
