package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Lease is the right to make one call for one operation. It ends by itself and is
// never extended.
type Lease struct {
	operation.Accepted
	operation.Place
	// AttemptID is the fence, and the id of the log row.
	AttemptID uuid.UUID
	// Number of this attempt, from 1.
	Number int
	// Left is the time until the operation's deadline, at the hand-out.
	Left time.Duration
	// Refused is the mark of the credentials for which the last attempt was refused. Empty:
	// it was not.
	Refused string
	// Repeat says that an earlier call's outcome is unknown.
	Repeat bool
	// Handed is when its holder asked for it, from which the start window runs. The
	// holder sets it. Zero: no window.
	Handed time.Time
}

// Unreadable is a lease that was handed out of an operation whose record cannot be read:
// nobody can make its call. Whoever asked for it gives it back.
type Unreadable struct {
	// Lease has the ids only.
	Lease Lease
	Err   error
}

// Handout is what one look at a lane gave.
type Handout struct {
	Leases []Lease
	// Unreadable are those that no call can be made of.
	Unreadable []Unreadable
	// More says that the lane has work that is due now.
	More bool
	// Healed, Expired and Ended count repairs: records put back from a message,
	// leases that ran out, operations ended by deadline or mark.
	Healed, Expired, Ended int
}

// repairs bounds the expired leases and deadlines that one look handles; what is
// left keeps the lane due.
const repairs = 16

// Next looks at a lane: it ends what ran out and hands out ready heads, at most
// one per attempt id. A caller uses an id once; that the client library may send it twice
// changes nothing.
// accepted may be nil; if it is not and its record is gone, it is put back first.
func (s *Store) Next(ctx context.Context, connection uuid.UUID, l Limits, attempts []uuid.UUID, accepted *operation.Message) (Handout, error) {
	return s.next(ctx, connection, l, attempts, accepted, "")
}

// PutBack puts back the record of an operation that Redis has lost, for whoever holds its
// lease and may be all that knows it: nobody else is given it before the outcome is recorded,
// or the lease has ended. Its message is published with the outcome, or by the outbox. It
// gives how many were put back: none if there is one.
func (s *Store) PutBack(ctx context.Context, lease Lease, l Limits) (healed int, err error) {
	h, err := s.next(ctx, lease.ConnectionID, l, nil, &operation.Message{Accepted: lease.Accepted, Place: lease.Place}, lease.AttemptID.String())
	return h.Healed, err
}

func (s *Store) next(ctx context.Context, connection uuid.UUID, l Limits, attempts []uuid.UUID, accepted *operation.Message, made string) (Handout, error) {
	args := make([]any, 0, 21+len(attempts))
	args = append(args, connection.String(), l.text(), words(s.LeaseFor(l).Milliseconds(), s.cfg.BreakerOpen.Milliseconds(), repairs),
		spareID(), len(attempts))
	for _, id := range attempts {
		args = append(args, id.String())
	}
	if accepted != nil {
		args = append(args, accepted.ID.String(), accepted.ID[:], UserOf(accepted.Accepted), accepted.PartnerID.String(), encodeDoc(accepted.Accepted),
			accepted.Seq, accepted.Deadline.UnixMilli(), maxAttempts(accepted.Accepted))
		args = append(append(args, s.keyArgs(accepted.Accepted)...), made)
	}
	r, err := s.run(ctx, nextScript, operation.ShardOf(connection), args...)
	if err != nil {
		return Handout{}, err
	}
	h := Handout{More: number(r[1]) == 1, Healed: int(number(r[2])), Expired: int(number(r[3])), Ended: int(number(r[4]))}
	h.Leases, h.Unreadable = decodeLeases(connection, array(r[5]))
	return h, nil
}

// Have asks whether there is a record of an operation, which a message says to have been
// accepted: then a look at its lane would put nothing back. due says that somebody must
// look at the lane now. Errors: ErrStale, and those of the connection to Redis.
func (s *Store) Have(ctx context.Context, connection, id uuid.UUID) (have, due bool, err error) {
	r, err := s.run(ctx, haveScript, operation.ShardOf(connection), connection.String(), id.String(), id[:])
	if err != nil {
		return false, false, err
	}
	return number(r[1]) == 1, number(r[2]) == 1, nil
}

// keyArgs are the idempotency key and its life, for a record that is put back.
func (s *Store) keyArgs(a operation.Accepted) []any {
	scope, fingerprint := keyBytes(a.Key)
	return []any{scope, fingerprint, s.cfg.KeyTTL.Milliseconds()}
}

// decodeLeases reads what a lane handed out. One that cannot be read stops no other.
func decodeLeases(connection uuid.UUID, v []any) (leases []Lease, unreadable []Unreadable) {
	if len(v) == 0 {
		return nil, nil
	}
	leases = make([]Lease, 0, len(v))
	for _, one := range v {
		lease, err := decodeLease(array(one))
		if err != nil {
			unreadable = append(unreadable, Unreadable{unread(connection, array(one)), err})
			continue
		}
		leases = append(leases, lease)
	}
	return leases, unreadable
}

// unread names the lease of an operation whose record cannot be read.
func unread(connection uuid.UUID, v []any) Lease {
	var l Lease
	l.ConnectionID = connection
	l.ID, _ = uuid.Parse(text(v[0]))
	l.AttemptID, _ = uuid.Parse(text(v[1]))
	return l
}

func decodeLease(v []any) (Lease, error) {
	a, err := decodeDoc(text(v[2]))
	l := Lease{Accepted: a}
	if err != nil {
		return l, fmt.Errorf("redisstore: lease of %s: %w", text(v[0]), err)
	}
	id, err := uuid.Parse(text(v[1]))
	if err != nil {
		return l, fmt.Errorf("redisstore: lease of %s: %w", text(v[0]), err)
	}
	l.AttemptID = id
	l.Seq = number(v[3])
	l.Deadline = milli(number(v[4]))
	l.Left = time.Duration(number(v[5])) * time.Millisecond
	l.Number = int(number(v[6])) + 1
	l.Refused = text(v[7])
	l.Repeat = text(v[8]) == "1"
	return l, nil
}

// Spend takes a call from a connection's rate for a read that belongs to no
// operation. It gives how long to wait before trying again; zero: the call may be
// made now. In flight it is not counted. ErrPaused if the connection is paused.
func (s *Store) Spend(ctx context.Context, connection uuid.UUID, l Limits) (time.Duration, error) {
	r, err := s.run(ctx, spendScript, operation.ShardOf(connection), connection.String(), l.text())
	if err != nil {
		return 0, err
	}
	if r.word() == "paused" {
		return 0, ErrPaused
	}
	return time.Duration(number(r[1])) * time.Millisecond, nil
}

// Release gives a lease back whose call was not made; it is ready again after the
// pause. It writes no row and costs no attempt. A lease that has already ended is
// left as it is.
func (s *Store) Release(ctx context.Context, lease Lease, pause time.Duration) error {
	_, err := s.run(ctx, releaseScript, operation.ShardOf(lease.ConnectionID),
		lease.ConnectionID.String(), lease.ID.String(), lease.AttemptID.String(), spareID(), pause.Milliseconds())
	return err
}
