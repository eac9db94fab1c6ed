package work

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/internal/metrics"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// history is what the streams remember; see natsq.History.
type history interface {
	Ends(ctx context.Context) (operations, events uint64, err error)
	Operations(ctx context.Context, since time.Time, upTo uint64, pass func([]operation.Message) error) error
	Events(ctx context.Context, since time.Time, upTo uint64, pass func([]operation.Event) error) error
}

// RestoreConfig bounds the waits of a rebuild. Every zero field takes the default
// given with it.
type RestoreConfig struct {
	// Settle is how long what the store had before may still take to reach the streams. Default
	// 4 s: it must exceed redisstore.TellWithin, and how long a publish may wait and be on its way.
	Settle time.Duration
	// LongestCalls gives the longest call deadline in each shard. For that long,
	// plus the start window, nothing is handed out after a rebuild, so that calls
	// of before it are dead. Nil: 60 s everywhere.
	LongestCalls func() [operation.Shards]time.Duration
	// Paused lists the connections whose calls an operator has paused: the streams do not
	// say it. Nil: none.
	Paused func() []uuid.UUID
	// Recent is how far back operations may still be pending: the age of the
	// operation stream. Default 48 h.
	Recent time.Duration
	// Queue is what the metrics call the store. Default "operations".
	Queue string
	// Margin is read again before the time up to which the data is known to be
	// whole. Default 30 s.
	Margin time.Duration
}

func (c RestoreConfig) withDefaults() RestoreConfig {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.Settle, 4*time.Second)
	if c.LongestCalls == nil {
		c.LongestCalls = func() (all [operation.Shards]time.Duration) {
			for shard := range all {
				all[shard] = time.Minute
			}
			return all
		}
	}
	if c.Paused == nil {
		c.Paused = func() []uuid.UUID { return nil }
	}
	if c.Queue == "" {
		c.Queue = metrics.QueueOperations
	}
	set(&c.Recent, 48*time.Hour)
	set(&c.Margin, 30*time.Second)
	return c
}

// Restorer fills shards that have no data: at the first start, and after Redis was
// wiped or went back in time. Safe for concurrent use; several processes share
// the shards among them.
type Restorer struct {
	store   *redisstore.Store
	history history
	cfg     RestoreConfig
	log     *slog.Logger

	generations, rebuilds *metrics.Counter
	duration              *metrics.Histogram
}

// NewRestorer makes a restorer.
func NewRestorer(store *redisstore.Store, h history, cfg RestoreConfig, log *slog.Logger) *Restorer {
	set := metrics.New(nil)
	cfg = cfg.withDefaults()
	return &Restorer{
		store: store, history: h, cfg: cfg, log: log.With("queue", cfg.Queue),
		generations: set.Counter(metrics.Generations), rebuilds: set.Counter(metrics.Rebuilds),
		duration: set.Histogram(metrics.RebuildDuration),
	}
}

// Restore fills the shards that nobody else is filling, and returns when they can
// be used. With empty streams and shards, a new installation, there is nothing to wait for.
func (r *Restorer) Restore(ctx context.Context, shards []int) error {
	operations, events, err := r.history.Ends(ctx)
	if err != nil {
		if ctx.Err() == nil { // the streams are not there, or NATS is not
			r.rebuilds.Add(ctx, len(shards), r.cfg.Queue, metrics.ResultFailed)
		}
		return err
	}
	if operations+events == 0 {
		if begun, err := r.begin(ctx, shards); begun || err != nil {
			return err
		}
	}
	b, err := r.store.TakeRebuild(ctx, shards)
	if err != nil || len(b.Shards) == 0 {
		return err
	}
	return r.over(ctx, b, r.rebuild(ctx, b))
}

