// Command peer is the same service as Writeback made with asynq, as plain and as
// fast as asynq allows: a write is taken in over HTTP and enqueued, a worker calls
// the provider and keeps the result, and a GET reads it. It has one role of two.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

const (
	queue    = "writes"
	taskType = "user:update"
)

// settings are the flags.
type settings struct {
	role, addr, redis, issuer, registry, provider string
	concurrency, pool                             int
	idle                                          time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.role, "role", "api", "api or worker")
	flag.StringVar(&s.addr, "addr", "127.0.0.1:0", "address to listen on")
	flag.StringVar(&s.redis, "redis", "127.0.0.1:6379", "address of Redis")
	flag.StringVar(&s.issuer, "issuer", "", "URL of the token issuer")
	flag.StringVar(&s.registry, "registry", "", "JSON file with the users by id")
	flag.StringVar(&s.provider, "provider", "", "URL of the provider")
	flag.IntVar(&s.concurrency, "concurrency", 64, "tasks at a time")
	flag.IntVar(&s.pool, "pool", 64, "connections to Redis")
	flag.DurationVar(&s.idle, "idle", time.Millisecond, "TaskCheckInterval: how long an idle worker sleeps between two looks")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	run := runAPI
	if s.role == "worker" {
		run = runWorker
	}
	if err := run(ctx, s); err != nil {
		log.Fatal(err)
	}
}

// user is one line of the registry.
type user struct {
	Connection string `json:"connection"`
	SourceID   string `json:"source_id"`
	Token      string `json:"token"`
}

func readRegistry(path string) (map[string]user, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var users map[string]user
	return users, json.Unmarshal(text, &users)
}

// task is what is enqueued.
type task struct {
	Connection string  `json:"connection"`
	User       string  `json:"user"`
	SourceID   string  `json:"source_id"`
	Changes    changes `json:"changes"`
}

// changes are the fields of the request that this peer knows.
type changes struct {
	FirstName     *string `json:"first_name,omitempty"`
	LastName      *string `json:"last_name,omitempty"`
	LicenseNumber *string `json:"license_number,omitempty"`
	LicenseRegion *string `json:"license_region,omitempty"`
	Notes         *string `json:"notes,omitempty"`
}

func redisOpt(s settings) asynq.RedisClientOpt {
	return asynq.RedisClientOpt{Addr: s.redis, PoolSize: s.pool}
}

// serve serves until ctx ends.
func serve(ctx context.Context, addr string, h http.Handler) error {
	server := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.ListenAndServe() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return server.Shutdown(end)
	}
}
