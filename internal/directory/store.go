package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

const (
	// retryPause is between two tries to write to the bucket.
	retryPause = 50 * time.Millisecond
	// callTimeout bounds one call to the bucket: a question that was lost with its
	// connection is never answered, and the one who asks may have time for another.
	callTimeout = 5 * time.Second
	// bucketCalls is how many calls of a load are under way at once.
	bucketCalls = 64
)

// errConflict says that the bucket holds a newer revision than the copy.
var errConflict = errors.New("directory: changed meanwhile")

// write stores a connection on top of the revision that the copy holds.
func (d *Directory) write(ctx context.Context, c held) error {
	value, err := d.box.connection(c)
	if err != nil {
		return fmt.Errorf("directory: %s: %w", c.Connection, err)
	}
	key := connectionKey(c.ID)
	return d.store(ctx, key, d.kept(key, value), c.Revision)
}

// kept gives an entry's new value with what a newer version has put into the entry.
func (d *Directory) kept(key string, value []byte) []byte {
	d.mu.RLock()
	before := d.copy.newer[key]
	d.mu.RUnlock()
	return before.Keep(value)
}

// store writes an entry if its newest revision is the one given (zero: there is
// none), and takes it into the copy.
func (d *Directory) store(ctx context.Context, key string, value []byte, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var err error
	if revision == 0 {
		revision, err = d.kv.Create(ctx, key, value)
	} else {
		revision, err = d.kv.Update(ctx, key, value, revision)
	}
	if conflict(err) {
		return errConflict
	}
	if err != nil {
		return fmt.Errorf("directory: write %s: %w", key, err)
	}
	d.put(key, value, revision)
	return nil
}

func conflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// again reads the keys anew after a short pause: the reads may be answered by a
// server that is a little behind, so the answers may be old and the caller has to
// try again. It fails only when the context has ended.
func (d *Directory) again(ctx context.Context, keys ...string) error {
	if err := wait(ctx, nil, retryPause); err != nil {
		return fmt.Errorf("directory: read anew: %w", err)
	}
	var g errgroup.Group
	g.SetLimit(bucketCalls)
	for _, key := range keys {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			if e, err := d.kv.Get(ctx, key); err == nil {
				d.put(key, e.Value(), e.Revision())
			}
			return nil
		})
	}
	return g.Wait()
}

// wait returns nil at a change or after the time, and the cause if the context
// ends first.
func wait(ctx context.Context, changed <-chan struct{}, most time.Duration) error {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-changed:
	case <-t.C:
	}
	return nil
}
