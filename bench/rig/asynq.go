package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"writeback/bench/proc"
)

// Asynq starts the service made with asynq, with one worker.
func (r *Rig) Asynq(ctx context.Context, o Options) (*System, error) {
	o = o.withDefaults()
	dir, err := r.folder("asynq")
	if err != nil {
		return nil, err
	}
	s := &System{Name: "asynq", Fleet: o.Fleet, Token: r.Token, rig: r, opts: o, dir: dir, gone: map[string]time.Duration{}}
	if err := s.startAsynq(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("rig: asynq: %w", err)
	}
	return s, nil
}

func (s *System) startAsynq(ctx context.Context) error {
	redis, err := s.startRedis(ctx)
	if err != nil {
		return err
	}
	registry := filepath.Join(s.dir, "registry.json")
	if err := s.Fleet.writePeer(registry); err != nil {
		return err
	}
	command := func(role, name string) (proc.Command, string, error) {
		addr, err := proc.FreeAddr()
		return proc.Command{
			Name: name, Binary: s.rig.binary("peer"), Dir: s.dir, Ready: proc.Answers("http://" + addr + "/readyz"),
			Environ: []string{memoryLimit, collector},
			Args: []string{
				"-role", role, "-addr", addr, "-redis", redis, "-issuer", s.rig.issuer.URL, "-registry", registry,
				"-provider", s.rig.Provider.URL, "-concurrency", strconv.Itoa(s.opts.Slots), "-pool", strconv.Itoa(s.opts.Slots + 8),
			},
		}, addr, err
	}
	s.worker = func(i int) (proc.Command, error) {
		c, _, err := command("worker", fmt.Sprint("worker-", i))
		return c, err
	}
	c, addr, err := command("api", "api")
	if err != nil {
		return err
	}
	s.Addr, s.apiCommand = addr, c
	if s.api, err = proc.Start(ctx, c); err != nil {
		return err
	}
	return s.StartWorkers(ctx, 1)
}

// writePeer writes the registry of the peer.
func (f Fleet) writePeer(path string) error {
	type user struct {
		Connection string `json:"connection"`
		SourceID   string `json:"source_id"`
		Token      string `json:"token"`
	}
	users := map[string]user{}
	for _, c := range f.Connections {
		for _, u := range c.Users {
			users[u.ID] = user{Connection: c.ID, SourceID: u.SourceID, Token: providerToken}
		}
	}
	text, err := json.Marshal(users)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
