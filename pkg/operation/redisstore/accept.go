package redisstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// ErrMismatch says that the idempotency key was used for another request.
var ErrMismatch = errors.New("redisstore: the idempotency key was used for another request")

// ErrLaneFull says that the connection has as many outstanding operations as it may.
var ErrLaneFull = errors.New("redisstore: the connection has too many outstanding operations")

// ErrOutboxFull says that too much has not reached the streams.
var ErrOutboxFull = errors.New("redisstore: too many operations wait to be published")

// ErrFull says that Redis's memory is full, and that nothing was accepted.
var ErrFull = errors.New("redisstore: the memory of Redis is full")

// ConflictError says that a sync operation found an earlier one outstanding.
type ConflictError struct{ Behind uuid.UUID }

// Error names the earlier operation.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("redisstore: operation %s of this user is outstanding", e.Behind)
}

// ErrPaused is for a call that cannot wait: an operator has paused the connection, and
// nobody knows for how long.
var ErrPaused = errors.New("redisstore: the connection is paused")

// LaterError says that the lane may not call now.
type LaterError struct{ Wait time.Duration }

// Error gives the wait.
func (e *LaterError) Error() string {
	return fmt.Sprintf("redisstore: the connection may not be called for %s", e.Wait)
}

// Receipt is what accepting gave.
type Receipt struct {
	operation.Place
	// Outstanding counts the connection's operations that have not ended.
	Outstanding int
	// Replay is the operation that the idempotency key already stands for. Nil:
	// this one was accepted.
	Replay uuid.UUID
	// Handed says that a worker has the operation already, by its offer.
	Handed bool
	Answer
}

// Accept stores the operation at the end of its mailbox and puts it into the
// outbox. Accepting an id again gives the same receipt. Errors: ErrStale,
// ErrMismatch, ErrLaneFull, ErrOutboxFull, ErrFull, and those of the connection to Redis,
// after which it is not known whether it was accepted.
func (s *Store) Accept(ctx context.Context, a operation.Accepted, l Limits) (Receipt, error) {
	return s.accept(ctx, acceptScript, a, l, slot{})
}

// AcceptNew is Accept for an id that was made for this call and is used for no other,
// not even after an error; what the client library sends twice is still accepted once.
func (s *Store) AcceptNew(ctx context.Context, a operation.Accepted, l Limits) (Receipt, error) {
	return s.accept(ctx, newScript, a, l, slot{})
}

// AcceptOffered is AcceptNew, and hands the operation over to the worker that made the offer, if
// that still listens and the operation may be called now: nothing of its lane waits.
func (s *Store) AcceptOffered(ctx context.Context, a operation.Accepted, l Limits, o Offer) (Receipt, error) {
	if o == (Offer{}) {
		return s.AcceptNew(ctx, a, l)
	}
	return s.accept(ctx, newScript, a, l, slot{attempt: uuid.Must(uuid.NewV7()).String(), offer: s.offerText(o)})
}

// AcceptSync is AcceptNew of a sync operation, with a lease for its one attempt. It adds
// the errors *ConflictError, ErrPaused and *LaterError.
func (s *Store) AcceptSync(ctx context.Context, a operation.Accepted, l Limits, attempt uuid.UUID) (Receipt, error) {
	return s.accept(ctx, newScript, a, l, slot{attempt: attempt.String()})
}

// slot is where the first attempt of an operation is made. Its zero value: nobody knows yet.
type slot struct {
	// attempt is its id.
	attempt string
	// offer is that of a worker. Empty: the caller makes the attempt.
	offer string
}

func (s *Store) accept(ctx context.Context, script *script, a operation.Accepted, l Limits, first slot) (Receipt, error) {
	asked := time.Now()
	r, err := s.run(ctx, script, operation.ShardOf(a.ConnectionID), s.acceptArgs(a, l, first)...)
	if err != nil {
		return s.unaccepted(ctx, a, err)
	}
	return receipt(r, asked)
}

