package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
	"writeback/internal/webhook"
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
	r.changed = changed
	r.follower.Run(ctx)
	return nil
}

func (r *Registry) follow() *natsq.Follower {
	return &natsq.Follower{
		JetStream: r.js, Config: r.bucket(), From: r.from, Take: r.take, Read: r.read, Log: r.log,
	}
}

// from reads all of the bucket, each time: subscriptions are few, and one whose end was
// missed is found out by its absence. Of a bucket that has gone back, or is another one, how
// far it was read is forgotten, and with that what revisions there were.
func (r *Registry) from(now *jetstream.StreamInfo) uint64 {
	if !r.created.IsZero() && !now.Created.Equal(r.created) || now.State.LastSeq < r.seen.get() {
		r.log.Error("the bucket of webhook subscriptions is new or has gone back")
		r.seen.reset()
		r.forgetRevisions()
	}
	r.created = now.Created
	r.met = map[uuid.UUID]bool{}
	return 0
}

// read is called when all of the bucket was read.
func (r *Registry) read(ctx context.Context, last uint64) {
	r.settle(ctx, last)
	r.seen.reach(last)
}

// settle looks at the subscriptions that the bucket did not have. It drops those that were
// deleted, and swept away, while this process did not follow. One that was just written is
// not met either, so each is looked for.
func (r *Registry) settle(ctx context.Context, last uint64) {
	for _, s := range r.All() {
		switch {
		case r.met[s.ID] || s.Revision > last:
		case s.Revision == 0: // the bucket that had it was lost
			r.putBack(ctx, s)
		default:
			if _, err := r.fetch(ctx, s.ID); errors.Is(err, jetstream.ErrKeyNotFound) {
				r.remove(s.ID)
			}
		}
	}
	r.met = nil
}

// putBack writes what a lost bucket had. Each process does; the first to come is enough.
func (r *Registry) putBack(ctx context.Context, s webhook.Subscription) {
	_, err := r.write(ctx, s)
	if err == nil && s.Status != webhook.Deleted {
		err = r.claim(ctx, s)
	}
	if err != nil && !conflict(err) {
		r.log.WarnContext(ctx, "putting a webhook back into its bucket", "webhook_id", s.ID, "error", err)
	}
}

func (r *Registry) forgetRevisions() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.byID {
		s.Revision = 0
		r.byID[id] = s
	}
}

// last is how far the bucket is.
func (r *Registry) last(ctx context.Context) (uint64, error) {
	info, err := natsq.BucketInfo(ctx, r.js, Bucket)
	if err != nil {
		return 0, fmt.Errorf("registry: bucket %s: %w", Bucket, err)
	}
	return info.State.LastSeq, nil
}

func (r *Registry) take(e jetstream.KeyValueEntry) {
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
	if r.met != nil {
		r.met[id] = true
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
		r.changed(s)
	}
}
