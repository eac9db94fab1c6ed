package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// Offer is a free slot of a worker: an accept may hand its operation to it at once,
// over a channel of Redis. Its zero value is no offer.
type Offer struct {
	// Worker names the worker, and its channel.
	Worker string
	// Ticket is the worker's own and comes back to it with the operation.
	Ticket int64
}

// Offers tells how many slots a worker has free.
type Offers struct {
	Offer
	// Free slots. Zero: none any more.
	Free int
}

// HandedOver is an operation that an accept handed to a worker.
type HandedOver struct {
	Lease
	// Ticket is that of the offer.
	Ticket int64
	// For is how long the lease is.
	For time.Duration
}

// handedFields is how many a message to a worker has; see hand_over in lua/parts/accept.lua.
const handedFields = 9

func (s *Store) offersChannel() string { return s.cfg.Prefix + ":offers" }

func (s *Store) workerChannel(worker string) string { return s.cfg.Prefix + ":worker:" + worker }

// offerText is how the scripts get an offer.
func (s *Store) offerText(o Offer) string {
	if o == (Offer{}) {
		return ""
	}
	return s.workerChannel(o.Worker) + " " + strconv.FormatInt(o.Ticket, 10)
}

// Announce tells those that accept what a worker offers. Nothing keeps it: who does not
// listen now does not hear it.
func (s *Store) Announce(ctx context.Context, o Offers) error {
	return s.rdb.Publish(ctx, s.offersChannel(), fmt.Sprintf("%s %d %d", o.Worker, o.Ticket, o.Free)).Err()
}

// MayHandOver gives the error with which Redis refuses what handing over takes: publishing and
// listening on our channels. Nobody hears what it publishes.
func (s *Store) MayHandOver(ctx context.Context) error {
	channel := s.workerChannel("nobody")
	if err := s.rdb.PubSubNumSub(ctx, channel).Err(); err != nil {
		return err
	}
	if err := s.rdb.Publish(ctx, channel, "").Err(); err != nil {
		return err
	}
	sub := s.rdb.Subscribe(ctx, channel)
	defer func() { _ = sub.Close() }()
	_, err := sub.Receive(ctx)
	return err
}

// FollowOffers passes on what workers announce, until ctx ends.
func (s *Store) FollowOffers(ctx context.Context, pass func(Offers)) {
	s.listen(ctx, s.offersChannel(), func(message string) {
		var o Offers
		if n, err := fmt.Sscan(message, &o.Worker, &o.Ticket, &o.Free); n == 3 && err == nil {
			pass(o)
		}
	})
}

// Listen passes on the operations that are handed to a worker, until ctx ends, and then those
// that were handed to it before Redis knew of that. One that cannot be read has an error; of
// its lease there are the ids only. heard is called whenever something comes: what is handed to
// the worker reaches it.
func (s *Store) Listen(ctx context.Context, worker string, heard func(), pass func(HandedOver, error)) {
	s.listen(ctx, s.workerChannel(worker), func(message string) {
		heard()
		if message != echo {
			pass(readHanded(message))
		}
	})
}

// echo is what a worker sends itself, and stands for a subscription that has begun.
const echo = ""

// Echo lets a worker that listens hear something.
func (s *Store) Echo(ctx context.Context, worker string) error {
	return s.rdb.Publish(ctx, s.workerChannel(worker), echo).Err()
}

// unheard is how long the end of a subscription is waited for.
const unheard = time.Second

// listen passes on what comes over a channel, and an echo with each subscription; the client
// library connects again by itself.
func (s *Store) listen(ctx context.Context, channel string, pass func(message string)) {
	sub := s.rdb.Subscribe(ctx, channel)
	defer end(sub)
	lasting := context.WithoutCancel(ctx)
	in := sub.ChannelWithSubscriptions(redis.WithChannelSize(1024))
	ended := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case got, open := <-in:
			if !open {
				return
			}
			switch got := got.(type) {
			case *redis.Message:
				pass(got.Payload)
			case *redis.Subscription:
				if got.Kind == "unsubscribe" {
					return
				}
				pass(echo)
			}
		case <-ended:
			ended, late = nil, time.After(unheard)
			go func() { _ = sub.Unsubscribe(lasting, channel) }()
		case <-late:
			return
		}
	}
}

// end closes a subscription. While the client library connects to a server that hangs, that
// waits; then it is left to itself.
func end(sub *redis.PubSub) {
	closed := make(chan struct{})
	go func() { defer close(closed); _ = sub.Close() }()
	select {
	case <-closed:
	case <-time.After(unheard):
	}
}

func readHanded(message string) (HandedOver, error) {
	f := strings.SplitN(message, " ", handedFields)
	if len(f) < handedFields {
		return HandedOver{}, fmt.Errorf("redisstore: an operation was handed over in %d fields", len(f))
	}
	h := HandedOver{Ticket: number(f[0]), For: time.Duration(number(f[1])) * time.Millisecond}
	h.ConnectionID, _ = uuid.Parse(f[2])
	h.ID, _ = uuid.Parse(f[3])
	h.AttemptID, _ = uuid.Parse(f[4])
	a, err := decodeDoc(f[8])
	if err != nil {
		return h, fmt.Errorf("redisstore: lease of %s: %w", f[3], err)
	}
	h.Accepted, h.Number = a, 1
	h.Place = operation.Place{Seq: number(f[5]), Deadline: milli(number(f[6]))}
	h.Left = time.Duration(number(f[7])) * time.Millisecond
	return h, nil
}