// unaccepted finds out what an accept came to that a full memory refused: its key may stand for
// an operation, and the client library may have sent it before, with an answer that was lost.
// Any other error stays.
func (s *Store) unaccepted(ctx context.Context, a operation.Accepted, refused error) (Receipt, error) {
	if !isFull(refused) {
		return Receipt{}, refused
	}
	if a.Key != nil {
		switch id, err := s.Keyed(ctx, a.ConnectionID, *a.Key); {
		case err == nil:
			return Receipt{Replay: id}, nil
		case errors.Is(err, ErrMismatch):
			return Receipt{}, err
		case !errors.Is(err, ErrMissing):
			return Receipt{}, refused
		}
	}
	if have, _, err := s.Have(ctx, a.ConnectionID, a.ID); err != nil || have {
		return Receipt{}, refused
	}
	return Receipt{}, ErrFull
}

// acceptFields is how many arguments the scripts get of one operation.
const acceptFields = 12

func (s *Store) acceptArgs(a operation.Accepted, l Limits, first slot) []any {
	scope, fingerprint := keyBytes(a.Key)
	return []any{
		a.ID.String(), a.ID[:], a.ConnectionID.String(), UserOf(a), a.PartnerID.String(), encodeDoc(a), l.text(),
		words(l.Life.Milliseconds(), int64(cmp.Or(l.Outstanding, s.cfg.LaneBound)), int64(s.cfg.OutboxBound), s.LeaseFor(l).Milliseconds(),
			s.cfg.KeyTTL.Milliseconds(), int64(maxAttempts(a))),
		first.attempt, scope, fingerprint, first.offer,
	}
}

// receipt reads the answer about one operation.
func receipt(r reply, asked time.Time) (Receipt, error) {
	switch word := r.word(); {
	case word == "ok":
		return Receipt{
			Place:       operation.Place{Seq: number(r[1]), Deadline: milli(number(r[2]))},
			Outstanding: int(number(r[3])),
			Handed:      len(r) > 4 && number(r[4]) == 1,
			Answer:      Answer{asked},
		}, nil
	case word == "replay":
		id, err := uuid.FromBytes([]byte(text(r[1])))
		return Receipt{Replay: id}, err
	case word == "mismatch":
		return Receipt{}, ErrMismatch
	case word == "full" && text(r[1]) == "lane":
		return Receipt{}, ErrLaneFull
	case word == "full":
		return Receipt{}, ErrOutboxFull
	case word == "conflict":
		id, err := uuid.Parse(text(r[1]))
		if err != nil {
			return Receipt{}, err
		}
		return Receipt{}, &ConflictError{Behind: id}
	case word == "paused":
		return Receipt{}, ErrPaused
	case word == "later":
		return Receipt{}, &LaterError{Wait: time.Duration(number(r[1])) * time.Millisecond}
	default:
		return Receipt{}, fmt.Errorf("redisstore: accept answered %q", word)
	}
}

// Keyed gives the operation of the connection that an idempotency key stands for. Errors:
// ErrMissing if there is none, ErrMismatch, ErrStale, and those of the connection to Redis.
func (s *Store) Keyed(ctx context.Context, connection uuid.UUID, k operation.Key) (uuid.UUID, error) {
	scope, fingerprint := keyBytes(&k)
	r, err := s.run(ctx, keyedScript, operation.ShardOf(connection), scope, fingerprint, s.cfg.KeyTTL.Milliseconds())
	if err != nil {
		return uuid.Nil, err
	}
	if r.word() == "missing" {
		return uuid.Nil, ErrMissing
	}
	receipt, err := receipt(r, time.Time{})
	return receipt.Replay, err
}

// UserOf names the mailbox: the user, or while a create has no user yet the
// operation itself, or the first one that it retries.
func UserOf(a operation.Accepted) string {
	if a.ResourceID == uuid.Nil {
		return a.Reference().String()
	}
	return a.ResourceID.String()
}

// keyBytes shortens an idempotency key and its fingerprint to what Redis keeps of
// them: 128 bits each. Empty: there is no key.
func keyBytes(k *operation.Key) (scope, fingerprint string) {
	if k == nil {
		return "", ""
	}
	s, f := sha256.Sum256([]byte(k.Scope)), sha256.Sum256([]byte(k.Fingerprint))
	return string(s[:16]), string(f[:16])
}

func maxAttempts(a operation.Accepted) int {
	if a.MaxAttempts > 0 {
		return a.MaxAttempts
	}
	return operation.DefaultMaxAttempts
}