// begin starts shards that have no data, unless one of them went back in time: beside streams
// that were made anew that one has data, and calls of before may be under way.
func (r *Restorer) begin(ctx context.Context, shards []int) (begun bool, err error) {
	emptied, err := r.store.Emptied(ctx)
	if err != nil {
		return false, err
	}
	missing, err := r.store.Missing(ctx) // asked after it: another process may begin them now
	wentBack := func(shard int) bool { return slices.Contains(missing, shard) && !slices.Contains(emptied, shard) }
	if err != nil || slices.ContainsFunc(shards, wentBack) {
		return false, err
	}
	r.log.InfoContext(ctx, "starting new shards", "shards", len(shards))
	if err := r.store.Begin(ctx, shards); err != nil {
		return false, err
	}
	r.generations.Add(ctx, len(shards), r.cfg.Queue, metrics.GenerationNew)
	return true, r.hold(ctx, shards)
}

// hold pauses the connections of new shards that are paused.
func (r *Restorer) hold(ctx context.Context, shards []int) error {
	for _, connection := range r.cfg.Paused() {
		if !slices.Contains(shards, operation.ShardOf(connection)) {
			continue
		}
		if err := r.store.Pause(ctx, connection, true); err != nil {
			return fmt.Errorf("work: pause %s: %w", connection, err)
		}
	}
	return nil
}

// over counts how a rebuild ended, and gives up one that failed, so that the next begins
// at once.
func (r *Restorer) over(ctx context.Context, b *redisstore.Rebuild, err error) error {
	result := metrics.ResultDone
	if err != nil {
		result = metrics.ResultFailed
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := b.Release(release); err != nil {
			r.log.WarnContext(ctx, "giving up a rebuild; others wait until its token runs out", "error", err)
		}
	}
	r.rebuilds.Add(ctx, len(b.Shards), r.cfg.Queue, result)
	return err
}

// Finish restores older history whose restorer has died.
func (r *Restorer) Finish(ctx context.Context, shards []int) error {
	b, err := r.store.TakeHistory(ctx, shards)
	if err != nil || len(b.Shards) == 0 {
		return err
	}
	return r.over(ctx, b, r.older(ctx, b, time.Now()))
}

// rebuild reads back what can still be pending, opens the shards, and then reads
// the older history.
func (r *Restorer) rebuild(ctx context.Context, b *redisstore.Rebuild) error {
	began := time.Now()
	since, err := b.Since(ctx)
	if err != nil {
		return err
	}
	whole := since.IsZero()
	if whole {
		since = began.Add(-r.cfg.Recent)
	}
	since = since.Add(-r.cfg.Margin)
	r.log.WarnContext(ctx, "rebuilding shards from the streams", "shards", len(b.Shards), "since", since, "wiped", whole)

	// What was under way is there by then, or never will be.
	pause(ctx, r.cfg.Settle)
	operations, events, err := r.history.Ends(ctx)
	if err != nil {
		return err
	}
	p := &progress{log: r.log, rebuild: b, started: map[mailbox]int64{}}
	if err := r.history.Operations(ctx, since, operations, func(m []operation.Message) error { return p.accepted(ctx, m) }); err != nil {
		return fmt.Errorf("work: rebuild: operations: %w", err)
	}
	if err := r.history.Events(ctx, since, events, func(e []operation.Event) error { return p.events(ctx, e) }); err != nil {
		return fmt.Errorf("work: rebuild: events: %w", err)
	}
	if err := p.overtaken(ctx); err != nil {
		return fmt.Errorf("work: rebuild: %w", err)
	}
	longest := r.cfg.LongestCalls()
	quarantine := func(shard int) time.Duration { return r.store.Config().StartWindow + longest[shard] }
	if err := b.Commit(ctx, quarantine, r.cfg.Paused(), whole); err != nil {
		return fmt.Errorf("work: rebuild: commit: %w", err)
	}
	r.generations.Add(ctx, len(b.Shards), r.cfg.Queue, metrics.GenerationRebuilt)
	r.duration.Record(ctx, time.Since(began).Seconds(), r.cfg.Queue)
	r.log.WarnContext(ctx, "shards rebuilt", "shards", len(b.Shards), "inserted", p.inserted, "facts", p.facts,
		"overtaken", p.failed, "duration_ms", time.Since(began).Milliseconds())
	if !whole {
		return nil
	}
	return r.older(ctx, b, since)
}

