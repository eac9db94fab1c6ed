// Package measure is what the bench measures: each row of the report, on a
// Writeback made of its real programs, and where a comparison makes sense on the
// same service made with asynq in the same round.
package measure

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"syscall"
	"time"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// connections of the load.
const connections = 64

// Bench measures on one rig.
type Bench struct {
	Rig *rig.Rig
	// Quick makes everything smaller.
	Quick bool
	// Rounds is how often the rows of the comparison are repeated.
	Rounds int
	// Retained is how many ended operations there shall be, and FillTime how long it
	// may take to make them.
	Retained int
	FillTime time.Duration
	// ProfileDir takes profiles of api and worker. Empty: none are made.
	ProfileDir string
	// Log takes a line for each step.
	Log io.Writer

	peaks map[string]int64
}

// New prepares this process as well: the load must not be what is measured.
func New(r *rig.Rig, quick bool, log io.Writer) *Bench {
	debug.SetGCPercent(400)
	b := &Bench{Rig: r, Quick: quick, Log: log, Rounds: 3, peaks: map[string]int64{}}
	b.Retained, b.FillTime = 1_000_000, time.Minute
	if quick {
		b.Rounds, b.Retained, b.FillTime = 1, 10_000, 10*time.Second
	}
	return b
}

func (b *Bench) logf(format string, args ...any) {
	fmt.Fprintf(b.Log, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// pick gives one of two sizes.
func (b *Bench) pick(full, quick int) int {
	if b.Quick {
		return quick
	}
	return full
}

// ownCPU is what this process has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// usage is processor time by program.
type usage map[string]time.Duration

// used is the usage so far: of the system, of the provider and of the load.
func (b *Bench) used(s *rig.System) (usage, error) {
	u, err := s.CPU()
	if err != nil {
		return nil, err
	}
	if u["provider"], err = b.Rig.ProviderCPU(); err != nil {
		return nil, err
	}
	u["load"] = ownCPU()
	return u, nil
}

// since is the usage after an earlier one, in microseconds for each of n
// operations.
func (u usage) since(before usage, n int) map[string]float64 {
	out := map[string]float64{}
	for name, d := range u {
		out[name] = float64((d - before[name]).Microseconds()) / float64(n)
	}
	return out
}

// own sums what belongs to the system itself.
func own(perOperation map[string]float64) float64 {
	sum := 0.0
	for name, us := range perOperation {
		if name != "load" && name != "provider" {
			sum += us
		}
	}
	return sum
}

// settle waits until the system is at rest: what Redis holds has not changed for
// a second and a half, to a part in a thousand, or to what the buffers of clients make.
func settle(ctx context.Context, s *rig.System) (int64, error) {
	const calm, step, buffers = 15, 100 * time.Millisecond, 64 << 10
	last, same := int64(0), 0
	for range 1800 {
		now, err := s.RedisMemory(ctx)
		if err != nil {
			return 0, err
		}
		if diff := max(now-last, last-now); diff < max(now/1000, buffers) {
			if same++; same == calm {
				return now, nil
			}
		} else {
			last, same = now, 0
		}
		if err := pause(ctx, step); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s does not come to rest", s.Name)
}

// warm lets the system do some work first.
func (b *Bench) warm(ctx context.Context, s *rig.System, c *load.Client) error {
	n := b.pick(2000, 500)
	if err := b.Rig.Provider.Set(provider.Settings{Room: n}); err != nil {
		return err
	}
	t := newTraffic(s, n)
	if err := b.awaitAccepting(ctx, t, c); err != nil {
		return err
	}
	if _, err := t.closed(ctx, c); err != nil {
		return err
	}
	if _, err := t.ended(ctx, b.Rig, c); err != nil {
		return err
	}
	return pause(ctx, time.Second) // what follows an end is over then
}
