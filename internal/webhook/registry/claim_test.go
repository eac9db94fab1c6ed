package registry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// faulty is a bucket in which something happens before a write or a read. An error is what
// the caller gets instead.
type faulty struct {
	jetstream.KeyValue
	get, create, update, purge func(key string) error
	// created is called after a create that has worked.
	created func(key string) error
}

func before(f func(string) error, key string) error {
	if f == nil {
		return nil
	}
	return f(key)
}

func (b *faulty) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if err := before(b.get, key); err != nil {
		return nil, err
	}
	return b.KeyValue.Get(ctx, key)
}

func (b *faulty) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	if err := before(b.create, key); err != nil {
		return 0, err
	}
	revision, err := b.KeyValue.Create(ctx, key, value, opts...)
	if err == nil {
		err = before(b.created, key)
	}
	return revision, err
}

func (b *faulty) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	if err := before(b.update, key); err != nil {
		return 0, err
	}
	return b.KeyValue.Update(ctx, key, value, last)
}

func (b *faulty) Purge(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	if err := before(b.purge, key); err != nil {
		return err
	}
	return b.KeyValue.Purge(ctx, key, opts...)
}

// once does something for the first key of a kind.
func once(prefix string, do func() error) func(string) error {
	done := false
	return func(key string) error {
		if done || !strings.HasPrefix(key, prefix) {
			return nil
		}
		done = true
		return do()
	}
}

const claimPrefix = "claim."

// TestCreate_CallerIsGoneHalfWay: nothing is left of a family, and nothing of it is taken.
func TestCreate_CallerIsGoneHalfWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	ctx, cancel := context.WithCancel(t.Context())
	subscriptions := 0
	other.kv = &faulty{KeyValue: other.kv, create: func(key string) error {
		if strings.HasPrefix(key, keyPrefix) {
			if subscriptions++; subscriptions == 3 {
				cancel()
				return ctx.Err()
			}
		}
		return nil
	}}
	family := webhook.New{URL: "https://example.com/", EventName: "resource_operation.*"}
	_, err := other.Create(ctx, partner, family)
	require.Equal(t, operation.CodeUnavailable, code(t, err))
	require.NoError(t, r.Current(t.Context()))
	left, _, err := r.List(t.Context(), partner, webhook.Query{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, left)
	made, err := r.Create(t.Context(), partner, family)
	require.NoError(t, err)
	require.Len(t, made, 3)
}

// TestCreate_RefusedLeavesNothing: what is made and taken back is remembered for weeks, and
// counts for those that are made and deleted.
func TestCreate_RefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Most = 1
	r.create(t, webhook.New{URL: "https://example.com/"})
	_, err := r.Create(t.Context(), partner, webhook.New{URL: "https://example.com/more", EventName: webhook.EventFailed})
	require.Equal(t, operation.CodeConflict, code(t, err))
	deleted, _, err := r.List(t.Context(), partner, webhook.Query{Status: webhook.Deleted, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, deleted)
}

// TestClaim_AnswerIsLost: what was claimed is claimed, and whoever tries again finds no webhook
// that is not there.
func TestClaim_AnswerIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	lost := func() error { return context.DeadlineExceeded }
	other.kv = &faulty{KeyValue: other.kv, created: once(claimPrefix, lost)}
	n := webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed}
	_, err := other.Create(t.Context(), partner, n)
	require.NoError(t, err)
	_, err = r.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeConflict, code(t, err))
}

// TestClaim_OfWhatWasDeletedIsFreeAtOnce, also if its process died before it gave it back.
func TestClaim_OfWhatWasDeletedIsFreeAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	made := r.create(t, webhook.New{URL: "https://example.com/"})
	other.kv = &faulty{KeyValue: other.kv, purge: func(string) error { return errors.New("died") }}
	require.NoError(t, other.Delete(t.Context(), partner, made.ID))
	_, err := r.kv.Get(t.Context(), claimKey(made.Subscription))
	require.NoError(t, err)
	r.create(t, webhook.New{URL: "https://example.com/"})
}

