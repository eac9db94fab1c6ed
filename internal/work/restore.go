package work

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"writeback/pkg/operation/redisstore"
)

// history says whether the streams hold anything.
type history interface {
	Empty(ctx context.Context) (bool, error)
}

// Restorer fills shards that have no data.
type Restorer struct {
	store   *redisstore.Store
	history history
	log     *slog.Logger
}

// NewRestorer makes a restorer.
func NewRestorer(store *redisstore.Store, h history, log *slog.Logger) *Restorer {
	return &Restorer{store: store, history: h, log: log}
}

// errLost says that there is history which the store has not.
var errLost = errors.New("work: the store has lost data that the streams still hold")

// Restore starts the shards. With empty streams, a new installation, there is
// nothing to wait for.
func (r *Restorer) Restore(ctx context.Context, shards []int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	empty, err := r.history.Empty(ctx)
	if err != nil {
		return err
	}
	if !empty {
		return errLost
	}
	r.log.InfoContext(ctx, "starting new shards", "shards", len(shards))
	return r.store.Begin(ctx, shards)
}
