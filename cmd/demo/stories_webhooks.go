package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/webhook"
)

const maxDelivery = 1 << 20

// webhooks subscribes to what happens to operations, writes one field, and checks what
// arrives: at the endpoint, and on the live tail.
func (d *demo) webhooks(ctx context.Context) error {
	r, err := newReceiver(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	made, err := d.subscribe(ctx, r)
	if err != nil {
		return err
	}
	told, hangUp, err := d.follow(ctx)
	if err != nil {
		return err
	}
	defer hangUp()
	w, err := d.async(ctx, user{sandbox.Motive, 2, 7}, values{"employee_number": "E-41"})
	if err != nil {
		return err
	}
	ids, err := d.delivered(ctx, r, w)
	if err != nil {
		return err
	}
	if err := d.followed(ctx, told, ids); err != nil {
		return err
	}
	return d.unsubscribe(ctx, made)
}

func (d *demo) subscribe(ctx context.Context, r *receiver) ([]wire.Webhook, error) {
	url := d.c.api + "/v2/notifications/webhooks"
	body := values{"url": r.url, "event_name": "resource_operation.*"}
	d.p.row("asked", "POST /v2/notifications/webhooks")
	d.p.row("", "%s", pairs(body))
	var made []wire.Webhook
	if err := d.c.must(ctx, http.StatusOK, http.MethodPost, url, body, &made); err != nil {
		return nil, err
	}
	if len(made) != 3 {
		return nil, fmt.Errorf("%d webhooks were made, not one for each of 3 events", len(made))
	}
	for _, one := range made {
		r.know(one.Secret)
		var read wire.WebhookRead
		if err := d.c.must(ctx, http.StatusOK, http.MethodGet, url+"/"+one.ID.String(), nil, &read); err != nil {
			return nil, err
		}
		if read.Secret == one.Secret || read.URL == one.URL {
			return nil, fmt.Errorf("webhook %s shows its secret or its URL", one.ID)
		}
	}
	d.p.row("answer", "%s with %d webhooks; their secrets are shown this once", d.p.code(http.StatusOK), len(made))
	return made, nil
}

// delivered tells what the endpoint received about an operation, checks the signatures
// and gives the events' ids by name.
func (d *demo) delivered(ctx context.Context, r *receiver, w written) (map[string]string, error) {
	ids := map[string]string{}
	for len(ids) < 2 {
		var got delivery
		select {
		case got = <-r.got:
		case <-ctx.Done():
			return nil, fmt.Errorf("the endpoint received %d events, not 2: %w", len(ids), context.Cause(ctx))
		}
		if got.err != nil {
			return nil, fmt.Errorf("the endpoint received something that is not signed as it should be: %w", got.err)
		}
		var op wire.ResourceOperationRead
		if len(got.event.Data) != 1 || json.Unmarshal(got.event.Data[0], &op) != nil || op.ID != w.op.ID {
			return nil, fmt.Errorf("event %s is not about operation %s", got.event.ID, w.op.ID)
		}
		ids[got.event.EventName] = got.event.ID
		d.p.row("received", "%s %s, signature right", got.event.EventName, got.event.ID)
		d.p.row("", "attempt %d: status=%s, %d attempts at the provider", got.event.DeliveryAttempt, op.Status, len(op.Logs))
		forged := append([]byte(" "), got.body...)
		if _, err := webhook.Verify(r.known(), got.header, forged, time.Now()); !errors.Is(err, webhook.ErrSignature) {
			return nil, errors.New("a changed body passed as signed")
		}
	}
	if ids["resource_operation.created"] == "" || ids["resource_operation.succeeded"] == "" {
		return nil, fmt.Errorf("the events were %v", ids)
	}
	d.p.row("forged", "the same with one byte more is refused")
	return ids, nil
}

// followed checks that the live tail tells the same events.
func (d *demo) followed(ctx context.Context, told <-chan wire.OperationEvent, ids map[string]string) error {
	seen := map[string]bool{}
	for len(seen) < len(ids) {
		select {
		case e, open := <-told:
			if !open {
				return errors.New("the live tail ended")
			}
			if ids[e.EventName] != e.ID.String() {
				return fmt.Errorf("the live tail tells of %s %s, which no webhook did", e.EventName, e.ID)
			}
			seen[e.EventName] = true
		case <-ctx.Done():
			return fmt.Errorf("the live tail told %d events: %w", len(seen), context.Cause(ctx))
		}
	}
	d.p.row("live tail", "GET .../resource-operations/events told the same two, by the same ids")
	return nil
}

func (d *demo) unsubscribe(ctx context.Context, made []wire.Webhook) error {
	for _, one := range made {
		url := d.c.api + "/v2/notifications/webhooks/" + one.ID.String()
		if err := d.c.must(ctx, http.StatusNoContent, http.MethodDelete, url, nil, nil); err != nil {
			return err
		}
		if err := d.c.must(ctx, http.StatusNotFound, http.MethodGet, url, nil, nil); err != nil {
			return err
		}
	}
	d.p.row("deleted", "%d webhooks, %s each", len(made), d.p.code(http.StatusNoContent))
	d.p.row("ended", "%s", d.p.good(string(operation.Succeeded)))
	d.p.gap()
	return nil
}

// follow opens a live tail and gives what it tells from now on.
func (d *demo) follow(ctx context.Context) (<-chan wire.OperationEvent, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.c.api+"/v2/integrations/connections/resource-operations/events", http.NoBody)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.c.token)
	resp, err := d.c.http.Do(req) //nolint:bodyclose // the returned stop closes it
	if err != nil {
		cancel()
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		cancel()
		_ = resp.Body.Close()
		return nil, nil, fmt.Errorf("the live tail was answered with %d", resp.StatusCode)
	}
	told, done := make(chan wire.OperationEvent, 16), make(chan struct{})
	go func() {
		defer close(done)
		defer close(told)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxDelivery)
		for lines.Scan() {
			text, is := strings.CutPrefix(lines.Text(), "data: ")
			var e wire.OperationEvent
			if !is || json.Unmarshal([]byte(text), &e) != nil || e.ID == uuid.Nil {
				continue
			}
			select {
			case told <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return told, func() { cancel(); _ = resp.Body.Close(); <-done }, nil
}

// delivery is one request as the endpoint received it.
type delivery struct {
	event  webhook.Event
	header http.Header
	body   []byte
	err    error
}

// receiver is a partner's endpoint.
type receiver struct {
	url    string
	server *http.Server
	done   chan struct{}
	got    chan delivery

	mu      sync.Mutex
	secrets []string
}

func newReceiver(ctx context.Context) (*receiver, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", freePort)
	if err != nil {
		return nil, err
	}
	r := &receiver{url: "http://" + ln.Addr().String() + "/hooks/demo", done: make(chan struct{}), got: make(chan delivery, 64)}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func() { defer close(r.done); _ = r.server.Serve(ln) }()
	return r, nil
}

// close ends the endpoint.
func (r *receiver) close() {
	_ = r.server.Close()
	<-r.done
}

func (r *receiver) know(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secret)
}

func (r *receiver) known() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.secrets...)
}

// ServeHTTP checks the signature and answers at once, as a receiver should.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d := delivery{header: req.Header.Clone()}
	if d.body, d.err = webhook.ReadBody(req, maxDelivery); d.err == nil {
		d.event, d.err = webhook.Verify(r.known(), req.Header, d.body, time.Now())
	}
	select {
	case r.got <- d:
	default: // the story has what it wants
	}
	w.WriteHeader(http.StatusAccepted)
}
