package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// Call is one call under way, as its lease knows it.
type Call struct {
	Operation, Attempt uuid.UUID
	Since              time.Time
	// Until is when the lease ends by itself.
	Until time.Time
}

// Lane is what the operations of one connection share. Times are zero where
// nothing waits.
type Lane struct {
	Connection uuid.UUID
	Shard      int
	// Now is the store's clock.
	Now time.Time
	// Oldest is when the outstanding operation with the earliest deadline was accepted.
	Oldest time.Time
	// Outstanding operations have not ended. Of them Ready are the first of their
	// user and not being called, ReadyNow those whose backoff is over, InFlight
	// those being called.
	Outstanding, Ready, ReadyNow, InFlight int
	// Calls are the first of those in flight.
	Calls []Call
	// Limits as the lane knows them; only InFlight, PerSecond and Burst are set.
	Limits Limits
	// Blocked is until when the provider asked not to be called.
	Blocked time.Time
	// BreakerUntil is set while the breaker is open: then one probe is let through.
	BreakerUntil time.Time
	// Failures counts network failures in a row.
	Failures int
	Paused   bool
	// Due is when somebody must look at the lane next.
	Due time.Time
	// Opens is from when on one more call may be handed out, for all reasons but
	// the want of a ready operation. Zero: no room, or paused.
	Opens time.Time
}

// laneCalls bounds the calls that Lane lists.
const laneCalls = 100

// Lane reads a connection's lane. Errors: ErrMissing when nothing was ever accepted
// for it, ErrStale while its shard has no data.
func (s *Store) Lane(ctx context.Context, connection uuid.UUID) (Lane, error) {
	shard := operation.ShardOf(connection)
	v, err := s.evaluate(ctx, laneScript, shard, connection.String(), laneCalls)
	switch {
	case err != nil:
		return Lane{}, err
	case text(v[0]) == "":
		return Lane{}, ErrStale
	case number(v[1]) == 0:
		return Lane{}, ErrMissing
	}
	n := func(i int) int { return int(number(v[i])) }
	l := Lane{
		Connection: connection, Shard: shard, Now: milli(number(v[2])),
		Outstanding: n(4), Ready: n(5), ReadyNow: n(6), InFlight: n(7),
		Limits:  Limits{InFlight: n(9), Burst: n(11)},
		Blocked: lifted(v[12]), BreakerUntil: lifted(v[13]), Failures: n(14), Paused: n(15) == 1,
		Due: lifted(v[16]),
	}
	if seq := number(v[3]); seq > 0 {
		l.Oldest = time.UnixMicro(seq).UTC()
	}
	if interval := number(v[10]); interval > 0 {
		l.Limits.PerSecond = float64(time.Second/time.Microsecond) / float64(interval)
	}
	if opens := number(v[17]); opens >= 0 {
		l.Opens = milli(max(opens, number(v[2])))
	}
	for _, one := range array(v[8]) {
		c, err := decodeCall(array(one))
		if err != nil {
			return l, err
		}
		l.Calls = append(l.Calls, c)
	}
	return l, nil
}

func decodeCall(v []any) (Call, error) {
	id, err := uuid.Parse(text(v[0]))
	if err != nil {
		return Call{}, fmt.Errorf("redisstore: lane: %w", err)
	}
	attempt, _ := uuid.Parse(text(v[1])) // nil: the record is gone, its lease will end
	return Call{Operation: id, Attempt: attempt, Since: time.UnixMicro(number(v[2])).UTC(), Until: milli(number(v[3]))}, nil
}

// Withdraw takes the generation of shards away, as a loss of their data would: they
// refuse everything until a worker or api has read them again from the streams,
// from the beginning. Nothing that Redis still has is lost.
func (s *Store) Withdraw(ctx context.Context, shards []int) error {
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, shard := range shards {
			p := s.prefix(shard)
			pipe.Eval(ctx, withdraw, []string{p + "gen", p + "beat"}, p+"mark:")
		}
		return nil
	})
	return err
}

// withdraw takes the marks of those that have a beat away as well: nobody knows them after.
const withdraw = `for _, process in ipairs(redis.call('HKEYS', KEYS[2])) do redis.call('DEL', ARGV[1] .. process) end
return redis.call('DEL', KEYS[1], KEYS[2])`
