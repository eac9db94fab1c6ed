package registry

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// Create makes a subscription, or one for each event of a family. Either all are
// made or none. Errors, all *operation.Error: invalid, conflict for one that exists,
// rate_limited, unavailable.
func (r *Registry) Create(ctx context.Context, partner uuid.UUID, n webhook.New) ([]webhook.Created, error) {
	names := webhook.Expand(n.EventName)
	if n.Schedule == "" {
		n.Schedule = webhook.Short
	}
	faults := r.faults(&n.URL, &n.Schedule, n.Secret)
	faults = append(faults, eventFaults(n.EventName)...)
	if len(faults) > 0 {
		return nil, invalid(faults)
	}
	if err := r.buried(partner); err != nil {
		return nil, err
	}
	var out []webhook.Created
	for _, name := range names {
		c, err := r.create(ctx, partner, name, n)
		if err == nil {
			out = append(out, c)
			err = r.room(c.Subscription) // many may have been made at once
		}
		if err != nil {
			r.undo(ctx, out)
			return nil, err
		}
	}
	return out, nil
}

// undo takes back what was made of a family of which one could not be made.
func (r *Registry) undo(ctx context.Context, made []webhook.Created) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for _, c := range made {
		if err := r.Delete(ctx, c.PartnerID, c.ID); err != nil {
			r.log.WarnContext(ctx, "taking back a webhook", "webhook_id", c.ID, "error", err)
		}
	}
}

func (r *Registry) create(ctx context.Context, partner uuid.UUID, name string, n webhook.New) (webhook.Created, error) {
	now := r.cfg.Now().UTC()
	s := webhook.Subscription{
		ID: uuid.Must(uuid.NewV7()), PartnerID: partner, EventName: name, URL: n.URL, Filters: n.Filters.Canonical(),
		Status: webhook.Active, Schedule: n.Schedule, CreatedAt: now, UpdatedAt: now, ChangedAt: now, ActivatedAt: now,
	}
	if err := r.room(s); err != nil {
		return webhook.Created{}, err
	}
	secret := n.Secret
	if secret == "" {
		secret = newSecret()
	}
	sealed, err := r.sealer.Seal([]byte(secret), []byte(s.ID.String()))
	if err != nil {
		return webhook.Created{}, unavailable(err)
	}
	s.Secrets = []webhook.SealedSecret{{Sealed: sealed}}
	if err := r.claim(ctx, s); err != nil {
		return webhook.Created{}, err
	}
	after, err := r.write(ctx, s)
	if err != nil {
		if after, err = r.written(ctx, s, err); err != nil {
			return webhook.Created{}, unavailable(err)
		}
	}
	return webhook.Created{Subscription: after, Secret: secret}, nil
}

// written finds out whether a write of what was claimed for it has been made all the same:
// its answer may have been lost on the way. The error is then nil. A claim of what was not
// written is given back; if nobody can say, it is found abandoned later.
func (r *Registry) written(ctx context.Context, s webhook.Subscription, failed error) (webhook.Subscription, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	now, err := r.fetch(ctx, s.ID)
	switch {
	case err == nil && claimKey(now) == claimKey(s):
		if now.UpdatedAt.Equal(s.UpdatedAt) {
			return now, nil
		}
		// Somebody else made the same change, and the claim is theirs as well.
	case err == nil || errors.Is(err, jetstream.ErrKeyNotFound):
		r.unclaim(ctx, s)
	}
	return s, failed
}

