package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/seal"
	"writeback/internal/webhook"
	"writeback/internal/webhook/journal"
	"writeback/internal/webhook/registry"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

const hookSecret = "whsec_UGxhbnRlZFNlY3JldA=="

// hooks are webhooks that the tool looks at, with what workers keep of them.
type hooks struct {
	*desk
	subs    *registry.Registry
	queue   *redisstore.Store
	journal *journal.Journal
}

func newHooks(t *testing.T, d *desk) *hooks {
	t.Helper()
	keyset, err := seal.Generate()
	require.NoError(t, err)
	sealer, err := seal.New(keyset)
	require.NoError(t, err)
	subs, err := registry.Open(t.Context(), d.js, sealer, func(*url.URL) error { return nil }, registry.Config{})
	require.NoError(t, err)
	opt, err := redis.ParseURL(strings.TrimPrefix(d.environ[0], "WRITEBACK_REDIS_URL="))
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	h := &hooks{desk: d, subs: subs, queue: redisstore.New(rdb, queues["webhooks"]), journal: journal.New(rdb, nil)}
	require.NoError(t, h.queue.Begin(t.Context(), everyShard()))
	return h
}

// subscribe makes a webhook of a partner.
func (h *hooks) subscribe(partner uuid.UUID, url string) webhook.Subscription {
	h.t.Helper()
	made, err := h.subs.Create(h.t.Context(), partner, webhook.New{URL: url, EventName: webhook.EventFailed, Secret: hookSecret})
	require.NoError(h.t, err)
	return made[0].Subscription
}

// wait puts deliveries into a webhook's queue.
func (h *hooks) wait(s webhook.Subscription, n int) {
	h.t.Helper()
	for range n {
		_, err := h.queue.Accept(h.t.Context(), operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: s.PartnerID, ConnectionID: s.ID,
			Provider: "webhook", Resource: s.EventName, SourceID: "{}", Type: operation.Update,
		}, (&webhook.Fanout{}).Limits(s.ID))
		require.NoError(h.t, err)
	}
}

func (h *hooks) list(args ...string) []webhookView {
	h.t.Helper()
	return asJSON[[]webhookView](h.desk, append([]string{"webhook", "list"}, args...)...)
}

func idsOf(views []webhookView) []uuid.UUID {
	out := []uuid.UUID{}
	for _, v := range views {
		out = append(out, v.Webhook)
	}
	return out
}

func TestWebhook_ListSaysWhatWaitsAndWhy(t *testing.T) {
	t.Parallel()
	h := newHooks(t, newDesk(t))
	partner, other := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	well := h.subscribe(partner, "https://example.com/well")
	busy := h.subscribe(partner, "https://example.com/token-9")
	dying := h.subscribe(partner, "https://example.com/dying")
	paused := h.subscribe(other, "https://example.com/paused")
	stale := h.subscribe(other, "https://example.com/stale")
	gone := h.subscribe(other, "https://example.com/gone")
	h.wait(busy, 2)
	require.NoError(t, h.queue.Block(t.Context(), busy.ID, time.Hour))
	require.NoError(t, h.journal.Ended(t.Context(), webhook.Ended{Webhook: dying.ID, Delivery: uuid.New(), Dead: true}))
	_, err := h.subs.Pause(t.Context(), other, paused.ID)
	require.NoError(t, err)
	_, err = h.subs.Stale(t.Context(), stale, "the last 10 deliveries failed")
	require.NoError(t, err)
	require.NoError(t, h.subs.Delete(t.Context(), other, gone.ID))

	got := h.list()
	require.ElementsMatch(t, []uuid.UUID{busy.ID, dying.ID, paused.ID, stale.ID}, idsOf(got))
	require.Equal(t, []uuid.UUID{busy.ID, dying.ID}, idsOf(got)[:2], "the longest queue is first, then most that died")
	v := got[0]
	require.Equal(t, []any{partner, webhook.EventFailed, "https://example.com/*****", "active", 2, 0, false, 0},
		[]any{v.Partner, v.Event, v.Endpoint, v.Status, *v.Waiting, *v.InFlight, *v.Full, v.Dead})
	require.NotNil(t, v.Oldest)
	require.WithinDuration(t, time.Now().Add(time.Hour), *v.Blocked, 5*time.Minute)
	require.Equal(t, []any{1, 0}, []any{got[1].Dead, *got[1].Waiting})

	require.ElementsMatch(t, []uuid.UUID{well.ID, busy.ID, dying.ID, paused.ID, stale.ID}, idsOf(h.list("--all")))
	require.ElementsMatch(t, []uuid.UUID{well.ID, busy.ID, dying.ID}, idsOf(h.list("--all", "--partner", partner.String())))
	only := h.list("--status", "stale")
	require.Equal(t, []uuid.UUID{stale.ID}, idsOf(only))
	require.Equal(t, "the last 10 deliveries failed", only[0].Reason)
	require.Empty(t, h.list("--all", "--partner", uuid.NewString()))

	text, _ := h.ctl(0, "webhook", "list", "--all")
	require.Regexp(t, busy.ID.String()+" +"+partner.String()+" +"+webhook.EventFailed+` +active +2 +\d{4}-\S+ +0 +\d{4}-\S+ +- +0 +https://example.com/\*{5}\n`, text)
	require.NotContains(t, text, "token-9")

	// A shard without data does not hide the subscription.
	require.NoError(t, h.queue.Withdraw(t.Context(), []int{operation.ShardOf(busy.ID)}))
	out, errOut := h.ctl(0, "webhook", "list", "--json")
	require.Contains(t, errOut, "see: writeback shards --queue webhooks")
	var after []webhookView
	require.NoError(t, json.Unmarshal([]byte(out), &after))
	require.Contains(t, idsOf(after), busy.ID)
	for _, v := range after {
		require.Equal(t, operation.ShardOf(v.Webhook) == operation.ShardOf(busy.ID), v.Waiting == nil)
	}
}

