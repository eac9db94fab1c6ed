// Command copies puts copies of a partner's ended operations into Redis, each with an id,
// a place and an idempotency key of its own, so that a benchmark can have very many in
// little time. They are written by the store's own step for ended operations, and
// look like those that workers have ended; no stream knows them. For benchmarks only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/internal/redisurl"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func main() {
	url := flag.String("redis", "redis://127.0.0.1:6379", "where Redis is")
	partner := flag.String("partner", "", "whose operations are copied")
	n := flag.Int("n", 0, "how many copies to make")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *url, *partner, *n)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "copies:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, partner string, n int) error {
	id, err := uuid.Parse(partner)
	if err != nil {
		return fmt.Errorf("-partner %q is not a UUID", partner)
	}
	rdb, err := redisurl.Open(url, redisurl.Options{Name: "copies"})
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	store := redisstore.New(rdb, redisstore.Config{})
	shards, err := templates(ctx, store, id)
	if err != nil {
		return err
	}
	// One goroutine for each shard, so that places rise there.
	g, ctx := errgroup.WithContext(ctx)
	for i, ended := range shards {
		share := n / len(shards)
		if i < n%len(shards) {
			share++
		}
		g.Go(func() error { return multiply(ctx, store, ended, share) })
	}
	return g.Wait()
}

// templates are the partner's newest ended operations, by shard; shards without any are
// left out.
func templates(ctx context.Context, store *redisstore.Store, partner uuid.UUID) ([][]operation.Operation, error) {
	const most = 5000
	now := time.Now()
	ops, _, err := store.List(ctx, operation.Query{PartnerID: partner, From: now.Add(-24 * time.Hour), To: now.Add(time.Minute), Limit: most})
	if err != nil {
		return nil, err
	}
	by := map[int][]operation.Operation{}
	for _, op := range ops {
		if op.Status.Terminal() {
			shard := operation.ShardOf(op.ConnectionID)
			by[shard] = append(by[shard], op)
		}
	}
	if len(by) == 0 {
		return nil, errors.New("the partner has no ended operations")
	}
	out := make([][]operation.Operation, 0, len(by))
	for _, ops := range by {
		out = append(out, ops)
	}
	return out, nil
}

func multiply(ctx context.Context, store *redisstore.Store, from []operation.Operation, n int) error {
	var ids operation.IDs
	last := int64(0)
	for i := range n {
		op := from[i%len(from)]
		id, err := ids.New(op.ConnectionID)
		if err != nil {
			return err
		}
		last = max(last+1, time.Now().UnixMicro())
		if err := store.Keep(ctx, moved(op, id, last)); err != nil {
			return err
		}
	}
	return nil
}

// moved gives the operation another id, place and key, and moves all its times with it.
func moved(op operation.Operation, id uuid.UUID, seq int64) operation.Operation {
	by := time.Duration(seq-op.Seq) * time.Microsecond
	op.ID, op.Seq = id, seq
	op.Deadline, op.UpdatedAt = op.Deadline.Add(by), op.UpdatedAt.Add(by)
	op.Key = &operation.Key{Scope: id.String(), Fingerprint: id.String()}
	rows := make([]operation.Attempt, len(op.Attempts))
	for i, a := range op.Attempts {
		a.ID, a.OperationID = uuid.Must(uuid.NewV7()), id
		a.StartedAt, a.EndedAt = a.StartedAt.Add(by), a.EndedAt.Add(by)
		rows[i] = a
	}
	op.Attempts = rows
	return op
}
