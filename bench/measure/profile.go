package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"writeback/bench/rig"
)

// profileSeconds is how long a burst is watched.
const profileSeconds = 10

// profile takes CPU profiles of api and worker while what follows runs, and heap
// profiles at its end; wait ends it.
func (b *Bench) profile(ctx context.Context, s *rig.System) (wait func() error) {
	if b.ProfileDir == "" || s.Name != writeback {
		return func() error { return nil }
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, admin := range map[string]string{"api": s.Admin, "worker": s.WorkerAdmin} {
		wg.Go(func() {
			err := errors.Join(
				b.fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, profileSeconds), name+".cpu.pprof"),
				b.fetch(ctx, "http://"+admin+"/debug/pprof/allocs", name+".allocs.pprof"),
				b.fetch(ctx, "http://"+admin+"/debug/pprof/heap", name+".heap.pprof"),
			)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	return func() error {
		wg.Wait()
		return errors.Join(errs...)
	}
}

func (b *Bench) fetch(ctx context.Context, url, name string) error {
	text, err := get(ctx, url)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.ProfileDir, 0o755); err != nil {
		return err
	}
	b.logf("profile %s", name)
	return os.WriteFile(filepath.Join(b.ProfileDir, name), text, 0o600)
}