func TestWebhook_ListSaysWhatIsFull(t *testing.T) {
	t.Parallel()
	now, full := time.Now(), redisstore.Lane{Outstanding: webhook.MostWaiting}
	full.Now, full.BreakerUntil = now, now.Add(time.Second)
	v := viewWebhook(webhook.Subscription{}, &full, 0)
	require.True(t, *v.Full)
	require.NotNil(t, v.Silent)
	require.Nil(t, v.Blocked)
	var out bytes.Buffer
	writeWebhooks(&out, []webhookView{v})
	require.Contains(t, out.String(), "200000 (full)")
	out.Reset()
	writeWebhook(&out, webhookDetail{webhookView: v})
	require.Contains(t, out.String(), "200000, no more may")
	less := redisstore.Lane{Outstanding: webhook.MostWaiting - 1}
	require.False(t, *viewWebhook(webhook.Subscription{}, &less, 0).Full)
}

func TestWebhook_ShowHasTheLastSendsAndNoSecret(t *testing.T) {
	t.Parallel()
	h := newHooks(t, newDesk(t))
	s := h.subscribe(uuid.Must(uuid.NewV7()), "https://example.com/a/token-9?key=planted")
	h.wait(s, 3)
	last := webhook.Reference{Message: uuid.Must(uuid.NewV7()), Event: webhook.EventFailed, At: time.Now()}
	for i := range lastSends + 1 {
		sent := webhook.Sent{Webhook: s.ID, Reference: webhook.Reference{Message: uuid.New()}, At: time.Now(), Code: 200, Success: true, Took: 40 * time.Millisecond}
		if i == lastSends {
			sent = webhook.Sent{Webhook: s.ID, Reference: last, At: time.Now(), Problem: "no answer within 3s", Took: 3 * time.Second}
		}
		require.NoError(t, h.journal.Sent(t.Context(), sent))
	}
	require.NoError(t, h.journal.Ended(t.Context(), webhook.Ended{Webhook: s.ID, Delivery: uuid.New(), Success: true}))
	_, err := h.journal.Observe(t.Context(), s, true)
	require.NoError(t, err)

	v := asJSON[webhookDetail](h.desk, "webhook", "show", s.ID.String())
	require.Equal(t, []any{s.ID, 3, "short", 0}, []any{v.Webhook, *v.Waiting, v.Schedule, v.Filters})
	require.InDelta(t, 1.0, *v.Average, 1e-9)
	require.Equal(t, windowView{Sends: lastSends + 1, Arrived: lastSends, Messages: 1, Delivered: 1, Average: 40}, v.Hours6)
	require.Equal(t, v.Hours6, v.Hours24)
	require.Len(t, v.Sends, lastSends, "the newest, and no more")
	newest := v.Sends[0]
	require.Equal(t, []any{last.Message, webhook.EventFailed, "failed", 0, "no answer within 3s", 3000},
		[]any{newest.Message, newest.Event, newest.Status, newest.Code, newest.Problem, newest.Took})

	text, _ := h.ctl(0, "webhook", "show", s.ID.String())
	require.Regexp(t, `(?m)^endpoint +https://example.com/a/\*{5}$`, text)
	require.Regexp(t, `(?m)^6 hours +11 sends, 10 answered with 2xx, 40 ms on average; 1 messages ended, 1 of them delivered$`, text)
	require.Regexp(t, `(?m)^send .*`+last.Message.String()+`: 0, no answer within 3s, 3000 ms$`, text)
	for _, secret := range []string{hookSecret, "token-9", "planted"} {
		require.NotContains(t, text, secret)
	}
}