// newSecret makes a secret in the form that the libraries of Standard Webhooks take.
func newSecret() string {
	var b [24]byte
	_, _ = rand.Read(b[:])
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

// write stores a subscription on top of the revision that it has, and takes it into
// the copy.
func (r *Registry) write(ctx context.Context, s webhook.Subscription) (webhook.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	value, err := json.Marshal(s)
	if err != nil {
		return s, fmt.Errorf("registry: %w", err)
	}
	value = s.Newer.Keep(value)
	revision := s.Revision
	if revision == 0 {
		revision, err = r.kv.Create(ctx, keyOf(s.ID), value)
	} else {
		revision, err = r.kv.Update(ctx, keyOf(s.ID), value, revision)
	}
	if err != nil {
		return s, fmt.Errorf("registry: write: %w", err)
	}
	s.Revision = revision
	r.put(s)
	return s, nil
}

// Update changes a subscription. A new secret signs at once; the one before still
// signs as well until the overlap ends. Errors, all *operation.Error: invalid,
// conflict, not_found, unavailable.
func (r *Registry) Update(ctx context.Context, partner, id uuid.UUID, c webhook.Change) (webhook.Subscription, error) {
	secret := ""
	if c.Secret != nil {
		if secret = *c.Secret; secret == "" {
			secret = " " // too short, as it should be
		}
	}
	if faults := r.faults(c.URL, c.Schedule, secret); len(faults) > 0 {
		return webhook.Subscription{}, invalid(faults)
	}
	return r.change(ctx, partner, id, func(s *webhook.Subscription, now time.Time) error {
		if c.URL != nil {
			s.URL = *c.URL
		}
		if c.Filters != nil {
			s.Filters = c.Filters.Canonical()
			if err := r.room(*s); err != nil {
				return err
			}
		}
		if c.Schedule != nil {
			s.Schedule = *c.Schedule
		}
		s.ChangedAt = now
		if c.Secret == nil || r.signsWith(*s, secret) {
			return nil
		}
		sealed, err := r.sealer.Seal([]byte(secret), []byte(s.ID.String()))
		if err != nil {
			return err
		}
		s.Secrets = rotate(s.Secrets, sealed, now, r.cfg.Overlap)
		return nil
	})
}

// signsWith reports whether a secret is the present one: a change that is asked for twice
// must not end the overlap of the secret before it.
func (r *Registry) signsWith(s webhook.Subscription, secret string) bool {
	if len(s.Secrets) == 0 {
		return false
	}
	plain, err := r.sealer.Open(s.Secrets[0].Sealed, []byte(s.ID.String()))
	return err == nil && string(plain) == secret
}

// rotate puts a new secret before the others. Of those only the present one goes on,
// for the overlap: two changes in a row leave two secrets, not three.
func rotate(old []webhook.SealedSecret, sealed []byte, now time.Time, overlap time.Duration) []webhook.SealedSecret {
	out := []webhook.SealedSecret{{Sealed: sealed}}
	for _, s := range old {
		if s.Until.IsZero() {
			out = append(out, webhook.SealedSecret{Sealed: s.Sealed, Until: now.Add(overlap)})
		}
	}
	return out
}

// Activate makes a paused or stale subscription active; what waits is delivered.
func (r *Registry) Activate(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error) {
	return r.change(ctx, partner, id, func(s *webhook.Subscription, now time.Time) error {
		if s.Status == webhook.Active {
			return errUnchanged
		}
		s.Status, s.ActivatedAt, s.StaledAt, s.StaleReason = webhook.Active, now, time.Time{}, ""
		return nil
	})
}

// Pause stops deliveries; events wait. A stale subscription stays stale.
func (r *Registry) Pause(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error) {
	return r.change(ctx, partner, id, func(s *webhook.Subscription, _ time.Time) error {
		if s.Status != webhook.Active {
			return errUnchanged
		}
		s.Status = webhook.Paused
		return nil
	})
}

// Delete ends a subscription. Nothing more is sent, not even what waits.
func (r *Registry) Delete(ctx context.Context, partner, id uuid.UUID) error {
	s, err := r.change(ctx, partner, id, func(s *webhook.Subscription, _ time.Time) error {
		s.Status, s.Secrets, s.Newer = webhook.Deleted, nil, nil // that may hold a secret, too
		return nil
	})
	if err != nil {
		return err
	}
	r.unclaim(ctx, s)
	return nil
}

// Stale gives an active subscription up, and reports whether it did: it does nothing to
// any other, nor to one that was changed since s was read and made healthy again.
func (r *Registry) Stale(ctx context.Context, s webhook.Subscription, reason string) (bool, error) {
	given := false
	_, err := r.change(ctx, s.PartnerID, s.ID, func(now *webhook.Subscription, at time.Time) error {
		given = now.Status == webhook.Active && now.ActivatedAt.Equal(s.ActivatedAt) && now.ChangedAt.Equal(s.ChangedAt)
		if !given {
			return errUnchanged
		}
		now.Status, now.StaledAt, now.StaleReason = webhook.Stale, at, reason
		return nil
	})
	if err != nil || !given {
		return false, err
	}
	r.log.WarnContext(ctx, "webhook given up; its events wait until it is activated",
		"webhook_id", s.ID, "partner_id", s.PartnerID, "reason", reason)
	return true, nil
}

// tombstone is how long a deleted subscription is remembered, so that every worker
// learns of it and lists can show it.
const tombstone = 14 * 24 * time.Hour

// Sweep forgets what was deleted long ago, and seals secrets anew that are under an
// older key.
func (r *Registry) Sweep(ctx context.Context) error {
	all := r.sweepMarkers(ctx)
	subs := r.All()
	many := r.surplus(subs)
	for _, s := range subs {
		switch {
		case s.Status == webhook.Deleted && (many[s.ID] || r.cfg.Now().Sub(s.UpdatedAt) > tombstone):
			all = errors.Join(all, r.kv.Purge(ctx, keyOf(s.ID), jetstream.LastRevision(s.Revision)))
		case s.Status != webhook.Deleted:
			all = errors.Join(all, r.reseal(ctx, s))
		}
	}
	return all
}

func (r *Registry) reseal(ctx context.Context, s webhook.Subscription) error {
	secrets, any := slices.Clone(s.Secrets), false
	for i := range secrets {
		value, changed, err := r.sealer.Reseal(secrets[i].Sealed, []byte(s.ID.String()))
		if err != nil {
			return fmt.Errorf("registry: secret of %s: %w", s.ID, err)
		}
		secrets[i].Sealed, any = value, any || changed
	}
	if !any {
		return nil
	}
	s.Secrets = secrets
	_, err := r.write(ctx, s)
	return err
}

// errUnchanged says that there is nothing to write.
var errUnchanged = errors.New("registry: unchanged")

// change reads the newest form, lets edit change it and writes it, again while other
// processes write at the same time.
func (r *Registry) change(ctx context.Context, partner, id uuid.UUID, edit func(s *webhook.Subscription, now time.Time) error) (webhook.Subscription, error) {
	done, err := r.turns.take(ctx, id)
	if err != nil {
		return webhook.Subscription{}, unavailable(err)
	}
	defer done()
	// Of those who write at one time one gets through; the others come apart by waiting.
	tries := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Millisecond),
		backoff.WithMaxInterval(100*time.Millisecond),
		backoff.WithMaxElapsedTime(changeFor),
	)
	s, err := backoff.RetryWithData(func() (webhook.Subscription, error) {
		s, err := r.changeOnce(ctx, partner, id, edit)
		if err != nil && !conflict(err) {
			return s, backoff.Permanent(err)
		}
		return s, err
	}, backoff.WithContext(tries, ctx))
	var known *operation.Error
	if err != nil && !errors.As(err, &known) {
		return s, unavailable(err)
	}
	return s, err
}

