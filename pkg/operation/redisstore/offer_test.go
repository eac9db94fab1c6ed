package redisstore_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// listen gives what is handed to a worker, which listens until the returned stop is called.
func (f *fixture) listen(worker string) (handed <-chan redisstore.HandedOver, stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	got, ended := make(chan redisstore.HandedOver, 100), make(chan struct{})
	go func() {
		defer close(ended)
		f.store.Listen(ctx, worker, func() {}, func(h redisstore.HandedOver, err error) {
			if err != nil {
				f.t.Errorf("handed over: %v", err)
			}
			got <- h
		})
	}()
	channel := "wb:worker:" + worker
	require.Eventually(f.t, func() bool {
		n, err := f.rdb.PubSubNumSub(f.t.Context(), channel).Result()
		return err == nil && n[channel] == 1
	}, 10*time.Second, time.Millisecond)
	return got, func() { cancel(); <-ended }
}

func (f *fixture) acceptOffered(a operation.Accepted, worker string) redisstore.Receipt {
	f.t.Helper()
	r, err := f.store.AcceptOffered(f.t.Context(), a, f.limits, redisstore.Offer{Worker: worker, Ticket: 77})
	require.NoError(f.t, err)
	return r
}

func TestAcceptOffered_HandsOver(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		handed, _ := f.listen("w")
		a := f.accepted(uuid.New())
		a.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		r := f.acceptOffered(a, "w")
		require.True(t, r.Handed)
		h := <-handed
		require.Equal(t, a, h.Accepted, "all of it, its trace too")
		require.Equal(t, r.Place, h.Place)
		require.EqualValues(t, 77, h.Ticket)
		require.Equal(t, 1, h.Number)
		require.Equal(t, f.store.LeaseFor(f.limits), h.For)
		require.Equal(t, time.Hour, h.Left)
		require.Empty(t, f.next(4).Leases, "nobody else gets it")
		at, due := f.due()
		require.True(t, due)
		require.WithinDuration(t, time.Now().Add(h.For), at, 5*time.Second, "somebody looks when the lease ends")

		rec := f.record(h.Lease, succeed)
		require.Equal(t, operation.Succeeded, rec.Operation.Status)
		require.Len(t, rec.Operation.Attempts, 1)
		require.Equal(t, h.AttemptID, rec.Operation.Attempts[0].ID)
	})
}

// TestAcceptOffered_Waits: what may not be called now, or would overtake what waits, goes the
// ordinary way, whoever offers a slot.
func TestAcceptOffered_Waits(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(f *fixture, a operation.Accepted){
		"behind its user's earlier one": func(f *fixture, a operation.Accepted) { f.accept(f.accepted(a.ResourceID)) },
		"behind one that is being called": func(f *fixture, a operation.Accepted) {
			f.accept(f.accepted(a.ResourceID))
			require.Len(f.t, f.next(1).Leases, 1)
		},
		"behind others of its lane": func(f *fixture, _ operation.Accepted) { f.accept(f.accepted(uuid.New())) },
		"paused": func(f *fixture, _ operation.Accepted) {
			require.NoError(f.t, f.store.Pause(f.t.Context(), f.conn, true))
		},
		"blocked by the provider": func(f *fixture, _ operation.Accepted) {
			f.accept(f.accepted(uuid.New()))
			o := f.outcome(f.next(1).Leases[0], succeed)
			o.Decision.Block = time.Hour
			_, err := f.store.Record(f.t.Context(), o)
			require.NoError(f.t, err)
		},
		"no room in flight": func(f *fixture, _ operation.Accepted) {
			f.limits.InFlight = 1
			f.accept(f.accepted(uuid.New()))
			require.Len(f.t, f.next(1).Leases, 1)
		},
		"over the rate": func(f *fixture, _ operation.Accepted) {
			f.limits.PerSecond, f.limits.Burst = 0.01, 1
			f.accept(f.accepted(uuid.New()))
			require.Len(f.t, f.next(1).Leases, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
				handed, stop := f.listen("w")
				a := f.accepted(uuid.New())
				before(f, a)
				require.False(t, f.acceptOffered(a, "w").Handed)
				require.Equal(t, operation.Pending, f.get(a.ID).Status)
				stop()
				require.Empty(t, handed)
			})
		})
	}
}

// A worker that is gone is given nothing; the operation waits for whoever looks at its lane.
func TestAcceptOffered_ToNobody(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		_, stop := f.listen("w")
		stop()
		for _, worker := range []string{"w", "never"} {
			a := f.accepted(uuid.New())
			require.False(t, f.acceptOffered(a, worker).Handed)
			h := f.next(1)
			require.Len(t, h.Leases, 1)
			require.Equal(t, a.ID, h.Leases[0].ID)
		}
		a := f.accepted(uuid.New())
		r, err := f.store.AcceptOffered(t.Context(), a, f.limits, redisstore.Offer{})
		require.NoError(t, err)
		require.False(t, r.Handed, "there is no offer")
		require.False(t, f.get(a.ID).Sync)
		require.Len(t, f.next(1).Leases, 1)
	})
}

