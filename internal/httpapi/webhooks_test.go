package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// hooks are webhooks in memory: connOne's id is one of partnerOne's, connOther's one
// of partnerTwo's.
type hooks struct {
	mu      sync.Mutex
	subs    []webhook.Subscription
	rows    []webhook.LogRow // newest first
	metrics webhook.Metrics
	// made, changed, replayed and logged are the last that were asked for.
	made     webhook.New
	changed  webhook.Change
	replayed webhook.ReplayQuery
	logged   webhook.LogQuery
	deleted  []uuid.UUID
	// fault is what every call answers, if set.
	fault error
}

func newHooks() *hooks {
	sub := func(id, partner uuid.UUID) webhook.Subscription {
		return webhook.Subscription{
			ID: id, PartnerID: partner, EventName: webhook.EventFailed, URL: "https://hooks.example/in/hush?key=hush", Status: webhook.Active,
			Schedule: webhook.Short, CreatedAt: worldTime, UpdatedAt: worldTime,
		}
	}
	return &hooks{subs: []webhook.Subscription{sub(connOne, partnerOne), sub(connTwo, partnerOne), sub(connOther, partnerTwo)}}
}

func (h *hooks) Get(_ context.Context, partner, id uuid.UUID) (webhook.Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fault != nil {
		return webhook.Subscription{}, h.fault
	}
	for _, s := range h.subs {
		if s.ID == id && s.PartnerID == partner {
			return s, nil
		}
	}
	return webhook.Subscription{}, &operation.Error{Code: operation.CodeNotFound, Message: "no such webhook"}
}

func (h *hooks) List(_ context.Context, partner uuid.UUID, q webhook.Query) ([]webhook.Subscription, bool, error) {
	var out []webhook.Subscription
	for _, s := range h.subs {
		c := strings.Compare(string(s.ID[:]), string(q.Position[:]))
		past := q.Position == uuid.Nil || c > 0 && !q.Backwards || c < 0 && q.Backwards
		if s.PartnerID == partner && past && (q.EventName == "" || q.EventName == s.EventName) && (q.Status == "" || q.Status == s.Status) {
			out = append(out, s)
		}
	}
	if more := len(out) > q.Limit; more && q.Backwards {
		return out[len(out)-q.Limit:], true, h.fault
	} else if more {
		return out[:q.Limit], true, h.fault
	}
	return out, false, h.fault
}

func (*hooks) Check(address, event *string) (faults []operation.Fault) {
	if address != nil && !strings.HasPrefix(*address, "https://") {
		faults = append(faults, operation.Fault{Path: "body.url", Message: "must be https", Type: "url_parsing"})
	}
	if event != nil && len(webhook.Expand(*event)) == 0 {
		faults = append(faults, operation.Fault{Path: "body.event_name", Input: *event, Message: "never sent", Type: "enum"})
	}
	return faults
}

func (h *hooks) Create(_ context.Context, partner uuid.UUID, n webhook.New) (out []webhook.Created, err error) {
	h.made = n
	for i, name := range webhook.Expand(n.EventName) {
		out = append(out, webhook.Created{Secret: "the-secret-in-clear", Subscription: webhook.Subscription{
			ID: id(0x900 + i), PartnerID: partner, EventName: name, URL: n.URL, Filters: n.Filters, Status: webhook.Active,
			Schedule: webhook.Short, CreatedAt: worldTime, UpdatedAt: worldTime,
		}})
	}
	return out, h.fault
}

func (h *hooks) Update(ctx context.Context, partner, id uuid.UUID, c webhook.Change) (webhook.Subscription, error) {
	h.changed = c
	return h.Get(ctx, partner, id)
}

func (h *hooks) Delete(ctx context.Context, partner, id uuid.UUID) error {
	_, err := h.Get(ctx, partner, id)
	if err == nil {
		h.deleted = append(h.deleted, id)
	}
	return err
}

func (h *hooks) Activate(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error) {
	s, err := h.Get(ctx, partner, id)
	s.Status = webhook.Active
	return s, err
}

