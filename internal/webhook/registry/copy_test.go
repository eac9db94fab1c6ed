package registry

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/seal"
	"writeback/internal/webhook"
)

// TestCopy_KeepsTheNewestForm: what was read before a change, and comes after it, must not undo it.
func TestCopy_KeepsTheNewestForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	was := r.create(t, webhook.New{URL: "https://example.com/"}).Subscription
	is, err := other.Pause(t.Context(), partner, was.ID)
	require.NoError(t, err)
	require.False(t, other.put(was))
	got, ok := other.known(was.ID)
	require.True(t, ok)
	require.Equal(t, is, got)
	require.Equal(t, []webhook.Subscription{is}, other.Matching(partner, webhook.EventFailed))
	require.True(t, other.put(is), "what this process wrote itself")
}

// TestList_InOrderAfterAChange: a page goes on from where the one before ended.
func TestList_InOrderAfterAChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var want []webhook.Subscription
	for i := range 3 {
		want = append(want, r.create(t, webhook.New{URL: fmt.Sprintf("https://example.com/%d", i)}).Subscription)
	}
	r.mu.RLock()
	list := r.byPartner[partner]
	r.mu.RUnlock()
	changed, err := r.Pause(t.Context(), partner, want[0].ID)
	require.NoError(t, err)
	require.Equal(t, want, list, "who has a list reads it without the lock")
	want[0] = changed
	got, _, err := r.List(t.Context(), partner, webhook.Query{Limit: 9})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestFind_KnowsOrAsks: what it has heard of it knows without NATS, and what it has not heard of
// yet is no webhook that was deleted.
func TestFind_KnowsOrAsks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	known := r.create(t, webhook.New{URL: "https://example.com/known"})
	other, _ := r.held(t)
	fresh := r.create(t, webhook.New{URL: "https://example.com/fresh"})
	bucket := other.kv
	other.kv = away{bucket}
	got, found, err := other.Find(t.Context(), known.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, known.Subscription, got)
	_, found, err = other.Find(t.Context(), fresh.ID)
	require.Error(t, err)
	require.False(t, found)
	other.kv = bucket
	got, found, err = other.Find(t.Context(), fresh.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, fresh.Subscription, got)
	_, ok := other.known(fresh.ID)
	require.True(t, ok, "it is asked for once")
}

// TestLocked_CountsThoseOfAnotherKeyset, but for deleted ones, which have no secret.
func TestLocked_CountsThoseOfAnotherKeyset(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 3 {
		r.create(t, webhook.New{URL: fmt.Sprintf("https://example.com/%d", i)})
	}
	gone := r.create(t, webhook.New{URL: "https://example.com/gone"})
	require.NoError(t, r.Delete(t.Context(), partner, gone.ID))
	foreign, err := seal.Generate()
	require.NoError(t, err)
	for want, keyset := range map[int][]byte{0: r.keyset, 3: foreign} {
		s, err := seal.New(keyset)
		require.NoError(t, err)
		locked, all, err := Locked(t.Context(), r.js, s)
		require.NoError(t, err)
		require.Equal(t, []int{want, 3}, []int{locked, all})
	}
}

// TestPublished_Bounds: docs/webhooks.md says what they are.
func TestPublished_Bounds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/webhooks.md")
	require.NoError(t, err)
	page := strings.Join(strings.Fields(string(text)), " ")
	r, _ := newRig(t).held(t)
	require.Contains(t, page, fmt.Sprintf("a webhook more than %d, or more than %d that would be told of the same event of one fleet", r.cfg.Most, r.cfg.Told))
	require.Contains(t, page, "filters with more than 10,000 values in all")
	require.Equal(t, 10_000, mostNamed)
	require.Contains(t, page, "makes and deletes more than a thousand in an hour is told 429")
	require.Equal(t, 1000, 2*r.cfg.Most)
	require.Contains(t, page, fmt.Sprintf("For %.0f hours `webhook-signature` also holds a signature with the one before", r.cfg.Overlap.Hours()))
}

// TestFollow_OfAnotherBucketNothingIsRead: whoever gives an event out waits until it is, also
// if the bucket before was as long.
func TestFollow_OfAnotherBucketNothingIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.create(t, webhook.New{URL: "https://example.com/hook"})
	stream, err := r.js.Stream(t.Context(), "KV_"+Bucket)
	require.NoError(t, err)
	for name, change := range map[string]func(*jetstream.StreamInfo){
		"the same":  func(*jetstream.StreamInfo) {},
		"grown":     func(i *jetstream.StreamInfo) { i.State.LastSeq++ },
		"another":   func(i *jetstream.StreamInfo) { i.Created = i.Created.Add(time.Hour) },
		"gone back": func(i *jetstream.StreamInfo) { i.State.LastSeq-- },
		"another, long": func(i *jetstream.StreamInfo) {
			i.Created, i.State.LastSeq = i.Created.Add(time.Hour), i.State.LastSeq+9
		},
	} {
		other, _ := r.held(t)
		info := *stream.CachedInfo()
		read := other.seen.get()
		require.NotZero(t, read)
		change(&info)
		other.from(&info)
		known, ok := other.known(c.ID)
		require.True(t, ok, "what it knows it goes on with")
		if name == "the same" || name == "grown" {
			require.Equal(t, []uint64{read, c.Revision}, []uint64{other.seen.get(), known.Revision}, name)
			continue
		}
		require.Equal(t, []uint64{0, 0}, []uint64{other.seen.get(), known.Revision}, name)
	}
}

// TestFollow_IsReadOnceItIsKnown: whoever waits for it looks into the copy next.
func TestFollow_IsReadOnceItIsKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	c := r.create(t, webhook.New{URL: "https://example.com/hook"})
	e, err := r.kv.Get(t.Context(), keyOf(c.ID))
	require.NoError(t, err)
	var read uint64
	other.changed = func(s webhook.Subscription) {
		_, known := other.known(s.ID)
		require.True(t, known)
		read = other.seen.get()
	}
	other.take(e)
	require.Less(t, read, e.Revision())
	require.Equal(t, e.Revision(), other.seen.get())
}
