package measure

import (
	"fmt"
	"io"
)

// Print writes a table for people.
func (r *Result) Print(w io.Writer) {
	if len(r.Rounds) > 0 {
		fmt.Fprintf(w, "%-14s %12s %12s   %s\n", "", writeback, asynq, "ratio (least to greatest of the rounds)")
	}
	for _, f := range figures {
		printRatio(w, f.Name, f.Unit, r.Rounds, f.Of)
	}
	printRatio(w, "durable", "/s", r.Durable, endRate)
	printRatio(w, "slow provider", "/s", r.Slow, endRate)
	for _, system := range []string{writeback, asynq} {
		if len(r.Rounds) > 0 {
			last := r.Rounds[len(r.Rounds)-1][system]
			fmt.Fprintf(w, "%s: cpu us/op", system)
			for _, name := range sorted(last.CPU) {
				fmt.Fprintf(w, " %s %.0f", name, last.CPU[name])
			}
			fmt.Fprint(w, "; peak MiB")
			for _, name := range sorted(last.Peak) {
				fmt.Fprintf(w, " %s %d", name, last.Peak[name]>>20)
			}
			fmt.Fprintln(w)
		}
	}
	keys := r.Keys()
	for _, name := range sorted(keys) {
		fmt.Fprintf(w, "%-28s %.3f\n", name, keys[name])
	}
	if r.Batch != nil && r.Batch.Missing != "" {
		fmt.Fprintf(w, "%-28s %s\n", "batch_ratio", r.Batch.Missing)
	}
}

func printRatio(w io.Writer, name, unit string, rounds []map[string]*Core, f func(*Core) float64) {
	a, b, q := of(rounds, writeback, f), of(rounds, asynq, f), ratio(rounds, f)
	if q.Median > 0 {
		fmt.Fprintf(w, "%-14s %10.2f%-2s %10.2f%-2s   %.2f (%.2f to %.2f)\n", name, a.Median, unit, b.Median, unit, q.Median, q.Min, q.Max)
	}
}