func (h *hooks) Pause(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error) {
	s, err := h.Get(ctx, partner, id)
	s.Status = webhook.Paused
	return s, err
}

func (h *hooks) Metrics(ctx context.Context, partner, id uuid.UUID) (webhook.Metrics, error) {
	_, err := h.Get(ctx, partner, id)
	return h.metrics, err
}

// Logs walks as the journal does: positions are exclusive and ordered by their
// millisecond, then by their number.
func (h *hooks) Logs(ctx context.Context, partner uuid.UUID, q webhook.LogQuery) ([]webhook.LogRow, bool, error) {
	h.logged = q
	if _, err := h.Get(ctx, partner, q.Webhook); err != nil {
		return nil, false, err
	}
	here := logPlace(webhook.LogRow{Position: q.Position})
	var out []webhook.LogRow
	for _, row := range h.rows {
		c := logPlace(row).compare(here)
		past := q.Position == "" || c < 0 && !q.Backwards || c > 0 && q.Backwards
		if past && (q.Status == "" || q.Status == row.Status) {
			out = append(out, row)
		}
	}
	switch more := len(out) > q.Limit; {
	case more && q.Backwards:
		return out[len(out)-q.Limit:], true, nil
	case more:
		return out[:q.Limit], true, nil
	}
	return out, false, nil
}

func (h *hooks) Replay(ctx context.Context, partner, id uuid.UUID, q webhook.ReplayQuery) (int, error) {
	h.replayed = q
	_, err := h.Get(ctx, partner, id)
	return 3, err
}

func (a *api) postWebhook(body string) response {
	return a.send(request{method: http.MethodPost, path: webhooksPath, body: body})
}

func TestCreateWebhook(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.postWebhook(`{"url":"https://hooks.example/in/abc","event_name":"resource_operation.failed","schedule":"long",
		"filters":{"fleet_ids":["` + fleetOne.String() + `"],"fleet_refs":["north"]}}`)
	require.Equal(t, 200, got.status, got.text)
	require.Equal(t, map[string]any{
		"id": id(0x900).String(), "partner_id": partnerOne.String(), "event_name": webhook.EventFailed, "status": "active", "schedule": "short",
		"url": "https://hooks.example/in/abc", "secret": "the-secret-in-clear", // in clear, this once
		"filters":    map[string]any{"fleet_ids": []any{fleetOne.String()}, "fleet_refs": []any{"north"}},
		"created_at": "2026-05-04T10:00:00Z", "updated_at": "2026-05-04T10:00:00Z", "deleted_at": nil,
	}, got.body, got.text)
	require.Equal(t, webhook.Long, api.hooks.made.Schedule)
	require.NotEmpty(t, got.header.Get("RateLimit"))

	for name, n := range map[string]int{"resource_operation.*": 3, "webhook.*": 1} {
		got = api.postWebhook(`{"url":"https://hooks.example/in/abc","event_name":"` + name + `"}`)
		require.Equal(t, 200, got.status, got.text)
		var all []wire.Webhook
		require.NoError(t, json.Unmarshal([]byte(got.text), &all), "a list, also of one")
		require.Len(t, all, n)
		require.Nil(t, all[0].Filters)
	}
	require.NotContains(t, api.log.String(), "hush")
	require.NotContains(t, api.log.String(), "in-clear")
}

