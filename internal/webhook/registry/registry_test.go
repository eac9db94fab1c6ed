package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"writeback/internal/egress"
	"writeback/internal/seal"
	"writeback/internal/testenv"
	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 20 * time.Second

var partner, stranger = uuid.MustParse("00000000-0000-7000-8000-0000000000b1"), uuid.MustParse("00000000-0000-7000-8000-0000000000b2")

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// process is a registry of a process of its own, which follows the bucket.
func process(t *testing.T, natsURL string, keyset []byte, c *clock) *Registry {
	t.Helper()
	return watched(t, natsURL, keyset, c, nil)
}

func watched(t *testing.T, natsURL string, keyset []byte, c *clock, changed func(webhook.Subscription)) *Registry {
	t.Helper()
	nc, err := nats.Connect(natsURL, testenv.Patient, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	s, err := seal.New(keyset)
	require.NoError(t, err)
	r, err := Open(t.Context(), js, s, egress.New(egress.Config{}).CheckURL, Config{Now: c.now, Most: 20})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, changed) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done); nc.Close() })
	return r
}

type rig struct {
	url    string
	keyset []byte
	clock  *clock
	*Registry
}

func newRig(t *testing.T) rig {
	t.Helper()
	keyset, err := seal.Generate()
	require.NoError(t, err)
	r := rig{url: testenv.NATS(t), keyset: keyset, clock: &clock{at: time.Now().UTC()}}
	r.Registry = process(t, r.url, keyset, r.clock)
	return r
}

func (r rig) create(t *testing.T, n webhook.New) webhook.Created {
	t.Helper()
	if n.EventName == "" {
		n.EventName = webhook.EventFailed
	}
	made, err := r.Create(t.Context(), partner, n)
	require.NoError(t, err)
	require.Len(t, made, 1)
	return made[0]
}

func code(t *testing.T, err error) operation.Code {
	t.Helper()
	var e *operation.Error
	require.ErrorAs(t, err, &e)
	return e.Code
}

func TestCreate_SealsAndReachesEveryProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := process(t, r.url, r.keyset, r.clock)
	c := r.create(t, webhook.New{URL: "https://example.com/hook", Secret: "my-own-secret"})
	require.Equal(t, "my-own-secret", c.Secret)
	require.Equal(t, webhook.Active, c.Status)
	require.Equal(t, webhook.Short, c.Schedule)
	require.Eventually(t, func() bool { return len(other.Matching(partner, webhook.EventFailed)) == 1 }, soon, time.Millisecond)
	require.Empty(t, other.Matching(partner, webhook.EventCreated))
	require.Empty(t, other.Matching(stranger, webhook.EventFailed))
	secrets, err := other.Secrets(other.Matching(partner, webhook.EventFailed)[0], r.clock.now())
	require.NoError(t, err)
	require.Equal(t, []string{"my-own-secret"}, secrets)

	e, err := r.kv.Get(t.Context(), keyOf(c.ID))
	require.NoError(t, err)
	require.NotContains(t, string(e.Value()), "my-own-secret")
	moved := c.Subscription
	moved.ID = uuid.New()
	_, err = r.Secrets(moved, r.clock.now())
	require.ErrorIs(t, err, seal.ErrOpen, "a sealed secret belongs to one subscription")

	require.NoError(t, r.Delete(t.Context(), partner, c.ID))
	require.Eventually(t, func() bool { return len(other.Matching(partner, webhook.EventFailed)) == 0 }, soon, time.Millisecond)
}

