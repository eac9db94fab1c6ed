package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/egress"
	"writeback/internal/seal"
	"writeback/internal/testenv"
	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// held is a registry of a process that has read the bucket and does not follow it
// until the test says so.
func (r rig) held(t *testing.T) (other *Registry, follow func()) {
	t.Helper()
	nc, err := nats.Connect(r.url, testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	s, err := seal.New(r.keyset)
	require.NoError(t, err)
	other, err = Open(t.Context(), js, s, egress.New(egress.Config{}).CheckURL, Config{Now: r.clock.now})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var once sync.Once
	follow = func() { once.Do(func() { go func() { done <- other.Run(ctx, nil) }() }) }
	t.Cleanup(func() { cancel(); follow(); require.NoError(t, <-done) })
	return other, follow
}

// TestCurrent_WaitsForWhatWasMadeBefore has a process that is behind: it says so
// until it has caught up, and then knows what was made.
func TestCurrent_WaitsForWhatWasMadeBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, follow := r.held(t)
	require.NoError(t, other.Current(t.Context()), "nothing has happened since it read the bucket")
	c := r.create(t, webhook.New{URL: "https://example.com/hook"})

	brief, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, other.Current(brief), context.DeadlineExceeded)
	require.Empty(t, other.Matching(partner, webhook.EventFailed))

	caught := make(chan []webhook.Subscription, 1)
	go func() {
		if err := other.Current(t.Context()); err != nil {
			t.Errorf("current: %v", err)
		}
		caught <- other.Matching(partner, webhook.EventFailed)
	}()
	follow()
	got := <-caught
	require.Len(t, got, 1)
	require.Equal(t, c.ID, got[0].ID)
}

// TestCurrent_WithoutTheNewestEntry has the bucket's newest entry removed, as a sweep
// does: a process that starts then must not wait for it for ever.
func TestCurrent_WithoutTheNewestEntry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.create(t, webhook.New{URL: "https://example.com/hook"})
	require.NoError(t, r.Delete(t.Context(), partner, c.ID))
	require.NoError(t, r.Current(t.Context()), "a sweep takes only what is old")
	stream, err := r.js.Stream(t.Context(), "KV_"+Bucket)
	require.NoError(t, err)
	last, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject(last.Subject)))
	require.NoError(t, r.Current(t.Context()))
	other, follow := r.held(t)
	require.NoError(t, other.Current(t.Context()))
	follow()
	require.NoError(t, other.Current(t.Context()))
}

// TestFollow_MissedTheEnd has a process that was away while a subscription was deleted
// and all that said so was swept away: it must send nothing more to its endpoint.
func TestFollow_MissedTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone, kept := r.create(t, webhook.New{URL: "https://example.com/gone"}), r.create(t, webhook.New{URL: "https://example.com/kept"})
	other, follow := r.held(t)
	require.Len(t, other.Matching(partner, webhook.EventFailed), 2)
	require.NoError(t, r.Delete(t.Context(), partner, gone.ID))
	require.NoError(t, r.Current(t.Context()))
	r.clock.pass(15 * 24 * time.Hour)
	require.NoError(t, r.Sweep(t.Context()))
	require.NoError(t, r.Current(t.Context()))
	r.clock.pass(2 * time.Hour)
	require.NoError(t, r.Sweep(t.Context()))
	follow()
	require.NoError(t, other.Current(t.Context()))
	require.Equal(t, []webhook.Subscription{kept.Subscription}, other.Matching(partner, webhook.EventFailed))
	_, found, err := other.Find(t.Context(), gone.ID)
	require.NoError(t, err)
	require.False(t, found)
}

// TestFollow_PutsBackWhatTheBucketLost: what a process remembers is delivered, so its partner
// must be able to stop it, and a program that starts must know of it.
func TestFollow_PutsBackWhatTheBucketLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	kept, gone := r.create(t, webhook.New{URL: "https://example.com/kept"}), r.create(t, webhook.New{URL: "https://example.com/gone"})
	require.NoError(t, r.Delete(t.Context(), partner, gone.ID))
	other, follow := r.held(t)
	require.NoError(t, r.js.DeleteStream(t.Context(), "KV_"+Bucket))
	follow()
	require.Eventually(t, func() bool {
		_, err := other.kv.Get(t.Context(), claimKey(kept.Subscription))
		return err == nil
	}, 30*time.Second, time.Millisecond)
	require.NoError(t, other.Current(t.Context()))
	_, err := other.kv.Get(t.Context(), claimKey(gone.Subscription))
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound, "nobody would ever give it back")
	started := process(t, r.url, r.keyset, r.clock)
	got, found, err := started.Find(t.Context(), kept.ID)
	require.NoError(t, err)
	require.True(t, found)
	secrets, err := started.Secrets(got, r.clock.now())
	require.NoError(t, err)
	require.Equal(t, []string{kept.Secret}, secrets)
	_, err = started.Create(t.Context(), partner, webhook.New{URL: "https://example.com/kept", EventName: webhook.EventFailed})
	require.Equal(t, operation.CodeConflict, code(t, err))
	_, err = started.Get(t.Context(), partner, gone.ID)
	require.Equal(t, operation.CodeNotFound, code(t, err), "what was deleted stays so")
	require.NoError(t, started.Delete(t.Context(), partner, kept.ID))
}