func TestCreateWebhook_TellsEveryFault(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	paths := func(got response) (out []string) {
		require.Equal(t, 422, got.status, got.text)
		for _, f := range got.body["detail"].([]any) {
			out = append(out, f.(map[string]any)["path"].(string))
		}
		slices.Sort(out)
		return out
	}
	require.Equal(t, []string{"body.event_name", "body.schedule", "body.secret", "body.url"},
		paths(api.postWebhook(`{"url":"http://10.0.0.1/x","event_name":"vehicle.added","secret":"short","schedule":"no"}`)))
	require.Equal(t, []string{"body.event_name", "body.url"}, paths(api.postWebhook(`{}`)))
	require.Equal(t, []string{"body.event_name"}, paths(api.postWebhook(`{"url":"https://x.example","event_name":"no.such"}`)), "once")
	require.Equal(t, []string{"body.schedule", "body.url", "path.webhook_id"}, paths(api.send(request{
		method: http.MethodPatch, path: webhooksPath + "/x", body: `{"url":"http://x.example","schedule":1}`,
	})))
	require.Equal(t, 400, api.postWebhook(`[]`).status)
	require.Equal(t, 415, api.send(request{
		method: http.MethodPost, path: webhooksPath, body: `{}`, header: http.Header{"Content-Type": {"text/plain"}},
	}).status)
	require.Empty(t, api.hooks.made.URL, "nothing was created")

	api.hooks.fault = &operation.Error{Code: operation.CodeConflict, Message: "there is one"}
	got := api.postWebhook(`{"url":"https://x.example","event_name":"webhook.staled"}`)
	require.Equal(t, 409, got.status)
	require.Equal(t, "there is one", got.body["detail"])
}

func TestWebhook_ReadsAreMasked(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	one := webhooksPath + "/" + connOne.String()
	for _, in := range []request{
		{path: one}, {path: webhooksPath}, {method: http.MethodPatch, path: one, body: `{"secret":"a-new-secret"}`},
		{method: http.MethodPost, path: one + "/pause"}, {method: http.MethodPost, path: one + "/activate"},
	} {
		got := api.send(in)
		require.Equal(t, 200, got.status, got.text)
		require.NotContains(t, got.text, "hush")
		require.NotContains(t, got.text, "a-new-secret")
		require.Contains(t, got.text, `"secret":"*****"`)
		require.Contains(t, got.text, `"url":"https://hooks.example/in/*****"`)
	}
	require.Equal(t, "a-new-secret", *api.hooks.changed.Secret)
	require.Equal(t, webhook.Change{Secret: api.hooks.changed.Secret}, api.hooks.changed, "what is not named stays")
	api.send(request{method: http.MethodPatch, path: one, body: `{"url":"https://hooks.example/new","schedule":"long"}`})
	address, schedule := "https://hooks.example/new", webhook.Long
	require.Equal(t, webhook.Change{URL: &address, Schedule: &schedule}, api.hooks.changed)
	api.send(request{method: http.MethodPatch, path: one, body: `{"filters":null}`})
	require.Equal(t, &webhook.Filters{}, api.hooks.changed.Filters)

	got := api.send(request{method: http.MethodDelete, path: one})
	require.Equal(t, 204, got.status)
	require.Empty(t, got.text)
	require.Equal(t, []uuid.UUID{connOne}, api.hooks.deleted)
}

// TestWebhook_ReadsSayWhyItWasGivenUp, and all else that there is to say.
func TestWebhook_ReadsSayWhyItWasGivenUp(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	s := &api.hooks.subs[0]
	s.Filters = webhook.Filters{FleetIDs: []uuid.UUID{fleetOne}, FleetRefs: []string{"north"}}
	s.Status, s.Schedule, s.StaleReason, s.UpdatedAt = webhook.Stale, webhook.Long, "the last 10 deliveries failed", worldTime.Add(time.Hour)
	one := webhooksPath + "/" + connOne.String()
	got := api.get(one)
	require.Equal(t, map[string]any{
		"id": connOne.String(), "url": "https://hooks.example/in/*****", "secret": "*****", "event_name": webhook.EventFailed,
		"filters": map[string]any{"fleet_ids": []any{fleetOne.String()}, "fleet_refs": []any{"north"}},
		"status":  "stale", "schedule": "long", "stale_reason": "the last 10 deliveries failed",
		"created_at": "2026-05-04T10:00:00Z", "updated_at": "2026-05-04T11:00:00Z",
	}, got.body, got.text)
	require.Equal(t, got.body, api.get(webhooksPath + "?status=stale").body["items"].([]any)[0])
	require.Empty(t, api.get(webhooksPath+"?event_name=webhook.staled").ids(t))
	require.Len(t, api.get(webhooksPath+"?event_name="+webhook.EventFailed).ids(t), 2)
}