func TestCreate_FamilyAndDuplicates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := webhook.New{URL: "https://example.com/hook", EventName: "resource_operation.*"}
	r.create(t, webhook.New{URL: n.URL, EventName: webhook.EventFailed})
	_, err := r.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeConflict, code(t, err))
	all, _, err := r.List(t.Context(), partner, webhook.Query{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 1, "none of a family is left when one could not be made")

	n.Filters = webhook.Filters{FleetRefs: []string{"b", "a"}}
	made, err := r.Create(t.Context(), partner, n)
	require.NoError(t, err)
	require.Len(t, made, 3)
	require.NotEqual(t, made[0].Secret, made[1].Secret)
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{32}$`, made[0].Secret)
	n.EventName, n.Filters = webhook.EventCreated, webhook.Filters{FleetRefs: []string{"a", "b", "a"}}
	_, err = r.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeConflict, code(t, err), "the order of filters is no difference")
	_, err = r.Create(t.Context(), stranger, n)
	require.NoError(t, err, "another partner's is no duplicate")
	require.NoError(t, r.Delete(t.Context(), partner, made[0].ID))
	r.create(t, n)
}

func TestCreate_OnceAmongMany(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := process(t, r.url, r.keyset, r.clock)
	var mu sync.Mutex
	made := 0
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			from := r.Registry
			if i%2 == 0 {
				from = other
			}
			_, err := from.Create(context.Background(), partner, webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed})
			mu.Lock()
			defer mu.Unlock()
			var e *operation.Error
			if err == nil {
				made++
			} else if !errors.As(err, &e) || e.Code != operation.CodeConflict {
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, made)
}

func TestCreate_Refuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed}
	for path, edit := range map[string]func(*webhook.New){
		"body.url":        func(n *webhook.New) { n.URL = "https://127.0.0.1/" },
		"body.event_name": func(n *webhook.New) { n.EventName = "user.added" },
		"body.secret":     func(n *webhook.New) { n.Secret = "elevenchars" },
		"body.schedule":   func(n *webhook.New) { n.Schedule = "forever" },
	} {
		n := good
		edit(&n)
		_, err := r.Create(t.Context(), partner, n)
		var e *operation.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, operation.CodeInvalid, e.Code)
		require.Len(t, e.Faults, 1)
		require.Equal(t, path, e.Faults[0].Path)
		require.NotContains(t, fmt.Sprint(e.Faults), "elevenchars")
	}
	for i := range 20 {
		r.create(t, webhook.New{URL: fmt.Sprintf("https://example.com/%d", i)})
	}
	_, err := r.Create(t.Context(), partner, good)
	require.Equal(t, operation.CodeConflict, code(t, err))
}

// TestCreate_BoundsThoseOfOneFleet: each write of the partner is a delivery to all of them.
func TestCreate_BoundsThoseOfOneFleet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Told = 3
	try := func(event string, f webhook.Filters) error {
		_, err := r.Create(t.Context(), partner, webhook.New{URL: "https://example.com/" + uuid.NewString(), EventName: event, Filters: f})
		return err
	}
	a, b := webhook.Filters{FleetRefs: []string{"a", "b"}}, webhook.Filters{FleetIDs: []uuid.UUID{uuid.New()}}
	everything := r.create(t, webhook.New{URL: "https://example.com/"})
	for range 2 {
		require.NoError(t, try(webhook.EventFailed, a))
		require.NoError(t, try(webhook.EventFailed, b))
	}
	for _, full := range []webhook.Filters{a, b, {}, {FleetRefs: []string{"x", "b"}}} {
		err := try(webhook.EventFailed, full)
		require.Equal(t, operation.CodeConflict, code(t, err))
		require.ErrorContains(t, err, "at most 3 webhooks may be told of the same event of one fleet")
	}
	other := webhook.Filters{FleetRefs: []string{"x"}}
	require.NoError(t, try(webhook.EventFailed, other), "of another fleet")
	require.NoError(t, try(webhook.EventSucceeded, a), "of another event")
	_, err := r.Update(t.Context(), partner, everything.ID, webhook.Change{Filters: &other})
	require.NoError(t, err)
	require.NoError(t, try(webhook.EventFailed, a), "there is room again")
	_, err = r.Update(t.Context(), partner, everything.ID, webhook.Change{Filters: &a})
	require.Equal(t, operation.CodeConflict, code(t, err))

	for i := range mostNamed {
		other.FleetRefs = append(other.FleetRefs, fmt.Sprint(i))
	}
	err = try(webhook.EventCreated, other)
	require.Equal(t, operation.CodeConflict, code(t, err))
	require.ErrorContains(t, err, "10000 values at most")
}

// TestCreate_BoundsThoseMadeAtOnce: none of them sees the others before it is made.
func TestCreate_BoundsThoseMadeAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			_, err := r.Create(context.Background(), partner, webhook.New{URL: fmt.Sprintf("https://example.com/%d", i), EventName: webhook.EventFailed})
			var e *operation.Error
			if err != nil && (!errors.As(err, &e) || e.Code != operation.CodeConflict) {
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wg.Wait()
	all, _, err := r.List(t.Context(), partner, webhook.Query{Limit: 100})
	require.NoError(t, err)
	require.LessOrEqual(t, len(all), 20)
}

// TestCreate_NotWithoutEndBesideDeletes: each process keeps what was deleted until it is swept.
func TestCreate_NotWithoutEndBesideDeletes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed}
	for range 40 {
		require.NoError(t, r.Delete(t.Context(), partner, r.create(t, n).ID))
	}
	_, err := r.Create(t.Context(), partner, n)
	require.Equal(t, operation.CodeRateLimited, code(t, err))
	_, err = r.Create(t.Context(), stranger, n)
	require.NoError(t, err)
	require.NoError(t, r.Sweep(t.Context()))
	require.Eventually(t, func() bool {
		_, err = r.Create(t.Context(), partner, n)
		return err == nil
	}, soon, 10*time.Millisecond)
}

func TestTenants_SeeTheirOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.create(t, webhook.New{URL: "https://example.com/"}).ID
	u := "https://example.com/other"
	calls := map[string]func(partner uuid.UUID) error{
		"get":      func(p uuid.UUID) error { _, err := r.Get(t.Context(), p, id); return err },
		"update":   func(p uuid.UUID) error { _, err := r.Update(t.Context(), p, id, webhook.Change{URL: &u}); return err },
		"pause":    func(p uuid.UUID) error { _, err := r.Pause(t.Context(), p, id); return err },
		"activate": func(p uuid.UUID) error { _, err := r.Activate(t.Context(), p, id); return err },
		"delete":   func(p uuid.UUID) error { return r.Delete(t.Context(), p, id) },
	}
	for name, call := range calls {
		require.Equal(t, operation.CodeNotFound, code(t, call(stranger)), name)
	}
	list, _, err := r.List(t.Context(), stranger, webhook.Query{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
	require.NoError(t, calls["delete"](partner))
	for name, call := range calls {
		require.Equal(t, operation.CodeNotFound, code(t, call(partner)), name)
	}
	list, _, err = r.List(t.Context(), partner, webhook.Query{Status: webhook.Deleted, Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Empty(t, list[0].Secrets)
}

// away is a bucket that cannot be read.
type away struct{ jetstream.KeyValue }

func (away) Get(context.Context, string) (jetstream.KeyValueEntry, error) {
	return nil, errors.New("away")
}

// TestTenants_AnotherPartnersIsAskedForLikeNone: an answer from the copy would come sooner, and
// while NATS is away be another.
func TestTenants_AnotherPartnersIsAskedForLikeNone(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	id := rig.create(t, webhook.New{URL: "https://example.com/"}).ID
	r, _ := rig.held(t)
	r.kv = away{r.kv}
	_, err := r.Get(t.Context(), partner, id)
	require.NoError(t, err, "its own is in the copy")
	for _, id := range []uuid.UUID{id, uuid.New()} {
		_, err = r.Get(t.Context(), stranger, id)
		require.Equal(t, operation.CodeUnavailable, code(t, err))
	}
}

// TestCreate_RefusesASpaceInTheURL: with one in its query no send would be a request.
func TestCreate_RefusesASpaceInTheURL(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, address := range []string{"https://example.com/hooks?team=a b", "https://example.com/a b"} {
		_, err := r.Create(t.Context(), partner, webhook.New{URL: address, EventName: webhook.EventFailed})
		var e *operation.Error
		require.ErrorAs(t, err, &e, address)
		want := []operation.Fault{{Path: "body.url", Message: "must not hold a space; write it as %20", Type: "url_parsing"}}
		require.Equal(t, want, e.Faults)
		require.Equal(t, want, r.Check(&address, nil))
	}
	r.create(t, webhook.New{URL: "https://example.com/hooks?team=a%20b"})
}

// TestUpdate_RefusesWhatAReadShows: a read that is sent back would call the mask.
func TestUpdate_RefusesWhatAReadShows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const whole = "https://example.com/hooks/very-secret?token=x"
	made := r.create(t, webhook.New{URL: whole})
	shown := made.MaskedURL()
	for what, refused := range map[string]string{
		"as it is": shown, "with a query": shown + "?token=x", "escaped": "https://example.com/hooks/%2A%2A%2A%2A%2A",
		"with a slash": shown + "/", "of a query": webhook.Subscription{URL: "https://example.com/?token=x"}.MaskedURL(),
	} {
		_, onCreate := r.Create(t.Context(), partner, webhook.New{URL: refused, EventName: webhook.EventFailed})
		_, onUpdate := r.Update(t.Context(), partner, made.ID, webhook.Change{URL: &refused})
		for _, err := range []error{onCreate, onUpdate} {
			var e *operation.Error
			require.ErrorAs(t, err, &e, what)
			require.Len(t, e.Faults, 1, what)
			require.Equal(t, "body.url", e.Faults[0].Path)
			require.Contains(t, e.Faults[0].Message, "the masked form that reads show", what)
		}
		require.Equal(t, []operation.Fault{{Path: "body.url", Message: maskedURL, Type: "url_parsing"}}, r.Check(&refused, nil), what)
	}
	got, err := r.Get(t.Context(), partner, made.ID)
	require.NoError(t, err)
	require.Equal(t, whole, got.URL)
	r.create(t, webhook.New{URL: "https://example.com/*****/hook"})
}

func TestUpdate_MovesTheClaimAndRotatesTheSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.create(t, webhook.New{URL: "https://example.com/a", Secret: "the-first-secret"})
	b := r.create(t, webhook.New{URL: "https://example.com/b"})
	_, err := r.Update(t.Context(), partner, a.ID, webhook.Change{URL: &b.URL})
	require.Equal(t, operation.CodeConflict, code(t, err))
	u := "https://example.com/c"
	r.clock.pass(time.Minute)
	got, err := r.Update(t.Context(), partner, a.ID, webhook.Change{URL: &u})
	require.NoError(t, err)
	require.Equal(t, r.clock.now(), got.ChangedAt)
	r.create(t, webhook.New{URL: "https://example.com/a"})
	_, err = r.Create(t.Context(), partner, webhook.New{URL: u, EventName: webhook.EventFailed})
	require.Equal(t, operation.CodeConflict, code(t, err))

	secrets := func() []string {
		s, err := r.Get(t.Context(), partner, a.ID)
		require.NoError(t, err)
		out, err := r.Secrets(s, r.clock.now())
		require.NoError(t, err)
		return out
	}
	for _, bad := range []string{"", "short", "éééééé", strings.Repeat("é", 257)} {
		_, err = r.Update(t.Context(), partner, a.ID, webhook.Change{Secret: &bad})
		require.Equal(t, operation.CodeInvalid, code(t, err))
	}
	second, third := "the-second-secret", "the-third-secret"
	_, err = r.Update(t.Context(), partner, a.ID, webhook.Change{Secret: &second})
	require.NoError(t, err)
	require.Equal(t, []string{second, "the-first-secret"}, secrets())
	_, err = r.Update(t.Context(), partner, a.ID, webhook.Change{Secret: &second})
	require.NoError(t, err)
	require.Equal(t, []string{second, "the-first-secret"}, secrets(), "asked for once more, since the answer was lost")
	r.clock.pass(24*time.Hour - time.Second)
	require.Len(t, secrets(), 2)
	r.clock.pass(time.Second)
	require.Equal(t, []string{second}, secrets())
	_, err = r.Update(t.Context(), partner, a.ID, webhook.Change{Secret: &third})
	require.NoError(t, err)
	require.Equal(t, []string{third, second}, secrets())
}

func TestStatus_Changes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.create(t, webhook.New{URL: "https://example.com/"}).Subscription
	// Every send that fails at the same time says so; it is given up once.
	for i := range 3 {
		given, err := r.Stale(t.Context(), s, "it failed")
		require.NoError(t, err)
		require.Equal(t, i == 0, given)
	}
	got, err := r.Pause(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Stale, got.Status, "pausing hides nothing")
	require.Equal(t, "it failed", got.StaleReason)
	r.clock.pass(time.Minute)
	got, err = r.Activate(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, got.Status)
	require.Zero(t, got.StaledAt)
	given, err := r.Stale(t.Context(), s, "a late verdict on what it was before")
	require.NoError(t, err)
	require.False(t, given)
	got, err = r.Get(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, got.Status)
	got, err = r.Pause(t.Context(), partner, s.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Paused, got.Status)
}

func TestList_Pages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []uuid.UUID
	for i := range 7 {
		ids = append(ids, r.create(t, webhook.New{URL: fmt.Sprintf("https://example.com/%d", i)}).ID)
	}
	page := func(q webhook.Query) (out []uuid.UUID, more bool) {
		list, more, err := r.List(t.Context(), partner, q)
		require.NoError(t, err)
		for _, s := range list {
			out = append(out, s.ID)
		}
		return out, more
	}
	got, more := page(webhook.Query{Limit: 3})
	require.Equal(t, ids[:3], got)
	require.True(t, more)
	got, more = page(webhook.Query{Limit: 4, Position: ids[2]})
	require.Equal(t, ids[3:], got)
	require.False(t, more)
	got, more = page(webhook.Query{Limit: 2, Position: ids[4], Backwards: true})
	require.Equal(t, ids[2:4], got)
	require.True(t, more)
	got, _ = page(webhook.Query{Limit: 9, EventName: webhook.EventCreated})
	require.Empty(t, got)
	got, _ = page(webhook.Query{Limit: 9, EventName: webhook.EventFailed})
	require.Equal(t, ids, got)
	got, _ = page(webhook.Query{Limit: 9, EventName: "resource_operation.*"})
	require.Equal(t, ids, got, "as they were made: by the name of all of them")
	got, _ = page(webhook.Query{Limit: 9, EventName: "webhook.*"})
	require.Empty(t, got)
	got, _ = page(webhook.Query{Limit: 9, Status: webhook.Paused})
	require.Empty(t, got)
}

// lossy is a bucket whose answers to writes of subscriptions are lost, and also the
// question if they are not to be made.
type lossy struct {
	jetstream.KeyValue
	made bool
}

func (l lossy) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	if !strings.HasPrefix(key, keyPrefix) {
		return l.KeyValue.Create(ctx, key, value, opts...)
	}
	return l.lose(l.KeyValue.Create(ctx, key, value, opts...))
}

func (l lossy) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	if !l.made {
		return l.lose(0, nil)
	}
	return l.lose(l.KeyValue.Update(ctx, key, value, last))
}

func (lossy) lose(_ uint64, err error) (uint64, error) {
	if err == nil {
		err = context.DeadlineExceeded
	}
	return 0, err
}

// TestChange_AnswerOfTheBucketIsLost: what was written is written, once, and keeps what
// makes it unique.
func TestChange_AnswerOfTheBucketIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	bucket := other.kv
	wanted := webhook.New{URL: "https://example.com/a", EventName: webhook.EventFailed}
	other.kv = lossy{bucket, true}
	made, err := other.Create(t.Context(), partner, wanted)
	require.NoError(t, err)
	require.NotEmpty(t, made[0].Secret)
	_, err = r.Create(t.Context(), partner, wanted)
	require.Equal(t, operation.CodeConflict, code(t, err), "not twice")

	moved := "https://example.com/b"
	got, err := other.Update(t.Context(), partner, made[0].ID, webhook.Change{URL: &moved})
	require.NoError(t, err)
	require.Equal(t, moved, got.URL)
	_, err = r.Create(t.Context(), partner, webhook.New{URL: moved, EventName: webhook.EventFailed})
	require.Equal(t, operation.CodeConflict, code(t, err))
	r.create(t, wanted)

	other.kv = lossy{bucket, false}
	lost := "https://example.com/c"
	_, err = other.Update(t.Context(), partner, made[0].ID, webhook.Change{URL: &lost})
	require.Equal(t, operation.CodeUnavailable, code(t, err))
	r.create(t, webhook.New{URL: lost})
}

// racing is a bucket in which somebody else is quicker, once.
type racing struct {
	jetstream.KeyValue
	quicker func()
}

func (b *racing) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	if first := b.quicker; first != nil {
		b.quicker = nil
		first()
	}
	return b.KeyValue.Update(ctx, key, value, last)
}

// TestUpdate_TheSameTwiceAtOnce keeps what makes the subscription unique.
func TestUpdate_TheSameTwiceAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	moved := webhook.Change{URL: new(string)}
	*moved.URL = "https://example.com/b"
	other.kv = &racing{other.kv, func() {
		r.clock.pass(time.Second)
		_, err := r.Update(t.Context(), partner, s.ID, moved)
		require.NoError(t, err)
	}}
	got, err := other.Update(t.Context(), partner, s.ID, moved)
	require.NoError(t, err)
	require.Equal(t, *moved.URL, got.URL)
	_, err = r.Create(t.Context(), partner, webhook.New{URL: *moved.URL, EventName: webhook.EventFailed})
	require.Equal(t, operation.CodeConflict, code(t, err))
	r.create(t, webhook.New{URL: "https://example.com/a"})
}

// TestUpdate_ManyAtOnce: each is written on top of the others, also those of another process.
func TestUpdate_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other, _ := r.held(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	var g errgroup.Group
	for n := range 24 {
		of := []*Registry{r.Registry, other}[n%2]
		g.Go(func() error { return moveTo(t, of, s.ID, n) })
	}
	require.NoError(t, g.Wait())
}

// moveTo gives a subscription the nth URL.
func moveTo(t *testing.T, r *Registry, id uuid.UUID, n int) error {
	c := webhook.Change{URL: new(string)}
	*c.URL = fmt.Sprintf("https://example.com/a/%d", n)
	if _, err := r.Update(t.Context(), partner, id, c); err != nil {
		return fmt.Errorf("%w: %w", err, errors.Unwrap(err)) // which says why
	}
	return nil
}

// TestUpdate_ManyOfOneProcess: they do not stand in each other's way, however many they are and
// however slow the machine is.
func TestUpdate_ManyOfOneProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	kv := &colliding{KeyValue: r.kv}
	r.kv = kv
	var g errgroup.Group
	for n := range 24 {
		g.Go(func() error { return moveTo(t, r.Registry, s.ID, n) })
	}
	require.NoError(t, g.Wait())
	require.Zero(t, kv.conflicts.Load())
	require.Empty(t, r.turns.of, "nothing is kept of those who had their turn")
}

// colliding counts the writes that came after another's.
type colliding struct {
	jetstream.KeyValue
	conflicts atomic.Int64
}

func (c *colliding) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	revision, err := c.KeyValue.Update(ctx, key, value, last)
	if conflict(err) {
		c.conflicts.Add(1)
	}
	return revision, err
}

// TestUpdate_WaitsForItsTurnNoLongerThanItsCaller: a change that hangs holds others back, and
// their callers are told in time.
func TestUpdate_WaitsForItsTurnNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.create(t, webhook.New{URL: "https://example.com/a"})
	done, err := r.turns.take(t.Context(), s.ID)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	paused := make(chan error)
	go func() {
		_, err := r.Pause(ctx, partner, s.ID)
		paused <- err
	}()
	require.Eventually(t, func() bool {
		r.turns.mu.Lock()
		defer r.turns.mu.Unlock()
		return r.turns.of[s.ID].wanted == 2
	}, soon, time.Millisecond)
	cancel()
	require.Equal(t, operation.CodeUnavailable, code(t, <-paused))
	done()
	_, err = r.Pause(t.Context(), partner, s.ID)
	require.NoError(t, err)
}

func TestClaim_AbandonedIsTakenOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := webhook.Subscription{ID: uuid.New(), PartnerID: partner, EventName: webhook.EventFailed, URL: "https://example.com/"}
	_, err := r.kv.Create(t.Context(), claimKey(s), []byte(uuid.NewString()))
	require.NoError(t, err)
	e, err := r.kv.Get(t.Context(), claimKey(s))
	require.NoError(t, err)
	free, err := r.abandoned(t.Context(), e, claimKey(s))
	require.NoError(t, err)
	require.False(t, free, "its maker may be about to write the subscription")
	free, err = r.abandoned(t.Context(), aged{e}, claimKey(s))
	require.NoError(t, err)
	require.True(t, free)
	_, err = r.kv.Put(t.Context(), claimKey(s), []byte("garbage"))
	require.NoError(t, err)
	r.create(t, webhook.New{URL: s.URL})
}

// aged is an entry of long ago.
type aged struct{ jetstream.KeyValueEntry }

func (aged) Created() time.Time { return time.Now().Add(-time.Hour) }

func TestSweep_ForgetsAndReseals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone := r.create(t, webhook.New{URL: "https://example.com/gone"})
	kept := r.create(t, webhook.New{URL: "https://example.com/kept", Secret: "a-secret-to-keep"})
	require.NoError(t, r.Delete(t.Context(), partner, gone.ID))
	require.NoError(t, r.Sweep(t.Context()))
	_, err := r.kv.Get(t.Context(), keyOf(gone.ID))
	require.NoError(t, err)
	r.clock.pass(15 * 24 * time.Hour)

	added, err := seal.AddKey(r.keyset)
	require.NoError(t, err)
	promoted, err := seal.Promote(added)
	require.NoError(t, err)
	next := process(t, r.url, promoted, r.clock)
	require.NoError(t, next.Sweep(t.Context()))
	_, err = r.kv.Get(t.Context(), keyOf(gone.ID))
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
	s, err := next.Get(t.Context(), partner, kept.ID)
	require.NoError(t, err)
	require.NotEqual(t, kept.Secrets, s.Secrets)
	secrets, err := next.Secrets(s, r.clock.now())
	require.NoError(t, err)
	require.Equal(t, []string{"a-secret-to-keep"}, secrets)
	require.Eventually(t, func() bool { _, ok, err := r.Find(t.Context(), gone.ID); return err == nil && !ok }, soon, time.Millisecond)
}

func TestRun_IgnoresWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, key := range []string{"subscription.nonsense", keyOf(uuid.New()), "other.key"} {
		_, err := r.kv.Put(t.Context(), key, []byte("{"))
		require.NoError(t, err)
	}
	good := webhook.Subscription{ID: uuid.New(), PartnerID: partner, Status: webhook.Active, EventName: webhook.EventFailed}
	text, err := json.Marshal(good)
	require.NoError(t, err)
	_, err = r.kv.Put(t.Context(), keyOf(good.ID), text)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(r.All()) == 1 }, soon, time.Millisecond)
}

// TestRun_TellsOfOwnChangesToo has the process that gave a subscription up hear of it
// like all others.
func TestRun_TellsOfOwnChangesToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heard := make(chan webhook.Status, 100)
	other := watched(t, r.url, r.keyset, r.clock, func(s webhook.Subscription) { heard <- s.Status })
	made, err := other.Create(t.Context(), partner, webhook.New{URL: "https://example.com/", EventName: webhook.EventFailed})
	require.NoError(t, err)
	_, err = other.Stale(t.Context(), made[0].Subscription, "it failed")
	require.NoError(t, err)
	for status := webhook.Active; status != webhook.Stale; {
		select {
		case status = <-heard:
		case <-time.After(soon):
			t.Fatal("not heard")
		}
	}
}