// changeFor bounds how long a change is tried on top of those of other processes.
const changeFor = 4 * time.Second

// changeOnce is one try of a change. What makes a subscription unique moves with it. The
// error is a conflict if somebody else wrote meanwhile.
func (r *Registry) changeOnce(ctx context.Context, partner, id uuid.UUID, edit func(s *webhook.Subscription, now time.Time) error) (webhook.Subscription, error) {
	s, err := r.fetch(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return s, notFound()
	case err != nil:
		return s, err
	case s.PartnerID != partner || s.Status == webhook.Deleted:
		return webhook.Subscription{}, notFound()
	}
	before, now := s, r.cfg.Now().UTC()
	switch err := edit(&s, now); {
	case errors.Is(err, errUnchanged):
		return s, nil
	case err != nil:
		return before, err
	}
	s.UpdatedAt = now
	moved := claimKey(s) != claimKey(before)
	if moved {
		if err := r.claim(ctx, s); err != nil {
			return before, err
		}
	}
	after, err := r.write(ctx, s)
	if err != nil && moved {
		after, err = r.written(ctx, s, err)
	}
	if err != nil {
		return webhook.Subscription{}, err
	}
	if moved {
		r.unclaim(ctx, before)
	}
	return after, nil
}

func conflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

const (
	mostURL   = 2083
	maskedURL = "is the masked form that reads show; send the whole URL, or leave it out"
)

func (r *Registry) faults(address *string, schedule *webhook.Schedule, secret string) []operation.Fault {
	var out []operation.Fault
	if address != nil {
		if why := r.badURL(*address); why != "" {
			out = append(out, operation.Fault{Path: "body.url", Message: why, Type: "url_parsing"})
		}
	}
	if schedule != nil && !schedule.Valid() {
		out = append(out, operation.Fault{Path: "body.schedule", Input: string(*schedule), Message: "must be short or long", Type: "enum"})
	}
	if n := utf8.RuneCountInString(secret); secret != "" && (n < webhook.MinSecret || n > webhook.MaxSecret) {
		out = append(out, operation.Fault{
			Path: "body.secret", Message: fmt.Sprintf("must have %d to %d characters", webhook.MinSecret, webhook.MaxSecret), Type: "string_length",
		})
	}
	return out
}

func (r *Registry) badURL(text string) string {
	if text == "" || len(text) > mostURL {
		return fmt.Sprintf("must have 1 to %d characters", mostURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return "must be a URL"
	}
	// In a query one would end the address in the request line: no send could arrive.
	if strings.Contains(text, " ") {
		return "must not hold a space; write it as %20"
	}
	if webhook.IsMasked(u) {
		return maskedURL
	}
	if err := r.checkURL(u); err != nil {
		var reasoned interface{ URLReason() string }
		if errors.As(err, &reasoned) {
			return reasoned.URLReason()
		}
		return "must be a URL that may be called"
	}
	return ""
}

func invalid(faults []operation.Fault) *operation.Error {
	return &operation.Error{Code: operation.CodeInvalid, Message: "the webhook is not valid", Faults: faults}
}
