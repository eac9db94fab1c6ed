// Package registry keeps webhook subscriptions in a NATS key-value bucket, with a
// copy in every process that follows the bucket, so that a change reaches all
// workers without a restart and a process that has lost NATS goes on with what it
// knows.
//
// Secrets are sealed before they are stored and opened only to sign. It refuses to
// give a subscription to a partner that is not its own: for that partner it does not
// exist.
package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
	"writeback/internal/newer"
	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// Bucket is the name of the key-value bucket.
const Bucket = "writeback-webhooks"

// sealer seals secrets; see seal.Sealer.
type sealer interface {
	Seal(plain, aad []byte) ([]byte, error)
	Open(sealed, aad []byte) ([]byte, error)
	Reseal(sealed, aad []byte) (value []byte, changed bool, err error)
}

// Config are the settings that have defaults.
type Config struct {
	// Replicas is how many NATS servers hold the bucket. Default 1.
	Replicas int
	// Overlap is how long a replaced secret still signs. Default 24 h.
	Overlap time.Duration
	// Most bounds the subscriptions of one partner, deleted ones not counted. Default
	// 500.
	Most int
	// Told bounds those that are told of the same event of one fleet, so that a partner's
	// writes bring no more deliveries than that each. Default 50.
	Told int
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger gets what Run has to say. Default: nothing is logged.
	Logger *slog.Logger
}

// Registry is the copy of one process. Its methods may be called concurrently.
type Registry struct {
	js       jetstream.JetStream
	kv       jetstream.KeyValue
	sealer   sealer
	checkURL func(*url.URL) error
	cfg      Config
	log      *slog.Logger
	turns    turns

	mu sync.RWMutex
	// byID and byPartner are the copy. A partner's list is replaced, never changed.
	byID      map[uuid.UUID]webhook.Subscription
	byPartner map[uuid.UUID][]webhook.Subscription

	// follower reads the bucket; changed is told what it takes in. met are those that it
	// has taken in since it began anew, until it has all. created is when the bucket was made
	// that was read last. Only Open and Run use them.
	follower *natsq.Follower
	created  time.Time
	changed  func(webhook.Subscription)
	met      map[uuid.UUID]bool

	// seen is how far the bucket was read; Open and Run move it.
	seen      place
	newest    *question
	following atomic.Bool
}

// Open makes the bucket if there is none and reads all of it, however long that takes: it
// gives up when the context ends, or nothing has come for 10 s. checkURL refuses endpoints
// that may not be called. Nothing is followed until Run.
func Open(ctx context.Context, js jetstream.JetStream, s sealer, checkURL func(*url.URL) error, cfg Config) (*Registry, error) {
	r := empty(js, s, checkURL, cfg)
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	kv, err := natsq.OpenBucket(opening, js, r.bucket(), r.log)
	if err != nil {
		return nil, fmt.Errorf("registry: bucket %s: %w", Bucket, err)
	}
	r.kv = kv
	r.follower = r.follow()
	if err := r.follower.ReadAll(ctx); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return r, nil
}

// empty is a registry that has read nothing.
func empty(js jetstream.JetStream, s sealer, checkURL func(*url.URL) error, cfg Config) *Registry {
	cfg.Replicas = max(cfg.Replicas, 1)
	if cfg.Overlap <= 0 {
		cfg.Overlap = 24 * time.Hour
	}
	if cfg.Most <= 0 {
		cfg.Most = 500
	}
	if cfg.Told <= 0 {
		cfg.Told = 50
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registry{
		js: js, sealer: s, checkURL: checkURL, cfg: cfg, log: cfg.Logger,
		byID: map[uuid.UUID]webhook.Subscription{}, byPartner: map[uuid.UUID][]webhook.Subscription{},
		newest: newQuestion(), changed: func(webhook.Subscription) {},
	}
}

// openTimeout bounds the opening of the bucket, without reading it.
const openTimeout = 10 * time.Second

func (r *Registry) bucket() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: Bucket, Description: "webhook subscriptions", History: 1,
		Storage: jetstream.FileStorage, Replicas: r.cfg.Replicas,
	}
}

// Ready is nil while Run keeps the copy up to date, or tries to.
func (r *Registry) Ready() error {
	if !r.following.Load() {
		return errors.New("registry: the bucket is not followed")
	}
	return nil
}

const keyPrefix = "subscription."

func keyOf(id uuid.UUID) string { return keyPrefix + id.String() }

// Matching gives a partner's subscriptions to an event, but for deleted ones.
func (r *Registry) Matching(partner uuid.UUID, event string) []webhook.Subscription {
	r.mu.RLock()
	all := r.byPartner[partner]
	r.mu.RUnlock()
	var out []webhook.Subscription
	for _, s := range all {
		if s.EventName == event && s.Status != webhook.Deleted {
			out = append(out, s)
		}
	}
	return out
}

// All gives every subscription that this process knows, in no order.
func (r *Registry) All() []webhook.Subscription {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]webhook.Subscription, 0, len(r.byID))
	for _, s := range r.byID {
		out = append(out, s)
	}
	return out
}

// Find gives a subscription of any partner; it is for the worker. What the copy does
// not hold is looked up in the bucket. An error means that it cannot be known now.
func (r *Registry) Find(ctx context.Context, id uuid.UUID) (webhook.Subscription, bool, error) {
	if s, ok := r.known(id); ok {
		return s, true, nil
	}
	return r.asked(ctx, id)
}

// known gives what the copy has.
func (r *Registry) known(id uuid.UUID) (webhook.Subscription, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.byID[id]
	return s, ok
}

