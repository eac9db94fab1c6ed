package redisstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// LaneCounts are summed over the lanes that were read.
type LaneCounts struct {
	// Outstanding operations have not ended; InFlight ones of them hold a lease.
	Outstanding, InFlight int
	// Blocked lanes wait because a provider asked, Open ones because of their
	// breaker, Paused ones because an operator said so.
	Blocked, Open, Paused int
	// Delayed operations wait for their backoff, RateLimited ones for the lane's rate
	// or its room, Held ones for the provider, the breaker or an operator, and Behind
	// ones for an earlier operation of their user.
	Delayed, RateLimited, Held, Behind int
}

// LaneSample is what one lane that was read may call.
type LaneSample struct {
	Connection uuid.UUID
	// Left is how many calls the rate allows at once. Negative: there is no rate.
	Left int
	// Wait is for how long rate, Retry-After or breaker hold it. Zero: they do not,
	// or nothing waits.
	Wait time.Duration
	Open bool
}

// Shard is how full one shard is.
type Shard struct {
	Number int
	// Err says why the shard could not be asked: nothing else is known of it then.
	Err error
	// Generation is empty while the shard has no data.
	Generation string
	// Rebuilding: a process holds the right to fill the shard.
	Rebuilding bool
	// History: the older history is not back yet.
	History bool
	// Beat is the time since a worker or api last polled the shard. Negative: none did.
	Beat time.Duration
	// Lanes have outstanding operations; LanesDue of them are to be looked at now,
	// the first of them for DueAge.
	Lanes, LanesDue int
	DueAge          time.Duration
	// Outbox counts the operations of which something is not known to be in a
	// stream. OutboxAge is for how long the one overdue for longest has been so, of the
	// four that are to be published next, however often that was tried.
	Outbox    int
	OutboxAge time.Duration
	// Ready operations could be called now: room, rate, breaker and waits of their
	// lanes would let them. It is summed over DueRead of the lanes that are due.
	Ready, DueRead int
	// LaneCounts is summed over Read of the lanes.
	LaneCounts
	Read int
	// Oldest is the age of the oldest operation that has not ended, of the lanes read.
	// The first of each lane is the one whose deadline is the first.
	Oldest time.Duration
	// Sampled are the lanes read.
	Sampled []LaneSample
}

// Shards reads how full every shard is. Of a shard's lanes it reads
// at most the given number: the longest due, and a random choice of all. An error is as
// that of Poll: all shards are given beside it, and Err says which could not be asked.
func (s *Store) Shards(ctx context.Context, lanes int) ([]Shard, error) {
	calls := make([]*call, operation.Shards)
	for shard := range calls {
		calls[shard] = s.newCall(depthScript, shard, max(lanes, 1))
	}
	s.performEach(ctx, calls...)
	out := make([]Shard, len(calls))
	for shard, c := range calls {
		if c.err != nil {
			out[shard] = Shard{Number: shard, Err: c.err, Beat: -1}
			continue
		}
		out[shard] = decodeShard(shard, c.answer)
	}
	return out, failed(calls)
}

func decodeShard(shard int, v []any) Shard {
	n := func(i int) int { return int(number(v[i])) }
	ms := func(i int) time.Duration { return time.Duration(number(v[i])) * time.Millisecond }
	return Shard{
		Number: shard, Generation: text(v[0]), Rebuilding: n(1) == 1, History: n(2) == 1, Beat: ms(3),
		LanesDue: n(4), Lanes: n(5), DueAge: ms(6), Outbox: n(7), OutboxAge: ms(8),
		DueRead: n(9), Ready: n(10), Read: n(11),
		LaneCounts: LaneCounts{
			Outstanding: n(12), InFlight: n(13), Blocked: n(14), Open: n(15), Paused: n(16),
			Delayed: n(17), RateLimited: n(18), Held: n(19), Behind: n(20),
		},
		Oldest: time.Duration(number(v[21])) * time.Microsecond, Sampled: decodeLanes(array(v[22])),
	}
}

func decodeLanes(v []any) []LaneSample {
	out := make([]LaneSample, 0, len(v))
	for _, one := range v {
		lane := array(one)
		id, err := uuid.Parse(text(lane[0]))
		if err != nil {
			continue
		}
		out = append(out, LaneSample{
			Connection: id, Left: int(number(lane[1])), Wait: time.Duration(number(lane[2])) * time.Millisecond, Open: number(lane[3]) == 1,
		})
	}
	return out
}

// Depth is how full the store is.
type Depth struct {
	// Missing shards have no data and refuse everything; Unfinished ones lack their
	// older history. Rebuilding ones are being filled.
	Missing, Unfinished, Rebuilding int
	Lanes, LanesDue                 int
	DueAge                          time.Duration
	Outbox                          int
	OutboxAge                       time.Duration
	// Beat is the time since the shard with data that was not polled for longest was. Zero:
	// none ever was.
	Beat  time.Duration
	Ready int
	LaneCounts
	// Read is how many lanes were read. While it is less than Lanes, Ready and the
	// LaneCounts are estimates: what was counted, times what was not.
	Read int
	// Oldest and Sampled are of the lanes read.
	Oldest  time.Duration
	Sampled []LaneSample
}

// DepthOf sums up the shards that could be asked.
func DepthOf(shards []Shard) Depth {
	var d Depth
	for _, s := range shards {
		if s.Err != nil {
			continue
		}
		if s.Generation == "" {
			d.Missing++
		} else if s.History {
			d.Unfinished++
		}
		if s.Rebuilding {
			d.Rebuilding++
		}
		if s.Generation != "" {
			d.Beat = max(d.Beat, s.Beat)
		}
		d.Lanes += s.Lanes
		d.LanesDue += s.LanesDue
		d.Outbox += s.Outbox
		d.DueAge, d.OutboxAge = max(d.DueAge, s.DueAge), max(d.OutboxAge, s.OutboxAge)
		d.Read += s.Read
		d.Ready += scaled(s.Ready, s.LanesDue, s.DueRead)
		d.Outstanding += scaled(s.Outstanding, s.Lanes, s.Read)
		d.InFlight += scaled(s.InFlight, s.Lanes, s.Read)
		d.Blocked += scaled(s.Blocked, s.Lanes, s.Read)
		d.Open += scaled(s.Open, s.Lanes, s.Read)
		d.Paused += scaled(s.Paused, s.Lanes, s.Read)
		d.Delayed += scaled(s.Delayed, s.Lanes, s.Read)
		d.RateLimited += scaled(s.RateLimited, s.Lanes, s.Read)
		d.Held += scaled(s.Held, s.Lanes, s.Read)
		d.Behind += scaled(s.Behind, s.Lanes, s.Read)
		d.Oldest, d.Sampled = max(d.Oldest, s.Oldest), append(d.Sampled, s.Sampled...)
	}
	return d
}

// scaled estimates a count over all lanes by that over those read.
func scaled(n, all, read int) int {
	if read == 0 || all <= read {
		return n
	}
	return n * all / read
}