func TestListWebhooks_Pages(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	first := api.get(webhooksPath + "?size=1")
	require.Equal(t, []string{connOne.String()}, first.ids(t))
	second := api.get(webhooksPath + "?size=1&cursor=" + first.body["next_page"].(string))
	require.Equal(t, []string{connTwo.String()}, second.ids(t))
	require.Nil(t, second.body["next_page"])
	require.Equal(t, []string{connOne.String()}, api.get(webhooksPath+"?size=1&cursor="+second.body["previous_page"].(string)).ids(t))
	require.Equal(t, []string{connTwo.String()}, api.get(webhooksPath+"?size=1&cursor="+second.body["current_page_backwards"].(string)).ids(t))
	require.Empty(t, api.get(webhooksPath+"?status=stale").ids(t))
	require.Equal(t, 400, api.get(webhooksPath+"?status=stale&cursor="+first.body["next_page"].(string)).status)
}

func TestWebhookMetrics(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	average := 0.5
	api.hooks.metrics = webhook.Metrics{
		Hours6: webhook.Window{Attempts: 3, Successes: 1},
		Days14: webhook.Window{
			Attempts: 500, Successes: 399, Messages: 400, Delivered: 399, Answered: 2, ResponseTime: 50 * time.Millisecond,
		},
		AverageSuccess: &average, DeadLetters: 7,
	}
	got := api.get(webhooksPath + "/" + connOne.String() + "/metrics")
	require.Equal(t, 200, got.status, got.text)
	require.Equal(t, connOne.String(), got.body["webhook_id"])
	require.EqualValues(t, 2, got.body["http_failure_attempts"].(map[string]any)["6h"])
	rate := got.body["success_rate"].(map[string]any)
	require.Nil(t, rate["6h"], "too few to say")
	require.EqualValues(t, 99, rate["14d"], "never 100 with a failure")
	require.Equal(t, map[string]any{"6h": nil, "24h": nil, "7d": nil, "14d": 25.0}, got.body["avg_response_time_ms"])
	require.EqualValues(t, 7, got.body["dlq_count"])
	require.EqualValues(t, 0.5, got.body["ewma_success_rate"])
}

// TestWebhookMetrics_EachCountOfEachPeriod has a number of its own.
func TestWebhookMetrics_EachCountOfEachPeriod(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	window := func(n int) webhook.Window {
		return webhook.Window{
			Attempts: 1000*n + 7, Successes: 1000 * n, Messages: 500 * n, Delivered: 400 * n, Answered: 1, ResponseTime: time.Duration(n) * time.Second,
		}
	}
	api.hooks.metrics = webhook.Metrics{Hours6: window(1), Hours24: window(2), Days7: window(3), Days14: window(4)}
	got := api.get(webhooksPath + "/" + connOne.String() + "/metrics").body
	for name, want := range map[string][4]float64{
		"http_attempts": {1007, 2007, 3007, 4007}, "http_success_attempts": {1000, 2000, 3000, 4000}, "http_failure_attempts": {7, 7, 7, 7},
		"message_count": {500, 1000, 1500, 2000}, "message_success_count": {400, 800, 1200, 1600},
		"success_rate": {80, 80, 80, 80}, "avg_response_time_ms": {1000, 2000, 3000, 4000},
	} {
		require.Equal(t, map[string]any{"6h": want[0], "24h": want[1], "7d": want[2], "14d": want[3]}, got[name], name)
	}
}

