package registry

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/seal"
	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// TestStatus_EachChangeIsDated: sweeps and repairs go by it.
func TestStatus_EachChangeIsDated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.create(t, webhook.New{URL: "https://example.com/"}).Subscription
	later := func() time.Time {
		r.clock.pass(time.Minute)
		return r.clock.now()
	}
	at := later()
	got, err := r.Pause(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, at, got.UpdatedAt)
	require.Equal(t, s.ChangedAt, got.ChangedAt, "its endpoint is the same")
	at = later()
	got, err = r.Activate(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, []time.Time{at, at}, []time.Time{got.UpdatedAt, got.ActivatedAt})
	later()
	again, err := r.Activate(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, got, again, "what is active does not start anew")
	at = later()
	given, err := r.Stale(t.Context(), got, "it failed")
	require.NoError(t, err)
	require.True(t, given)
	got, err = r.Get(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, []time.Time{at, at}, []time.Time{got.UpdatedAt, got.StaledAt})
	got, err = r.Activate(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Zero(t, got.StaledAt)
	require.Empty(t, got.StaleReason)
}

// TestStale_NotForWhatWasBeforeAChange: the sends that failed went to another address.
func TestStale_NotForWhatWasBeforeAChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"}).Subscription
	r.clock.pass(time.Minute)
	moved := "https://example.com/b"
	now, err := r.Update(t.Context(), partner, s.ID, webhook.Change{URL: &moved})
	require.NoError(t, err)
	given, err := r.Stale(t.Context(), s, "it failed")
	require.NoError(t, err)
	require.False(t, given)
	given, err = r.Stale(t.Context(), now, "it failed")
	require.NoError(t, err)
	require.True(t, given)
}

func TestUpdate_Schedule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.create(t, webhook.New{URL: "https://example.com/", Secret: "a-secret-to-keep"})
	long, never := webhook.Long, webhook.Schedule("never")
	got, err := r.Update(t.Context(), partner, s.ID, webhook.Change{Schedule: &long})
	require.NoError(t, err)
	require.Equal(t, webhook.Long, got.Schedule)
	require.Equal(t, []any{s.URL, s.Secrets, s.Filters}, []any{got.URL, got.Secrets, got.Filters}, "what was not asked for stays")
	_, err = r.Update(t.Context(), partner, s.ID, webhook.Change{Schedule: &never})
	require.Equal(t, operation.CodeInvalid, code(t, err))
}

// TestFilters_AreShownInOrderAndOnce, and count once.
func TestFilters_AreShownInOrderAndOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	given := webhook.Filters{FleetRefs: []string{"b", "a", "b"}}
	want := webhook.Filters{FleetRefs: []string{"a", "b"}}.Canonical()
	made := r.create(t, webhook.New{URL: "https://example.com/a", Filters: given})
	require.Equal(t, want, made.Filters)
	made = r.create(t, webhook.New{URL: "https://example.com/b"})
	got, err := r.Update(t.Context(), partner, made.ID, webhook.Change{Filters: &given})
	require.NoError(t, err)
	require.Equal(t, want, got.Filters)
}

func TestCreate_Bounds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	faultOf := func(n webhook.New) string {
		n.EventName = webhook.EventFailed
		_, err := r.Create(t.Context(), partner, n)
		if err == nil {
			return ""
		}
		var e *operation.Error
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Faults, 1)
		return e.Faults[0].Message
	}
	longest := "https://example.com/" + strings.Repeat("x", wire.MaxWebhookURL-len("https://example.com/"))
	require.Empty(t, faultOf(webhook.New{URL: longest}))
	for address, want := range map[string]string{
		longest + "x": "1 to 2083 characters", "": "1 to 2083 characters", "https://example.com/%zz": "must be a URL",
		"https://127.0.0.1/": "address", "http://example.com/": "https",
	} {
		require.Contains(t, faultOf(webhook.New{URL: address}), want, address)
	}
	for _, secret := range []string{strings.Repeat("é", webhook.MinSecret), strings.Repeat("é", webhook.MaxSecret)} {
		require.Empty(t, faultOf(webhook.New{URL: "https://example.com/" + uuid.NewString(), Secret: secret}))
	}
	require.Contains(t, faultOf(webhook.New{URL: "https://example.com/", Secret: strings.Repeat("é", webhook.MaxSecret+1)}), "12 to 256 characters")
}

