package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
	"writeback/internal/webhook"
)

const (
	checkEvery = 30 * time.Second
	stopWait   = 2 * time.Second
)

var (
	errReconnected = errors.New("registry: connected anew")
	errEnded       = errors.New("registry: watch ended")
	errBehind      = errors.New("registry: watch fell silent")
)

// Run keeps the copy up to date until the context ends, and then returns nil. It
// calls changed, which may be nil, for each subscription once it knows it and after
// each change. It is called once.
func (r *Registry) Run(ctx context.Context, changed func(webhook.Subscription)) error {
	if changed == nil {
		changed = func(webhook.Subscription) {}
	}
	r.following.Store(true)
	defer r.following.Store(false)
	for _, s := range r.All() {
		changed(s)
	}
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	for {
		began := time.Now()
		err := r.follow(ctx, changed)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errReconnected) || time.Since(began) > 5*time.Second {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		r.log.WarnContext(ctx, "webhook subscriptions not followed", "error", err, "again_in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// read takes in all that the bucket holds.
func (r *Registry) read(ctx context.Context) error {
	last, err := r.last(ctx)
	if err != nil {
		return fmt.Errorf("registry: bucket %s: %w", Bucket, err)
	}
	w, err := r.kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("registry: watch: %w", err)
	}
	defer stop(w)
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("registry: read the bucket: %w", context.Cause(ctx))
		case e, open := <-w.Updates():
			switch {
			case !open:
				return errEnded
			case e == nil:
				r.seen.reach(last)
				return nil
			}
			r.take(e, func(webhook.Subscription) {})
		}
	}
}

// follow reads the bucket from its start and takes changes in until something breaks
// the watch. Subscriptions are few, so nothing is gained by resuming.
func (r *Registry) follow(ctx context.Context, changed func(webhook.Subscription)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nc := r.js.Conn()
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	last, err := r.reopen(ctx)
	if err != nil {
		return err
	}
	w, err := r.kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("registry: watch: %w", err)
	}
	defer stop(w)
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	before := r.seen.get()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-connected:
			return errReconnected
		case e, open := <-w.Updates():
			if !open {
				return errEnded
			}
			if e == nil {
				// All of it is read; the newest entry itself may have been swept away.
				r.seen.reach(last)
				continue
			}
			r.take(e, changed)
		case <-check.C:
			// Behind twice without a step in between: nothing comes any more.
			last, err := r.last(ctx)
			seen := r.seen.get()
			if err == nil && last != seen && seen == before {
				return errBehind
			}
			before = seen
		}
	}
}

// reopen makes a bucket that is gone, and forgets how far one was read that has gone
// back: it is another one. It gives the newest entry's place.
func (r *Registry) reopen(ctx context.Context) (last uint64, err error) {
	last, err = r.last(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = natsq.OpenBucket(ctx, r.js, r.bucket(), r.log)
	}
	if err != nil {
		return 0, fmt.Errorf("registry: bucket %s: %w", Bucket, err)
	}
	if last < r.seen.get() {
		r.log.ErrorContext(ctx, "the bucket of webhook subscriptions is new or has gone back")
		r.seen.reset()
		r.forgetRevisions()
	}
	return last, nil
}

func (r *Registry) forgetRevisions() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.byID {
		s.Revision = 0
		r.byID[id] = s
	}
}

func (r *Registry) last(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := r.js.Stream(ctx, "KV_"+Bucket)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

func (r *Registry) take(e jetstream.KeyValueEntry, changed func(webhook.Subscription)) {
	// It is in the copy before anybody hears that it was read.
	defer r.seen.reach(e.Revision())
	text, ok := strings.CutPrefix(e.Key(), keyPrefix)
	if !ok {
		return
	}
	id, err := uuid.Parse(text)
	if err != nil {
		r.log.Error("webhook subscription ignored", "key", e.Key(), "error", err)
		return
	}
	if e.Operation() != jetstream.KeyValuePut {
		r.remove(id)
		return
	}
	s, err := decode(e.Value(), e.Revision())
	if err != nil {
		r.log.Error("webhook subscription ignored", "key", e.Key(), "error", err)
		return
	}
	if r.put(s) {
		changed(s)
	}
}

// stop ends the watch and reads what is left of it: the watch's own goroutine may
// wait for a reader.
func stop(w jetstream.KeyWatcher) {
	_ = w.Stop()
	late := time.After(stopWait)
	for {
		select {
		case <-late:
			return
		case _, open := <-w.Updates():
			if !open {
				return
			}
		}
	}
}
