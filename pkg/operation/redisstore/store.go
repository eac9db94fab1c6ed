// Package redisstore keeps the state of operations in Redis: records and attempt
// logs, the mailboxes, the lanes, the due index and the outbox, each changed by
// one script per step.
//
// It decides nothing that is not about order, room and time: outcomes are judged
// by operation.Decide, and streams are written by others. All clocks in here are
// Redis's.
package redisstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// ErrStale says that the shard's data is not the filling this process knows, and
// that no newer one is complete: it is being rebuilt. Nothing was written.
var ErrStale = errors.New("redisstore: the shard is being rebuilt")

// ErrMissing says that there is no such operation.
var ErrMissing = errors.New("redisstore: no such operation")

// ErrUnreadable says that there is a record and that it cannot be read: it is damaged, or
// of a version that is not known here. What the scripts do with it goes on.
var ErrUnreadable = errors.New("redisstore: the record cannot be read")

func unreadable(id uuid.UUID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: operation %s: %w", ErrUnreadable, id, err)
}

// Config of a Store. Every zero field takes the default given with it.
type Config struct {
	// Prefix of every key, so that stores for different things share a Redis.
	// Default "wb".
	Prefix string
	// Unlisted stores keep no day indexes: List gives nothing.
	Unlisted bool
	// StartWindow is how soon after a hand-out a call starts, or is given back.
	// Default 1 s.
	StartWindow time.Duration
	// Margin is added to start window and call deadline to make a lease. Default 4 s.
	Margin time.Duration
	// BreakerThreshold is how many network failures in a row open a lane's
	// breaker. Default 5.
	BreakerThreshold int
	// BreakerOpen is how long an open breaker waits before it lets one probe
	// through. Default 30 s.
	BreakerOpen time.Duration
	// LaneBound is the most outstanding operations of one connection. Default
	// 500,000.
	LaneBound int
	// OutboxBound is the most operations per shard of which something is not yet
	// in a stream; it bounds what NATS may miss. Default 20,000.
	OutboxBound int
	// RecordTTL is how long an ended operation stays readable once its events are
	// out. Default 50 days; it must exceed the age of the operation stream plus
	// the longest deadline.
	RecordTTL time.Duration
	// KeyTTL is how long an idempotency key is remembered. Default 24 h.
	KeyTTL time.Duration
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	setInt := func(d *int, v int) {
		if *d <= 0 {
			*d = v
		}
	}
	if c.Prefix == "" {
		c.Prefix = "wb"
	}
	set(&c.StartWindow, time.Second)
	set(&c.Margin, 4*time.Second)
	setInt(&c.BreakerThreshold, 5)
	set(&c.BreakerOpen, 30*time.Second)
	setInt(&c.LaneBound, 500_000)
	setInt(&c.OutboxBound, 20_000)
	set(&c.RecordTTL, 50*24*time.Hour)
	set(&c.KeyTTL, 24*time.Hour)
	return c
}

// Limits are what the scripts have to know of one connection.
type Limits struct {
	// InFlight bounds the concurrent calls.
	InFlight int
	// PerSecond bounds the rate. Zero: not limited.
	PerSecond float64
	// Burst is how many calls may come at once within the rate.
	Burst int
	// Call is the deadline of one call.
	Call time.Duration
	// Life is how long an operation may be pending.
	Life time.Duration
	// Outstanding bounds what may be pending. Zero: the store's LaneBound.
	Outstanding int
}

func (l Limits) interval() int64 {
	if l.PerSecond <= 0 {
		return 0
	}
	return int64(float64(time.Second/time.Microsecond) / l.PerSecond)
}

// text is how scripts get the limits of a lane: they split it only when it is new.
func (l Limits) text() string {
	return words(int64(max(l.InFlight, 1)), l.interval(), int64(max(l.Burst, 1)))
}