// TestFollow_AnotherBucketThatIsAsLong: a process that was cut off while the bucket was lost
// and filled again must hear of what was changed since, under whatever revision.
func TestFollow_AnotherBucketThatIsAsLong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.create(t, webhook.New{URL: "https://example.com/hook"})
	for range 4 {
		_, err := r.Pause(t.Context(), partner, c.ID)
		require.NoError(t, err)
		_, err = r.Activate(t.Context(), partner, c.ID)
		require.NoError(t, err)
	}
	other, follow := r.held(t)
	first, fill := r.held(t)
	require.NoError(t, r.js.DeleteStream(t.Context(), "KV_"+Bucket))
	fill()
	require.Eventually(t, func() bool {
		_, err := first.Pause(t.Context(), partner, c.ID)
		return err == nil
	}, 30*time.Second, time.Millisecond)
	for i := range 10 {
		_, err := first.Create(t.Context(), partner, webhook.New{URL: fmt.Sprintf("https://example.com/%d", i), EventName: webhook.EventFailed})
		require.NoError(t, err)
	}
	follow()
	require.NoError(t, other.Current(t.Context()))
	got, found, err := other.Find(t.Context(), c.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, webhook.Paused, got.Status)
}

// TestQuestion_IsPutAfterTheCall asks while a question is under way: that one's
// answer may be too old. Those who wait for the next one share it.
func TestQuestion_IsPutAfterTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQuestion()
		var puts atomic.Uint64
		release := make(chan struct{})
		put := func(context.Context) (uint64, error) {
			n := puts.Add(1)
			<-release
			return n, nil
		}
		var all sync.WaitGroup
		ask := func(want uint64) {
			all.Go(func() {
				got, err := q.ask(context.Background(), put)
				if err != nil || got != want {
					t.Errorf("answer %d, want %d: %v", got, want, err)
				}
			})
		}
		ask(1)
		synctest.Wait()
		for range 50 {
			ask(2)
		}
		time.Sleep(2 * askSpacing)
		synctest.Wait()
		require.EqualValues(t, 1, puts.Load(), "one is asked at a time")
		close(release)
		all.Wait()

		failed := errors.New("away")
		_, err := q.ask(t.Context(), func(context.Context) (uint64, error) { return 0, failed })
		require.ErrorIs(t, err, failed)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = q.ask(ctx, put)
		require.Error(t, err)
		_, err = q.ask(t.Context(), put)
		require.NoError(t, err, "one who gave up blocks nobody")
	})
}

// TestFollow_UnreadableEntryKeepsTheOneBefore: a newer version may have written it.
func TestFollow_UnreadableEntryKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	kept := r.create(t, webhook.New{URL: "https://example.com/hook"})
	odd := kept.Subscription
	odd.Status = "odd"
	unknown, err := json.Marshal(odd)
	require.NoError(t, err)
	for _, value := range []string{"{", "{}", string(unknown)} {
		_, err := r.kv.Put(t.Context(), keyOf(kept.ID), []byte(value))
		require.NoError(t, err)
		require.NoError(t, r.Current(t.Context()))
		require.Equal(t, []webhook.Subscription{kept.Subscription}, r.Matching(partner, webhook.EventFailed))
		require.Len(t, r.All(), 1)
	}
}

// TestSweep_LeavesNothingOfWhatWasDeleted makes and deletes more than are remembered.
func TestSweep_LeavesNothingOfWhatWasDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	kept := r.create(t, webhook.New{URL: "https://example.com/kept"})
	for range 25 { // 20 are remembered
		c := r.create(t, webhook.New{URL: "https://example.com/hook"})
		require.NoError(t, r.Delete(t.Context(), partner, c.ID))
	}
	messages := func() uint64 {
		stream, err := r.js.Stream(t.Context(), "KV_"+Bucket)
		require.NoError(t, err)
		return stream.CachedInfo().State.Msgs
	}
	require.NoError(t, r.Current(t.Context()))
	require.NoError(t, r.Sweep(t.Context()))
	require.EqualValues(t, 2+25+1, messages(), "the surplus became markers, beside that of the claim")
	require.NoError(t, r.Current(t.Context()))
	require.Len(t, r.All(), 1+20)
	r.clock.pass(2 * time.Hour)
	require.NoError(t, r.Sweep(t.Context()))
	require.EqualValues(t, 2+20, messages(), "old markers go")
	r.clock.pass(15 * 24 * time.Hour)
	require.NoError(t, r.Sweep(t.Context()))
	require.NoError(t, r.Current(t.Context()))
	r.clock.pass(2 * time.Hour)
	require.NoError(t, r.Sweep(t.Context()))
	require.EqualValues(t, 2, messages(), "only what is there")
	got, err := r.Get(t.Context(), partner, kept.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, got.Status)
	require.NoError(t, r.Current(t.Context()))
}