// TestClaim_OfAMoveIsHeld: it is taken before the subscription has it.
func TestClaim_OfAMoveIsHeld(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	moved := "https://example.com/b"
	var meanwhile error
	other.kv = &faulty{KeyValue: other.kv, update: once(keyPrefix, func() error {
		_, meanwhile = r.Create(t.Context(), partner, webhook.New{URL: moved, EventName: webhook.EventFailed})
		return nil
	})}
	_, err := other.Update(t.Context(), partner, s.ID, webhook.Change{URL: &moved})
	require.NoError(t, err)
	require.Equal(t, operation.CodeConflict, code(t, meanwhile))
}

// TestClaim_OfALongTime is free if its subscription has moved on, and only then.
func TestClaim_OfALongTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	key := claimKey(s.Subscription)
	e, err := r.kv.Get(t.Context(), key)
	require.NoError(t, err)
	free, err := r.abandoned(t.Context(), aged{e}, key)
	require.NoError(t, err)
	require.False(t, free)
	moved := "https://example.com/b"
	_, err = r.Update(t.Context(), partner, s.ID, webhook.Change{URL: &moved})
	require.NoError(t, err)
	free, err = r.abandoned(t.Context(), e, key)
	require.NoError(t, err)
	require.False(t, free, "it may be about to move there")
	free, err = r.abandoned(t.Context(), aged{e}, key)
	require.NoError(t, err)
	require.True(t, free)
}

// TestClaim_IsNotTakenFromWhoCannotBeRead: there would be two of one webhook.
func TestClaim_IsNotTakenFromWhoCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	n := webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed}
	r.create(t, n)
	other.kv = &faulty{KeyValue: other.kv, get: once(keyPrefix, func() error { return errors.New("away") })}
	_, err := other.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeUnavailable, code(t, err))
}

// TestClaim_IsTakenOverByOne of two who find it free at the same time.
func TestClaim_IsTakenOverByOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	n := webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed}
	_, err := r.kv.Put(t.Context(), claimKey(webhook.Subscription{PartnerID: partner, EventName: n.EventName, URL: n.URL}), []byte("garbage"))
	require.NoError(t, err)
	other.kv = &faulty{KeyValue: other.kv, update: once(claimPrefix, func() error { r.create(t, n); return nil })}
	_, err = other.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeUnavailable, code(t, err))
	_, err = other.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeConflict, code(t, err))
}

// TestUnclaim_LeavesWhatAnotherHasTaken, before it looks or afterwards.
func TestUnclaim_LeavesWhatAnotherHasTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	n := webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed}
	gone := r.create(t, n)
	other.kv = &faulty{KeyValue: other.kv, purge: once(claimPrefix, func() error { r.create(t, n); return nil })}
	require.NoError(t, other.Delete(t.Context(), partner, gone.ID))
	taken := func() {
		_, err := r.Create(t.Context(), partner, n)
		require.Equal(t, operation.CodeConflict, code(t, err))
	}
	taken()
	r.unclaim(t.Context(), gone.Subscription)
	taken()
}

// TestUpdate_CallerIsGoneAfterTheMove: what it had is free for others.
func TestUpdate_CallerIsGoneAfterTheMove(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	ctx, cancel := context.WithCancel(t.Context())
	other.kv = &faulty{KeyValue: other.kv, get: func(key string) error {
		if strings.HasPrefix(key, claimPrefix) {
			cancel()
		}
		return nil
	}}
	moved := "https://example.com/b"
	_, err := other.Update(ctx, partner, s.ID, webhook.Change{URL: &moved})
	require.NoError(t, err)
	require.Error(t, ctx.Err())
	r.create(t, webhook.New{URL: "https://example.com/a"})
}

// TestUpdate_AnotherMadeAPartOfIt: an answer of success says that all of it was made.
func TestUpdate_AnotherMadeAPartOfIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	moved, long := "https://example.com/b", webhook.Long
	other.kv = &faulty{KeyValue: other.kv, update: once(keyPrefix, func() error {
		r.clock.pass(time.Second)
		_, err := r.Update(t.Context(), partner, s.ID, webhook.Change{URL: &moved})
		return err
	})}
	_, err := other.Update(t.Context(), partner, s.ID, webhook.Change{URL: &moved, Schedule: &long})
	require.NoError(t, err)
	got, found, err := r.asked(t.Context(), s.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, []any{moved, long}, []any{got.URL, got.Schedule})
}