// What the client library sends twice is handed over once.
func TestAcceptOffered_SentTwiceIsOnce(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.accept(f.accepted(uuid.New())) // the process has been answered
		f.record(f.next(1).Leases[0], succeed)
		handed, stop := f.listen("w")
		f.rdb.AddHook(resender{})
		f.acceptOffered(f.accepted(uuid.New()), "w")
		stop()
		require.Len(t, handed, 1)
	})
}

// An account that may not use the channels accepts all the same.
func TestAcceptOffered_WithoutChannels(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]string{
		"no channels":  {"on", "nopass", "~*", "resetchannels", "+@all"},
		"no PUBSUB":    {"on", "nopass", "~*", "&*", "+@all", "-pubsub"},
		"no PUBLISH":   {"on", "nopass", "~*", "&*", "+@all", "-publish"},
		"all allowed":  {"on", "nopass", "~*", "&*", "+@all"},
		"its own only": {"on", "nopass", "~wb:*", "&wb:*", "+@all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, testenv.Redis(t), redisstore.Config{})
			handed, stop := f.listen("w")
			args := []any{"ACL", "SETUSER", "partly"}
			for _, r := range rules {
				args = append(args, r)
			}
			require.NoError(t, f.rdb.Do(t.Context(), args...).Err())
			opt := *f.rdb.Options()
			opt.Username, opt.Password = "partly", "x"
			partly := redis.NewClient(&opt)
			t.Cleanup(func() { _ = partly.Close() })
			store := redisstore.New(partly, redisstore.Config{})
			a := f.accepted(uuid.New())
			r, err := store.AcceptOffered(t.Context(), a, f.limits, redisstore.Offer{Worker: "w", Ticket: 1})
			require.NoError(t, err)
			stop()
			allowed := name == "all allowed" || name == "its own only"
			require.Equal(t, allowed, r.Handed)
			if allowed {
				require.Len(t, handed, 1)
				return
			}
			require.Empty(t, handed)
			require.Len(t, f.next(1).Leases, 1)
		})
	}
}

func TestOffers_AreHeard(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		heard, ended := make(chan redisstore.Offers, 100), make(chan struct{})
		go func() {
			defer close(ended)
			f.store.FollowOffers(ctx, func(o redisstore.Offers) { heard <- o })
		}()
		want := redisstore.Offers{Offer: redisstore.Offer{Worker: "w", Ticket: 12}, Free: 3}
		require.Eventually(t, func() bool {
			require.NoError(t, f.rdb.Publish(t.Context(), "wb:offers", "nonsense").Err())
			require.NoError(t, f.store.Announce(t.Context(), want))
			return len(heard) > 0
		}, 10*time.Second, 10*time.Millisecond)
		require.Equal(t, want, <-heard)
		cancel()
		<-ended
	})
}

// hanging is a server that breaks its connections when it begins to hang, and takes new ones.
type hanging struct {
	mu    sync.Mutex
	hangs bool
	conns []net.Conn
}

func (h *hanging) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hangs {
		c, silent := net.Pipe()
		h.conns = append(h.conns, c, silent)
		return c, nil
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		h.conns = append(h.conns, c)
	}
	return c, err
}

func (h *hanging) hang(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hangs = on
	for _, c := range h.conns {
		_ = c.Close()
	}
	h.conns = nil
}

// A listener hears that its subscription stands, and what it sends itself; neither is an operation.
func TestListen_HearsItself(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		heard, ended := make(chan struct{}, 10), make(chan struct{})
		go func() {
			defer close(ended)
			f.store.Listen(ctx, "w", func() { heard <- struct{}{} }, func(h redisstore.HandedOver, err error) {
				t.Errorf("handed over: %v %v", h, err)
			})
		}()
		<-heard
		require.NoError(t, f.store.Echo(t.Context(), "w"))
		<-heard
		cancel()
		<-ended
		require.Empty(t, heard)
	})
}

// A program that stops while Redis hangs does not wait until the client library has seen that.
func TestListen_EndsThoughRedisHangs(t *testing.T) {
	t.Parallel()
	opt, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	var h hanging
	opt.Dialer, opt.ReadTimeout, opt.WriteTimeout = h.dial, time.Minute, time.Minute
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	f := newFixture(t, testenv.Redis(t), redisstore.Config{})
	f.rdb, f.store = rdb, redisstore.New(rdb, redisstore.Config{})
	_, stop := f.listen("w")
	h.hang(true)
	defer h.hang(false) // or what connects would wait on
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		require.Fail(t, "it waits for Redis")
	}
}
