// Package rig builds and starts what is measured: Writeback's own programs, and the
// same service made with asynq, each with servers of its own.
package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"writeback/bench/issuer"
	"writeback/bench/proc"
	"writeback/bench/provider"
)

// Rig is what all systems share: the programs, the token issuer and the provider.
type Rig struct {
	dir      string
	issuer   *issuer.Issuer
	provider *proc.Process
	// Provider sets the provider, and tells of its calls.
	Provider provider.Control
	// Token is a token of the one partner.
	Token string
	count int
}

// New builds the programs of the module in root, and those of the bench, whose
// folder is the working directory.
func New(ctx context.Context, root string) (*Rig, error) {
	dir, err := os.MkdirTemp("", "writeback-bench-")
	if err != nil {
		return nil, fmt.Errorf("rig: %w", err)
	}
	r := &Rig{dir: dir}
	if err := r.start(ctx, root); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Rig) start(ctx context.Context, root string) (err error) {
	builds := []struct{ in, program, pkg string }{
		{root, "api", "./cmd/api"}, {root, "worker", "./cmd/worker"}, {root, "copies", "./test/copies"},
		{".", "provider", "./cmd/provider"}, {".", "peer", "./cmd/peer"},
		{".", "nats-server", "github.com/nats-io/nats-server/v2"},
	}
	for _, b := range builds {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", r.binary(b.program), b.pkg)
		cmd.Dir = b.in
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("rig: build %s: %w\n%s", b.program, err, out)
		}
	}
	if r.issuer, err = issuer.Start(); err != nil {
		return err
	}
	if r.Token, err = r.issuer.Token(Partner); err != nil {
		return err
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		return err
	}
	r.Provider.URL = "http://" + addr
	r.provider, err = proc.Start(ctx, proc.Command{
		Name: "provider", Binary: r.binary("provider"), Args: []string{"-addr", addr}, Dir: r.dir,
		Ready: proc.Answers(r.Provider.URL + "/_bench/count"),
	})
	return err
}

func (r *Rig) binary(program string) string { return filepath.Join(r.dir, program) }

// ProviderCPU is the processor time of the provider so far.
func (r *Rig) ProviderCPU() (time.Duration, error) { return r.provider.CPU() }

// folder makes a folder for one more system.
func (r *Rig) folder(name string) (string, error) {
	r.count++
	dir := filepath.Join(r.dir, fmt.Sprintf("%s-%d", name, r.count))
	return dir, os.MkdirAll(dir, 0o700)
}

// Close ends what it started and removes its files.
func (r *Rig) Close() {
	if r.provider != nil {
		r.provider.Kill()
	}
	if r.issuer != nil {
		r.issuer.Close()
	}
	_ = os.RemoveAll(r.dir)
}