// What an operator changes, programs that run learn.
func TestWebhook_PauseAndActivate(t *testing.T) {
	t.Parallel()
	h := newHooks(t, newDesk(t))
	s := h.subscribe(uuid.Must(uuid.NewV7()), "https://example.com/hook")
	stored := func() webhook.Status {
		r, err := registry.Existing(t.Context(), h.js)
		require.NoError(t, err)
		now, ok, err := r.Find(t.Context(), s.ID)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, s.Secrets, now.Secrets)
		return now.Status
	}
	type answer struct {
		Webhook uuid.UUID `json:"webhook_id"`
		Status  webhook.Status
	}
	require.Equal(t, answer{s.ID, webhook.Paused}, asJSON[answer](h.desk, "webhook", "pause", s.ID.String()))
	require.Equal(t, webhook.Paused, stored())
	text, _ := h.ctl(0, "webhook", "activate", s.ID.String())
	require.Equal(t, "active  "+s.ID.String()+"\n", text)
	require.Equal(t, webhook.Active, stored())
	now, err := registry.Existing(t.Context(), h.js)
	require.NoError(t, err)
	fresh, _, err := now.Find(t.Context(), s.ID)
	require.NoError(t, err)
	require.True(t, fresh.ActivatedAt.After(s.ActivatedAt), "the breaker begins anew")

	out, _ := h.ctl(0, "__complete", "webhook", "pause", "")
	require.Contains(t, out, s.ID.String()+"\t"+webhook.EventFailed+" active")

	require.NoError(t, h.subs.Delete(t.Context(), s.PartnerID, s.ID))
	for _, id := range []string{uuid.NewString(), s.ID.String()} {
		for _, command := range []string{"show", "pause", "activate"} {
			_, errOut := h.ctl(1, "webhook", command, id)
			require.Contains(t, errOut, "there is no such webhook; see: writeback webhook list --all")
		}
	}
}

func TestWebhook_Refusals(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, args := range [][]string{{"list"}, {"show", uuid.NewString()}, {"pause", uuid.NewString()}, {"activate", uuid.NewString()}} {
		_, errOut := d.ctl(1, append([]string{"webhook"}, args...)...)
		require.Contains(t, errOut, "there are no webhooks: no worker", "and none are made")
	}
	for want, args := range map[string][]string{
		`webhook_id "x" is not a UUID`:                     {"show", "x"},
		`--partner "x" is not a UUID`:                      {"list", "--partner", "x"},
		"--status must be active, paused or stale":         {"list", "--status", "deleted"},
		"webhook activate takes <webhook_id>":              {"activate"},
		"no such command: writeback webhook stop; did you": {"stop"},
	} {
		_, errOut := d.ctl(2, append([]string{"webhook"}, args...)...)
		require.Contains(t, errOut, want)
	}
	lost := &desk{t: t, environ: []string{d.environ[0], "WRITEBACK_NATS_URL=nats://user:hunter2@127.0.0.1:1"}}
	_, errOut := lost.ctl(1, "webhook", "list")
	require.Contains(t, errOut, "NATS: ")
	require.NotContains(t, errOut, "hunter2")
}
