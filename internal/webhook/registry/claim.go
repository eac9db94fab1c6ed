package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// claimKey names what must be unique: partner, event, URL and filters.
func claimKey(s webhook.Subscription) string {
	text, _ := json.Marshal([]any{s.PartnerID, s.EventName, s.URL, s.Filters.Canonical()}) // always marshals
	sum := sha256.Sum256(text)
	return "claim." + hex.EncodeToString(sum[:])
}

// claimSettles is how long a claim may be without its subscription: whoever made it
// is about to write that.
const claimSettles = time.Minute

// claim takes what makes the subscription unique. The error is a conflict if another
// one has it, or unavailable.
func (r *Registry) claim(ctx context.Context, s webhook.Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	key, mine := claimKey(s), []byte(s.ID.String())
	if _, err := r.kv.Create(ctx, key, mine); err == nil {
		return nil
	}
	// Somebody has it, or the answer was lost: then it may be ours.
	e, err := r.kv.Get(ctx, key)
	if err != nil {
		return unavailable(err) // gone again, or NATS is
	}
	free, err := r.abandoned(ctx, e, key)
	switch {
	case err != nil:
		return unavailable(err)
	case string(e.Value()) == s.ID.String():
		return nil
	case !free:
		return &operation.Error{Code: operation.CodeConflict, Message: "there is a webhook with this event, URL and filters"}
	}
	if _, err := r.kv.Update(ctx, key, mine, e.Revision()); err != nil {
		return unavailable(err)
	}
	return nil
}

// abandoned reports whether nobody has what a claim says: its maker died, or gave it
// up half-way.
func (r *Registry) abandoned(ctx context.Context, e jetstream.KeyValueEntry, key string) (bool, error) {
	id, err := uuid.Parse(string(e.Value()))
	if err != nil {
		return true, nil
	}
	s, err := r.fetch(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return time.Since(e.Created()) > claimSettles, nil
	case err != nil:
		return false, err
	}
	if s.Status == webhook.Deleted {
		return true, nil
	}
	return claimKey(s) != key && time.Since(e.Created()) > claimSettles, nil
}

// unclaim gives it back. What fails here is found abandoned later.
func (r *Registry) unclaim(ctx context.Context, s webhook.Subscription) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	key := claimKey(s)
	e, err := r.kv.Get(ctx, key)
	if err == nil && string(e.Value()) == s.ID.String() {
		err = r.kv.Purge(ctx, key, jetstream.LastRevision(e.Revision()))
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		r.log.WarnContext(ctx, "giving a webhook's claim back", "webhook_id", s.ID, "error", err)
	}
}
