package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"writeback/bench/proc"
)

// memoryLimit is the collector's soft limit that our programs, and nats-server in the compose
// file, have in a container of 130 MiB.
const memoryLimit = "GOMEMLIMIT=117MiB"

// collector is what api and worker ask of Go's collector under such a limit; nats-server and
// the peer get it as well.
const collector = "GOGC=400"

// Writeback starts an api, a worker, nats-server and redis-server.
func (r *Rig) Writeback(ctx context.Context, o Options) (*System, error) {
	o = o.withDefaults()
	dir, err := r.folder("writeback")
	if err != nil {
		return nil, err
	}
	s := &System{Name: "writeback", Fleet: o.Fleet, Token: r.Token, rig: r, opts: o, dir: dir, gone: map[string]time.Duration{}}
	if err := s.startWriteback(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("rig: writeback: %w", err)
	}
	return s, nil
}

func (s *System) startWriteback(ctx context.Context) error {
	redis, err := s.startRedis(ctx)
	if err != nil {
		return err
	}
	nats, err := s.startNATS(ctx)
	if err != nil {
		return err
	}
	registry := filepath.Join(s.dir, "registry.yaml")
	if err := s.Fleet.writeWriteback(registry); err != nil {
		return err
	}
	if s.Dead, err = proc.FreeAddr(); err != nil {
		return err
	}
	common := func(admin string) []string {
		return []string{
			memoryLimit, "WRITEBACK_NATS_URL=nats://" + nats, "WRITEBACK_REDIS_URL=redis://" + redis + "/0", "WRITEBACK_ADMIN_ADDR=" + admin,
			"WRITEBACK_REGISTRY_FILE=" + registry, "WRITEBACK_PROVIDER_LOCAL=true", "WRITEBACK_SYNC_EVERY=0", "WRITEBACK_LOG_LEVEL=warn",
			"WRITEBACK_SAMSARA_URL=" + s.rig.Provider.URL, "WRITEBACK_MOTIVE_URL=http://" + s.Dead,
			"WRITEBACK_OPERATIONS_MAX_BYTES=8GiB", "WRITEBACK_EVENTS_MAX_BYTES=16GiB",
			"WRITEBACK_PARTNER_RATE=1000000", "WRITEBACK_PARTNER_BURST=1000000", "WRITEBACK_PARTNER_OUTSTANDING=100000000",
			"WRITEBACK_WORKER_CONCURRENCY=" + strconv.Itoa(s.opts.Slots), "WRITEBACK_OIDC_ISSUER=" + s.rig.issuer.URL,
		}
	}
	s.worker = func(i int) (proc.Command, error) {
		admin, err := proc.FreeAddr()
		s.WorkerAdmin = admin
		return proc.Command{
			Name: fmt.Sprint("worker-", i), Binary: s.rig.binary("worker"), Dir: s.dir,
			// asynq tells nobody of an end, so neither does this worker.
			Args: []string{"-roles", "operations"}, Environ: common(admin),
			Ready: proc.Answers("http://" + admin + "/readyz"),
		}, err
	}
	if s.Admin, err = proc.FreeAddr(); err != nil {
		return err
	}
	if s.Addr, err = proc.FreeAddr(); err != nil {
		return err
	}
	s.apiCommand = proc.Command{
		Name: "api", Binary: s.rig.binary("api"), Dir: s.dir, Environ: append(common(s.Admin), "WRITEBACK_API_ADDR="+s.Addr),
		Ready: proc.Answers("http://" + s.Admin + "/readyz"),
	}
	if s.api, err = proc.Start(ctx, s.apiCommand); err != nil {
		return err
	}
	return s.StartWorkers(ctx, 1)
}

// startNATS starts a nats-server with the settings of deploy/nats.
func (s *System) startNATS(ctx context.Context) (addr string, err error) {
	if addr, err = proc.FreeAddr(); err != nil {
		return "", err
	}
	if s.Monitor, err = proc.FreeAddr(); err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\nhttp: %q\nmax_payload: 1MB\nwrite_deadline: 10s\n"+
		"jetstream {\n  store_dir: %q\n  max_memory_store: 64MB\n  max_file_store: 40GB\n  sync_interval: 10s\n}\n", addr, s.Monitor, s.dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	p, err := proc.Start(ctx, proc.Command{
		Name: "nats", Binary: s.rig.binary("nats-server"), Args: []string{"-c", file}, Dir: s.dir, Environ: []string{memoryLimit, collector},
		Ready: func(context.Context) error {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return err
			}
			return c.Close()
		},
	})
	if err != nil {
		return "", err
	}
	s.servers = append(s.servers, p)
	return addr, nil
}
