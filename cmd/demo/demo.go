package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// demo plays the stories against a running stack.
type demo struct {
	stack *devstack.Stack
	c     *client
	p     printer
}

func newDemo(stack *devstack.Stack, p printer) *demo {
	u := stack.URLs()
	return &demo{stack: stack, p: p, c: &client{
		http: &http.Client{Transport: &http.Transport{}}, api: u.API, sandbox: u.Sandbox,
	}}
}

func (d *demo) close() { d.c.http.CloseIdleConnections() }

// tell plays the stories in order. The first thing that is not as told is the
// error.
func (d *demo) tell(ctx context.Context) error {
	token, err := d.stack.Token(ctx, devstack.DemoClient, devstack.DemoSecret)
	if err != nil {
		return err
	}
	d.c.token = token
	for i, story := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"One update, four providers: each gets it in its own words", d.providers},
		{"The provider fails twice: tried again after growing, random waits", d.retried},
		{"A wrong request: every fault is named at once, nothing is stored or sent", d.refused},
		{"is_sync=true: written inside the request", d.sync},
		{"Two quick updates of one user: they arrive in order, even behind a slow call", d.ordered},
		{"Read, change, write back: Geotab keeps fields that the request did not name", d.kept},
		{"A new user: it has its ids once the provider has made it", d.created},
		{"dry_run=true: what would be sent, and nothing is", d.dryRun},
		{"Webhooks: told of each step, signed, and on a live tail", d.webhooks},
	} {
		d.p.story(i+1, story.title)
		if err := story.play(ctx); err != nil {
			return fmt.Errorf("story %d: %w", i+1, err)
		}
	}
	return nil
}

// user is one of the made-up people, at one of the dev connections.
type user struct {
	provider  string
	digit, nr int
}

func (u user) id() string         { return sandbox.UserID(u.digit, u.nr) }
func (u user) connection() string { return sandbox.ConnectionID(u.digit) }

// values are fields by their name, ours or the provider's.
type values map[string]any

// written is an update that was taken, and how it ended.
type written struct {
	user  user
	asked values
	op    wire.ResourceOperationRead
	took  time.Duration
}

// write sends an update and tells it. The answer must have the status.
func (d *demo) write(ctx context.Context, u user, asked values, query string, want int) (wire.ResourceOperation, error) {
	d.p.row("asked", "PATCH /v2/telematics/users/%s%s", u.id(), query)
	d.p.row("", "%s", pairs(asked))
	body := maps.Clone(asked)
	body["connection_id"] = u.connection()
	began := time.Now()
	var op wire.ResourceOperation
	status, err := d.c.call(ctx, http.MethodPatch, d.c.userURL(u)+query, body, &op)
	if err != nil {
		return op, fmt.Errorf("%s: %w", u.provider, err)
	}
	if status != want {
		return op, fmt.Errorf("%s: the update was answered with %d, not %d", u.provider, status, want)
	}
	d.p.row("answer", "%s in %s, operation %s", d.p.code(status), short(time.Since(began)), op.ID)
	return op, nil
}

// async sends an update, waits for its end and tells its attempts. It must end
// well.
func (d *demo) async(ctx context.Context, u user, asked values) (written, error) {
	op, err := d.write(ctx, u, asked, "", http.StatusAccepted)
	if err != nil {
		return written{}, err
	}
	if op.Status != operation.Pending || len(op.Logs) != 0 {
		return written{}, fmt.Errorf("%s: a new operation is %s with %d attempts", u.provider, op.Status, len(op.Logs))
	}
	return d.end(ctx, u, asked, op.ID)
}

// end waits for an operation's end and tells its attempts.
func (d *demo) end(ctx context.Context, u user, asked values, id uuid.UUID) (written, error) {
	w := written{user: u, asked: asked}
	var err error
	if w.op, err = d.c.ended(ctx, u.connection(), id); err != nil {
		return w, fmt.Errorf("%s: %w", u.provider, err)
	}
	w.took = w.op.UpdatedAt.Sub(w.op.CreatedAt)
	for i := range w.op.Logs {
		d.p.attempt(w.op.Logs, i)
	}
	if w.op.Status != operation.Succeeded {
		return w, fmt.Errorf("%s: operation %s ended %s%s", u.provider, id, w.op.Status, lastError(w.op.Logs))
	}
	return w, nil
}

// atProvider tells what the provider received and holds, and checks it: calls are
// the statuses of its write calls, and it must hold the wanted fields.
func (d *demo) atProvider(ctx context.Context, w written, calls []int, want values) error {
	records, err := d.c.received(ctx, w.user)
	if err != nil {
		return err
	}
	var statuses []int
	for _, r := range records {
		d.p.received(r, want)
		if r.Write {
			statuses = append(statuses, r.Status)
		}
	}
	if !slices.Equal(statuses, calls) {
		return fmt.Errorf("%s: the write calls were answered with %v, not %v", w.user.provider, statuses, calls)
	}
	held, err := d.c.held(ctx, w.user)
	if err != nil {
		return err
	}
	return d.holds(w, held, want)
}

// holds checks the fields at the provider and ends the story of an operation.
func (d *demo) holds(w written, held map[string]any, want values) error {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if held[key] != want[key] {
			return fmt.Errorf("%s: the provider holds %s=%v, not %v", w.user.provider, key, held[key], want[key])
		}
	}
	d.p.row("now holds", "%s", pairs(want))
	d.p.row("ended", "%s, %s after it was accepted", d.p.good(string(w.op.Status)), short(w.took))
	// No URL: when it is read, nothing is there any more.
	d.p.row("read at", "GET %s", operationPath(w.user.connection(), w.op.ID))
	d.p.gap()
	return nil
}

func lastError(logs []wire.Log) string {
	if len(logs) == 0 || logs[len(logs)-1].ErrorDetails == nil {
		return ""
	}
	return ": " + *logs[len(logs)-1].ErrorDetails
}