// older reads back what ended longer ago; until it is there, an unknown id is
// answered as "not available", not as "not found".
func (r *Restorer) older(ctx context.Context, b *redisstore.Rebuild, before time.Time) error {
	_, events, err := r.history.Ends(ctx)
	if err != nil {
		return err
	}
	p := &progress{log: r.log, rebuild: b, started: map[mailbox]int64{}}
	err = r.history.Events(ctx, time.Time{}, events, func(batch []operation.Event) error {
		var final []operation.Event
		for _, e := range batch {
			if e.Kind != operation.EventAttempted && e.Operation.UpdatedAt.Before(before.Add(time.Minute)) {
				final = append(final, e)
			}
		}
		return p.events(ctx, final)
	})
	if err != nil {
		return fmt.Errorf("work: rebuild: older history: %w", err)
	}
	if err := b.Done(ctx); err != nil {
		return fmt.Errorf("work: rebuild: older history: %w", err)
	}
	r.log.InfoContext(ctx, "older history is back", "shards", len(b.Shards), "inserted", p.inserted)
	return nil
}

// mailbox names the operations of one user.
type mailbox struct {
	connection uuid.UUID
	user       string
}

// progress is one reading of the streams.
type progress struct {
	log     *slog.Logger
	rebuild *redisstore.Rebuild
	// started is the newest operation of each mailbox that was attempted.
	started  map[mailbox]int64
	inserted int
	facts    int
	failed   int
}

func (p *progress) put(ctx context.Context, facts []redisstore.Fact) error {
	made, err := p.rebuild.Put(ctx, facts)
	before := p.facts / progressEvery
	p.inserted += made
	p.facts += len(facts)
	if p.facts/progressEvery > before {
		p.log.InfoContext(ctx, "rebuilding", "facts", p.facts, "inserted", p.inserted)
	}
	return err
}

const progressEvery = 10_000

func acceptedFact(m operation.Message) redisstore.Fact {
	return redisstore.Fact{Operation: pending(m.Accepted, m.Place)}
}

func eventFact(e operation.Event) redisstore.Fact {
	return redisstore.Fact{
		Operation: e.Operation, Final: e.Kind != operation.EventAttempted, NextAt: e.NextAt, Blocked: e.Blocked, FirstRow: e.FirstRow,
	}
}

func (p *progress) accepted(ctx context.Context, messages []operation.Message) error {
	facts := make([]redisstore.Fact, 0, len(messages))
	for _, m := range messages {
		facts = append(facts, acceptedFact(m))
	}
	return p.put(ctx, facts)
}

// gone reports whether a call of the operation was made. Attempted alone does not say so:
// a call that was under way when the data was lost counts as none in what was put back,
// and its outcome came later.
func gone(op operation.Operation) bool {
	called := func(a operation.Attempt) bool {
		return a.Status == operation.AttemptSucceeded || a.StatusCode != 0 || a.ErrorType != "" // others only explain an end
	}
	return op.Attempted > 0 || slices.ContainsFunc(op.Attempts, called)
}

func (p *progress) events(ctx context.Context, events []operation.Event) error {
	facts := make([]redisstore.Fact, 0, len(events))
	for _, e := range events {
		op := e.Operation
		if gone(op) && p.rebuild.Mine(op.ConnectionID) {
			box := mailbox{op.ConnectionID, redisstore.UserOf(op.Accepted)}
			p.started[box] = max(p.started[box], op.Seq)
		}
		facts = append(facts, eventFact(e))
	}
	return p.put(ctx, facts)
}

// overtaken ends what is pending although a newer write of its user has gone.
func (p *progress) overtaken(ctx context.Context) error {
	newest := make([]redisstore.Gone, 0, len(p.started))
	for box, seq := range p.started {
		newest = append(newest, redisstore.Gone{Connection: box.connection, User: box.user, Seq: seq})
	}
	n, err := p.rebuild.Older(ctx, newest)
	p.failed += n
	return err
}
