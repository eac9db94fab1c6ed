package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
	"writeback/internal/webhook"
)

// surplus gives the deleted subscriptions beyond the newest few hundred of a partner: one
// who makes and deletes without end must not fill every process.
func (r *Registry) surplus(all []webhook.Subscription) map[uuid.UUID]bool {
	deleted := map[uuid.UUID][]webhook.Subscription{}
	for _, s := range all {
		if s.Status == webhook.Deleted {
			deleted[s.PartnerID] = append(deleted[s.PartnerID], s)
		}
	}
	out := map[uuid.UUID]bool{}
	for _, list := range deleted {
		if len(list) <= r.cfg.Most {
			continue
		}
		slices.SortFunc(list, func(a, b webhook.Subscription) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
		for _, s := range list[r.cfg.Most:] {
			out[s.ID] = true
		}
	}
	return out
}

const (
	// markerKept is how long the bucket says that a key was purged: every process has
	// heard of it by then, or reads the bucket anew.
	markerKept = time.Hour
	// markersMost bounds one sweep.
	markersMost = 1000
)

// sweepMarkers removes what the bucket keeps of purged keys, which would stay for
// ever. A key that is in use again is left alone: only what is not newer than its
// marker goes.
func (r *Registry) sweepMarkers(ctx context.Context) error {
	old, err := r.oldMarkers(ctx)
	if err != nil || len(old) == 0 {
		return err
	}
	stream, err := r.js.Stream(ctx, "KV_"+Bucket)
	if err != nil {
		return fmt.Errorf("registry: sweep: %w", err)
	}
	var all error
	for _, e := range old {
		all = errors.Join(all, stream.Purge(ctx,
			jetstream.WithPurgeSubject("$KV."+Bucket+"."+e.Key()), jetstream.WithPurgeSequence(e.Revision()+1)))
	}
	return all
}

func (r *Registry) oldMarkers(ctx context.Context) (old []jetstream.KeyValueEntry, err error) {
	err = natsq.ReadBucket(ctx, r.js, Bucket, 0, func(e jetstream.KeyValueEntry) {
		if e.Operation() != jetstream.KeyValuePut && len(old) < markersMost && r.cfg.Now().Sub(e.Created()) > markerKept {
			old = append(old, e)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("registry: sweep: %w", err)
	}
	return old, nil
}