func TestWebhookLogs_PagesBothWays(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, position := range []string{"12-0", "11-2", "11-1", "11-0", "10-0"} {
		api.hooks.rows = append(api.hooks.rows, webhook.LogRow{
			Position: position, CreatedAt: worldTime, Webhook: connOne, Status: webhook.LogFailed, Problem: position,
			Reference: webhook.Reference{Message: uuid.New(), Event: webhook.EventFailed},
		})
	}
	api.hooks.rows[0].Status, api.hooks.rows[0].StatusCode, api.hooks.rows[0].ResponseTime = webhook.LogSuccess, 204, 9*time.Millisecond
	path := webhooksPath + "/" + connOne.String() + "/logs?size=2"
	rows := func(got response) (out []string) {
		require.Equal(t, 200, got.status, got.text)
		for _, item := range got.body["items"].([]any) {
			out = append(out, item.(map[string]any)["error_message"].(string))
		}
		return out
	}
	turn := func(got response, key string) response { return api.get(path + "&cursor=" + got.body[key].(string)) }
	first := api.get(path)
	require.Equal(t, []string{"12-0", "11-2"}, rows(first))
	require.Equal(t, map[string]any{
		"created_at": "2026-05-04T10:00:00Z", "webhook_id": connOne.String(), "message_id": api.hooks.rows[0].Reference.Message.String(),
		"event_name": webhook.EventFailed, "status": "success", "status_code": 204.0, "response_time_ms": 9.0, "error_message": "12-0",
	}, first.body["items"].([]any)[0])
	none := first.body["items"].([]any)[1].(map[string]any)
	require.Equal(t, []any{"failed", 0.0, nil}, []any{none["status"], none["status_code"], none["response_time_ms"]}, "there was no answer")
	second := turn(first, "next_page")
	require.Equal(t, []string{"11-1", "11-0"}, rows(second))
	third := turn(second, "next_page")
	require.Equal(t, []string{"10-0"}, rows(third))
	require.Nil(t, third.body["next_page"])
	require.Equal(t, rows(second), rows(turn(third, "previous_page")))
	for _, page := range []response{first, second, third} {
		back := turn(page, "current_page_backwards")
		require.Equal(t, rows(page), rows(back)[max(0, len(rows(back))-len(rows(page))):])
		require.Equal(t, rows(page), rows(turn(page, "current_page")))
	}
	require.Equal(t, rows(second), rows(turn(turn(second, "current_page_backwards"), "current_page")))

	cursor := first.body["next_page"].(string)
	require.Equal(t, 400, api.get(webhooksPath+"/"+connTwo.String()+"/logs?size=2&cursor="+cursor).status, "of another webhook")
	require.Equal(t, 422, api.get(path+"&start_date=yesterday").status)
	api.get(path + "&start_date=2026-05-04T10:00:00Z&end_date=2026-05-04T11:00:00Z&status=failed")
	require.Equal(t, webhook.LogQuery{
		Webhook: connOne, From: worldTime, To: worldTime.Add(time.Hour), Status: webhook.LogFailed, Limit: 2,
	}, api.hooks.logged)
}

func TestReplayWebhook(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	path := webhooksPath + "/" + connOne.String() + "/replay"
	got := api.send(request{method: http.MethodPost, path: path})
	require.Equal(t, 202, got.status, got.text)
	require.EqualValues(t, 3, got.body["message_count"])
	require.Equal(t, webhook.ReplayQuery{}, api.hooks.replayed)
	got = api.send(request{method: http.MethodPost, path: path + "?status=failed&start_date=2026-05-04T10:00:00Z&end_date=2026-05-04T11:00:00Z" +
		"&message_ids=" + userOne.String()})
	require.Equal(t, 202, got.status, got.text)
	require.Equal(t, webhook.ReplayQuery{
		Status: webhook.LogFailed, From: worldTime, To: worldTime.Add(time.Hour), Messages: []uuid.UUID{userOne},
	}, api.hooks.replayed)
	require.Equal(t, 422, api.send(request{method: http.MethodPost, path: path + "?status=odd"}).status)
}

func TestEventSchemas(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, event := range wire.ToldEvents() {
		path := "/v2/notifications/schemas/" + event
		newest := api.send(request{path: path, token: token(partnerOne, "any")})
		require.Equal(t, 200, newest.status, newest.text)
		require.Equal(t, event, newest.body["event_name"])
		require.Equal(t, newest.text, api.get(path+"/versions/"+newest.body["version"].(string)).text)
		require.Equal(t, 404, api.get(path+"/versions/9.9").status)
	}
	require.Equal(t, 404, api.get("/v2/notifications/schemas/resource_operation.*").status)
}