// words joins numbers that seldom vary.
func words(numbers ...int64) string {
	b := make([]byte, 0, 64)
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

// Store runs the scripts. Safe for concurrent use.
type Store struct {
	rdb     redis.UniversalClient
	cfg     Config
	process string
	began   time.Time
	gens    [operation.Shards]atomic.Pointer[string]
	beats   [operation.Shards]atomic.Pointer[beat]
	noted   [operation.Shards]atomic.Pointer[mark]
	flights flights
	scripts runner
	// apart: a run may only touch one shard.
	apart atomic.Bool
	// away: the last run in this shard met no server. Only where shards run apart.
	away [operation.Shards]atomic.Bool
	// names are the prefixes of the shards' keys.
	names [operation.Shards]string
	// walks are the pages of lists of which it is known where they begin.
	walks *lru.Cache[page, places]
	// ahead is how many ms Redis's clock was ahead of ours at the last poll.
	ahead atomic.Int64
}

// Address is where Redis is, for a log line: host and port, of a cluster those it was given.
func (s *Store) Address() string {
	switch rdb := s.rdb.(type) {
	case *redis.Client:
		return rdb.Options().Addr
	case *redis.ClusterClient:
		return strings.Join(rdb.Options().Addrs, ",")
	}
	return ""
}

// New makes a store on a client that the caller owns and closes.
func New(rdb redis.UniversalClient, cfg Config) *Store {
	var id [8]byte
	_, _ = rand.Read(id[:])
	s := &Store{rdb: rdb, cfg: cfg.withDefaults(), process: hex.EncodeToString(id[:]), began: time.Now()}
	s.walks, _ = lru.New[page, places](walks) // it refuses no size but 0
	s.scripts.rdb = rdb
	s.flights.begin(s)
	_, cluster := rdb.(*redis.ClusterClient)
	s.apart.Store(cluster)
	for shard := range s.names {
		s.names[shard] = fmt.Sprintf("%s:{%02d}:", s.cfg.Prefix, shard)
	}
	return s
}

// Config gives the configuration with its defaults filled in.
func (s *Store) Config() Config { return s.cfg }

// Ping asks Redis for a sign of life.
func (s *Store) Ping(ctx context.Context) error { return s.rdb.Ping(ctx).Err() }

// TakesWrites gives the error with which Redis refuses a write in some shard. It asks for
// writes that change nothing: of keys, only if they are there, that never are.
func (s *Store) TakesWrites(ctx context.Context) error {
	cmds := make([]*redis.BoolCmd, operation.Shards)
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for shard := range cmds {
			cmds[shard] = pipe.SetXX(ctx, s.prefix(shard)+"nothing", "", 0)
		}
		return nil
	})
	if ctx.Err() != nil {
		return err
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

// LeaseFor gives the length of a lease: start window, call deadline and margin.
func (s *Store) LeaseFor(l Limits) time.Duration { return s.cfg.StartWindow + l.Call + s.cfg.Margin }

func (s *Store) prefix(shard int) string { return s.names[shard] }

// evaluate runs one script by itself.
func (s *Store) evaluate(ctx context.Context, script *script, shard int, args ...any) (reply, error) {
	c := s.newCall(script, shard, args...)
	err := s.performed(ctx, c)
	return c.answer, err
}

func (s *Store) gen(shard int) string {
	if g := s.gens[shard].Load(); g != nil {
		return *g
	}
	return ""
}

func (s *Store) setGen(shard int, g string) { s.gens[shard].Store(&g) }

// newGen makes a generation that comes after those that this process knows of, also when the
// clock of the host that made them was ahead.
func (s *Store) newGen(shard int) string {
	id := uuid.Must(uuid.NewV7())
	if last, err := uuid.Parse(s.newest(shard)); err == nil && bytes.Compare(id[:], last[:]) <= 0 {
		ms := binary.BigEndian.Uint64(last[:])>>16 + 1
		binary.BigEndian.PutUint64(id[:], ms<<16|uint64(binary.BigEndian.Uint16(id[6:])))
	}
	return id.String()
}

// run runs a script under the generation that this process knows; when that is
// stale, once more under the one that Redis has now.
func (s *Store) run(ctx context.Context, script *script, shard int, args ...any) (reply, error) {
	for range 2 {
		r, err := s.flights.run(ctx, script, shard, args, s.away[shard].Load())
		if err != nil || r.word() != "stale" {
			return r, err
		}
		g, err := s.rdb.Get(ctx, s.prefix(shard)+"gen").Result()
		switch {
		case errors.Is(err, redis.Nil):
			return nil, ErrStale
		case err != nil:
			return nil, err
		}
		if g < s.newest(shard) {
			return nil, ErrStale // it went back since
		}
		s.setGen(shard, g)
	}
	return nil, ErrStale
}

// reply is a script's answer: a word, then values.
type reply []any

func (r reply) word() string {
	if len(r) == 0 {
		return ""
	}
	return text(r[0])
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

func array(v any) []any {
	a, _ := v.([]any)
	return a
}

func pairs(v any) map[string]string {
	a := array(v)
	m := make(map[string]string, len(a)/2)
	for i := 0; i+1 < len(a); i += 2 {
		m[text(a[i])] = text(a[i+1])
	}
	return m
}

// spareID is what scripts make the ids of log rows from, up to 255 of them.
func spareID() string { return uuid.Must(uuid.NewV7()).String() }
