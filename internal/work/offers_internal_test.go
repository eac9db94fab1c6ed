package work

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation/redisstore"
)

func said(worker string, ticket int64, free int) redisstore.Offers {
	return redisstore.Offers{Offer: redisstore.Offer{Worker: worker, Ticket: ticket}, Free: free}
}

func TestOffers_GoesToWhoHasMost(t *testing.T) {
	o := newOffers()
	require.Zero(t, o.take(), "nobody has offered anything")
	o.heard(said("a", 1, 1))
	o.heard(said("b", 2, 3))
	for range 2 {
		require.Equal(t, "b", o.take().Worker)
	}
	got := map[string]int{}
	for range 2 { // both have one
		got[o.take().Worker]++
	}
	require.Equal(t, map[string]int{"a": 1, "b": 1}, got)
	require.Zero(t, o.take(), "all are taken")
}

func TestOffers_TheNewOneCounts(t *testing.T) {
	o := newOffers()
	o.heard(said("a", 1, 1))
	old := o.take()
	o.heard(said("a", 2, 1))
	o.back(old)
	require.Equal(t, redisstore.Offer{Worker: "a", Ticket: 2}, o.take())
	require.Zero(t, o.take(), "a slot of an older offer does not come back")

	o.heard(said("a", 3, 2))
	o.back(o.take())
	o.take()
	require.Equal(t, redisstore.Offer{Worker: "a", Ticket: 3}, o.take(), "one that was not used does")

	o.heard(said("a", 4, 5))
	o.heard(said("a", 5, 0))
	require.Zero(t, o.take(), "the worker has taken it back")
}

func TestOffers_DoNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffers()
		o.heard(said("a", 1, 5))
		time.Sleep(offerLasts)
		require.Equal(t, "a", o.take().Worker)
		time.Sleep(time.Nanosecond)
		require.Zero(t, o.take(), "a worker that is silent may be gone")
		require.Empty(t, o.workers)
	})
}

// However many accept at once, no slot is taken twice.
func TestOffers_EachSlotOnce(t *testing.T) {
	o := newOffers()
	o.heard(said("a", 1, 50))
	var mu sync.Mutex
	taken := 0
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if o.take() != (redisstore.Offer{}) {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Equal(t, 50, taken)
}