// TestCreate_BoundsTheFiltersOfAll webhooks together, of both kinds.
func TestCreate_BoundsTheFiltersOfAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var half webhook.Filters
	for i := range mostNamed / 4 {
		half.FleetIDs, half.FleetRefs = append(half.FleetIDs, uuid.New()), append(half.FleetRefs, fmt.Sprint(i))
	}
	first := r.create(t, webhook.New{URL: "https://example.com/a", Filters: half})
	r.create(t, webhook.New{URL: "https://example.com/b", EventName: webhook.EventCreated, Filters: half})
	for _, one := range []webhook.Filters{{FleetIDs: []uuid.UUID{uuid.New()}}, {FleetRefs: []string{"more"}}} {
		_, err := r.Create(t.Context(), partner, webhook.New{URL: "https://example.com/c", EventName: webhook.EventFailed, Filters: one})
		require.Equal(t, operation.CodeConflict, code(t, err))
	}
	half.FleetRefs = half.FleetRefs[1:]
	_, err := r.Update(t.Context(), partner, first.ID, webhook.Change{Filters: &half})
	require.NoError(t, err, "its own are counted once")
	r.create(t, webhook.New{URL: "https://example.com/c", Filters: webhook.Filters{FleetRefs: []string{"more"}}})
}

// TestSweep_ResealsAllThatItCan: a secret that does not open holds back no other, and the
// newest secret of a webhook may be the one under the older key.
func TestSweep_ResealsAllThatItCan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	foreign, err := seal.Generate()
	require.NoError(t, err)
	added, err := seal.AddKey(r.keyset)
	require.NoError(t, err)
	promoted, err := seal.Promote(added)
	require.NoError(t, err)
	alone, err := seal.RemoveOld(promoted)
	require.NoError(t, err)
	locked, next := process(t, r.url, foreign, r.clock), process(t, r.url, promoted, r.clock)
	var kept []webhook.Created
	for range 6 {
		kept = append(kept, r.create(t, webhook.New{URL: "https://example.com/" + uuid.NewString(), Secret: "the-first-secret"}))
		_, err := locked.Create(t.Context(), partner, webhook.New{URL: "https://example.com/" + uuid.NewString(), EventName: webhook.EventFailed})
		require.NoError(t, err)
	}
	second, third := "the-second-secret", "the-third-secret"
	_, err = next.Update(t.Context(), partner, kept[0].ID, webhook.Change{Secret: &second})
	require.NoError(t, err)
	_, err = r.Update(t.Context(), partner, kept[0].ID, webhook.Change{Secret: &third}) // it has not got the newer key yet
	require.NoError(t, err)
	require.NoError(t, next.Current(t.Context()))
	require.ErrorIs(t, next.Sweep(t.Context()), seal.ErrOpen)

	last := process(t, r.url, alone, r.clock)
	for i, s := range kept {
		now, err := last.Get(t.Context(), partner, s.ID)
		require.NoError(t, err)
		secrets, err := last.Secrets(now, r.clock.now())
		require.NoError(t, err)
		want := []string{"the-first-secret"}
		if i == 0 {
			want = []string{third, second}
		}
		require.Equal(t, want, secrets)
	}
}

// TestSweep_RemembersTheNewest of those that were deleted.
func TestSweep_RemembersTheNewest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Most = 3
	var deleted []uuid.UUID
	for range 5 {
		id := r.create(t, webhook.New{URL: "https://example.com/"}).ID
		r.clock.pass(time.Second)
		require.NoError(t, r.Delete(t.Context(), partner, id))
		deleted = append(deleted, id)
	}
	other, err := r.Create(t.Context(), stranger, webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed})
	require.NoError(t, err)
	require.NoError(t, r.Delete(t.Context(), stranger, other[0].ID))
	require.NoError(t, r.Current(t.Context()))
	require.NoError(t, r.Sweep(t.Context()))
	require.NoError(t, r.Current(t.Context()))
	for of, want := range map[uuid.UUID][]uuid.UUID{partner: deleted[2:], stranger: {other[0].ID}} {
		list, _, err := r.List(t.Context(), of, webhook.Query{Status: webhook.Deleted, Limit: 9})
		require.NoError(t, err)
		var got []uuid.UUID
		for _, s := range list {
			got = append(got, s.ID)
		}
		require.Equal(t, want, got)
	}
}

// streaming calls a function before a stream is looked up.
type streaming struct {
	jetstream.JetStream
	before func()
}

func (s streaming) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s.before()
	return s.JetStream.Stream(ctx, name)
}

// TestSweep_LeavesAKeyThatIsInUseAgain: a claim whose mark is old may be made anew while the
// marks are looked through.
func TestSweep_LeavesAKeyThatIsInUseAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed}
	require.NoError(t, r.Delete(t.Context(), partner, r.create(t, n).ID))
	r.clock.pass(2 * time.Hour)
	other, _ := r.held(t)
	var found, again atomic.Bool
	other.cfg.Now = func() time.Time {
		found.Store(true)
		return r.clock.now()
	}
	other.js = streaming{other.js, func() {
		if found.Load() && again.CompareAndSwap(false, true) {
			r.create(t, n)
		}
	}}
	require.NoError(t, other.sweepMarkers(t.Context()))
	require.True(t, again.Load())
	_, err := r.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeConflict, code(t, err))
}