// asked gives what the bucket has.
func (r *Registry) asked(ctx context.Context, id uuid.UUID) (webhook.Subscription, bool, error) {
	s, err := r.fetch(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return webhook.Subscription{}, false, nil
	}
	return s, err == nil, err
}

// Secrets opens the secrets to sign with, the present one first.
func (r *Registry) Secrets(s webhook.Subscription, now time.Time) ([]string, error) {
	var out []string
	for _, secret := range s.Secrets {
		if !secret.Until.IsZero() && !now.Before(secret.Until) {
			continue
		}
		plain, err := r.sealer.Open(secret.Sealed, []byte(s.ID.String()))
		if err != nil {
			return nil, fmt.Errorf("registry: secret of %s: %w", s.ID, err)
		}
		out = append(out, string(plain))
	}
	return out, nil
}

// Locked counts the subscriptions in the bucket, and those whose secret does not open: nothing
// can be sent to them.
func Locked(ctx context.Context, js jetstream.JetStream, s sealer) (locked, all int, err error) {
	r, err := readOnce(ctx, js, s)
	if err != nil {
		return 0, 0, err
	}
	for _, sub := range r.All() {
		if sub.Status == webhook.Deleted {
			continue
		}
		all++
		if _, err := r.Secrets(sub, time.Now()); err != nil {
			locked++
		}
	}
	return locked, all, nil
}

// fetch reads the newest form from the bucket and takes it into the copy.
func (r *Registry) fetch(ctx context.Context, id uuid.UUID) (webhook.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	e, err := r.kv.Get(ctx, keyOf(id))
	if err != nil {
		return webhook.Subscription{}, err
	}
	s, err := decode(e.Value(), e.Revision())
	if err != nil {
		return s, err
	}
	r.put(s)
	return s, nil
}

func decode(value []byte, revision uint64) (webhook.Subscription, error) {
	var s webhook.Subscription
	unknown, err := newer.Read(value, &s)
	if err != nil {
		return s, fmt.Errorf("registry: entry: %w", err)
	}
	if s.ID == uuid.Nil || s.PartnerID == uuid.Nil || !s.Status.Valid() {
		return s, errors.New("registry: entry: incomplete")
	}
	s.Revision, s.Newer = revision, unknown
	return s, nil
}

// put takes a subscription into the copy unless that holds a newer form, and reports
// whether this is the newest one. What this process wrote itself comes again from the
// bucket and is reported then.
func (r *Registry) put(s webhook.Subscription) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.byID[s.ID]; ok && old.Revision > s.Revision {
		return false
	}
	r.byID[s.ID] = s
	r.replace(s.PartnerID, s.ID, &s)
	return true
}

// remove takes a subscription out of the copy.
func (r *Registry) remove(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.byID[id]
	if !ok {
		return
	}
	delete(r.byID, id)
	r.replace(s.PartnerID, id, nil)
}

// replace makes the partner's list anew, in order of ids. The caller holds the lock.
func (r *Registry) replace(partner, id uuid.UUID, s *webhook.Subscription) {
	list := slices.DeleteFunc(slices.Clone(r.byPartner[partner]), func(o webhook.Subscription) bool { return o.ID == id })
	if s != nil {
		list = append(list, *s)
		slices.SortFunc(list, func(a, b webhook.Subscription) int { return compare(a.ID, b.ID) })
	}
	if len(list) == 0 {
		delete(r.byPartner, partner)
		return
	}
	r.byPartner[partner] = list
}

func compare(a, b uuid.UUID) int { return strings.Compare(string(a[:]), string(b[:])) }

// Get gives a partner's subscription. The error is an *operation.Error.
func (r *Registry) Get(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error) {
	s, found := r.known(id)
	var err error
	if !found || s.PartnerID != partner {
		// Another partner's answers as what is not there, also in how long it takes and
		// while NATS is away.
		s, found, err = r.asked(ctx, id)
	}
	switch {
	case err != nil:
		return webhook.Subscription{}, unavailable(err)
	case !found || s.PartnerID != partner || s.Status == webhook.Deleted:
		return webhook.Subscription{}, notFound()
	}
	return s, nil
}

// List gives the partner's subscriptions that the query selects, by id ascending also
// when it walks backwards, and whether there are more in its direction.
func (r *Registry) List(_ context.Context, partner uuid.UUID, q webhook.Query) ([]webhook.Subscription, bool, error) {
	r.mu.RLock()
	all := r.byPartner[partner]
	r.mu.RUnlock()
	var out []webhook.Subscription
	for i := range all {
		s := all[i]
		if q.Backwards {
			s = all[len(all)-1-i]
		}
		if selects(q, s) {
			out = append(out, s)
		}
		if len(out) > q.Limit {
			break
		}
	}
	more := len(out) > q.Limit
	if more {
		out = out[:q.Limit]
	}
	if q.Backwards {
		slices.Reverse(out)
	}
	return out, more, nil
}

func selects(q webhook.Query, s webhook.Subscription) bool {
	if q.Position != uuid.Nil {
		c := compare(s.ID, q.Position)
		if q.Backwards && c >= 0 || !q.Backwards && c <= 0 {
			return false
		}
	}
	if q.EventName != "" && !slices.Contains(webhook.Expand(q.EventName), s.EventName) {
		return false
	}
	if q.Status == "" {
		return s.Status != webhook.Deleted
	}
	return q.Status == s.Status
}

func notFound() *operation.Error {
	return &operation.Error{Code: operation.CodeNotFound, Message: "no such webhook"}
}

func unavailable(err error) *operation.Error {
	return &operation.Error{
		Code: operation.CodeUnavailable, Message: "webhook subscriptions are not available right now; try again",
		RetryAfter: 2 * time.Second, Err: err,
	}
}
