// Package work is an operation's trip after validation: accept, wake, next,
// attempt, record, event. The api accepts with it, and makes sync attempts; the
// worker does the rest.
//
// It decides by operation.Decide alone, keeps no state that a restart would miss,
// and knows neither HTTP routes nor any provider.
package work

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// connections finds a connection and its users, and keeps its credentials fresh.
type connections interface {
	ConnectionByID(id uuid.UUID) (directory.Connection, bool)
	User(partner, id uuid.UUID) (directory.User, directory.Connection, bool)
	Credentials(ctx context.Context, connection uuid.UUID, stale tsp.Credentials, r tsp.Refresher) (tsp.Credentials, error)
	Learn(ctx context.Context, connection uuid.UUID, users []tsp.ListedUser) (directory.Count, error)
}

// providers finds an adapter.
type providers interface {
	Get(name string) (tsp.Provider, bool)
	Names() []string
}

// publisher writes to the streams.
type publisher interface {
	Accepted(ctx context.Context, m operation.Message, quiet bool) error
	Event(ctx context.Context, e operation.Event) error
	Connected() bool
}

// Parts are what the trip runs on.
type Parts struct {
	Store     *redisstore.Store
	Publisher publisher
	Directory connections
	Providers providers
	Log       *slog.Logger
}

// Config of the trip. Every zero field takes the default given with it.
type Config struct {
	// Concurrency is how many attempts run at once in this process. Default 64.
	Concurrency int
	// Grace is how long calls under way may take to finish at a stop. Default 20 s.
	Grace time.Duration
	// Poll is how often a worker with free slots asks for due lanes. Default 100 ms.
	Poll time.Duration
	// QuietBelow: an accept that leaves fewer operations outstanding in its lane
	// wakes a worker by a message. Default 8: a lane with more has its room used up,
	// and its messages would stand before those of quiet lanes.
	QuietBelow int
	// Keep is how long a slot may go on with one lane, call after call, while others are
	// due. Quiet messages do not wait for it. Default 50 ms.
	Keep time.Duration
	// Hears is how long the directory may take to tell this process of a change, which
	// usually takes milliseconds. Default 3 s.
	Hears time.Duration
	// Backoff between attempts.
	Backoff operation.Backoff
}

func (c Config) withDefaults() Config {
	if c.Concurrency <= 0 {
		c.Concurrency = 64
	}
	if c.Grace <= 0 {
		c.Grace = 20 * time.Second
	}
	if c.Poll <= 0 {
		c.Poll = 100 * time.Millisecond
	}
	if c.Keep <= 0 {
		c.Keep = 50 * time.Millisecond
	}
	if c.QuietBelow <= 0 {
		c.QuietBelow = 8
	}
	if c.Hears <= 0 {
		c.Hears = 3 * time.Second
	}
	return c
}

// LimitsOf joins a provider's limits with the connection's own.
func LimitsOf(p tsp.Provider, c directory.Connection) tsp.Limits {
	return c.Limits.Over(p.Describe().Limits).WithDefaults()
}

// LongestCalls gives the longest call deadline of the connections in each shard.
func LongestCalls(p providers, connections []directory.Connection) [operation.Shards]time.Duration {
	var longest [operation.Shards]time.Duration
	for _, c := range connections {
		if provider, ok := p.Get(c.Provider); ok {
			shard := operation.ShardOf(c.ID)
			longest[shard] = max(longest[shard], LimitsOf(provider, c).Call)
		}
	}
	return longest
}

func storeLimits(l tsp.Limits) redisstore.Limits {
	return redisstore.Limits{
		InFlight: l.InFlight, PerSecond: l.PerSecond, Burst: l.Burst, Call: l.Call, Life: l.Deadline,
	}
}
