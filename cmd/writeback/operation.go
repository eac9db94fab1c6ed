package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/pkg/operation"
)

// operations is where operation commands go: the store, or the partner API.
type operations interface {
	get(ctx context.Context, connection, id uuid.UUID) (operationView, error)
	list(ctx context.Context, q listing) ([]operationView, error)
	cancel(ctx context.Context, connection, id uuid.UUID) (operationView, error)
	retry(ctx context.Context, connection, id uuid.UUID) (operationView, error)
}

// listing selects operations.
type listing struct {
	connection, partner uuid.UUID
	status              string
	since               time.Duration
	limit               int
}

// operations gives the API if its URL is set, else the store.
func (c *ctl) operations() (operations, error) {
	if c.settings.APIURL == "" {
		return storeOperations{c}, nil
	}
	a, err := c.api()
	return apiOperations{a}, err
}

func payloadFlag(f *pflag.FlagSet, payload *bool) {
	f.BoolVar(payload, "payload", false, "show the values too; they may be personal data")
}

const exampleOperation = " 00000000-0000-7000-8000-0000000000c1 019abcde-0000-7000-8000-000000000001"

func (c *ctl) operationCommands() *cobra.Command {
	payload := false
	one := func(use, about, long string, do oneCall) *cobra.Command {
		return c.command(spec{
			use: use + " <connection_id> <operation_id>", short: about, long: long, first: c.completeConnections,
			example: "writeback operation " + use + exampleOperation,
			flags:   func(f *pflag.FlagSet) { payloadFlag(f, &payload) },
			run: func(ctx context.Context, args []string) error {
				return c.oneOperation(ctx, args, payload, do)
			},
		})
	}
	return c.group("operation", "Operations: what was accepted, what became of it",
		one("get", "An operation, its attempts and why it waits", "", operations.get),
		c.operationList(),
		one("cancel", "End a pending operation",
			"It ends as failed, with a log row that says so. While a call of it is under way it\nstays pending, and that call's end decides.", operations.cancel),
		one("retry", "Accept a failed operation's changes once more",
			"It is a new operation, behind those that the user has outstanding.", operations.retry),
	)
}

// oneCall is one of the operations that concern one operation.
type oneCall func(o operations, ctx context.Context, connection, id uuid.UUID) (operationView, error)

func (c *ctl) oneOperation(ctx context.Context, args []string, payload bool, do oneCall) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	operationID, err := id("operation_id", args[1])
	if err != nil {
		return err
	}
	ops, err := c.operations()
	if err != nil {
		return err
	}
	v, err := do(ops, ctx, connection, operationID)
	if err != nil {
		return err
	}
	v = v.shown(payload)
	return c.print(v, func(w io.Writer) { writeOperation(w, v) })
}

func (c *ctl) operationList() *cobra.Command {
	var q listing
	var connection, partner string
	return c.command(spec{
		use: "list", short: "Operations, newest last",
		long:    "Through the API, those of its partner. From the store, those of one connection or partner.",
		example: "writeback operation list --connection 00000000-0000-7000-8000-0000000000c1 --status failed --since 1h",
		timeout: 2 * time.Minute,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&connection, "connection", "", "of this connection only")
			f.StringVar(&partner, "partner", "", "of this partner only; not through the API")
			f.StringVar(&q.status, "status", "", "pending, success or failed only")
			f.DurationVar(&q.since, "since", 24*time.Hour, "accepted within this time")
			f.IntVar(&q.limit, "limit", 100, "how many to list at most, the newest")
		},
		values: map[string]cobra.CompletionFunc{
			"connection": c.completeConnections,
			"status":     cobra.FixedCompletions([]cobra.Completion{"pending", "success", "failed"}, cobra.ShellCompDirectiveNoFileComp),
		},
		run: func(ctx context.Context, _ []string) (err error) {
			if connection != "" {
				if q.connection, err = id("--connection", connection); err != nil {
					return err
				}
			}
			if partner != "" {
				if q.partner, err = id("--partner", partner); err != nil {
					return err
				}
			}
			return c.listOperations(ctx, q)
		},
	})
}

func (c *ctl) listOperations(ctx context.Context, q listing) error {
	if q.limit < 1 || q.since <= 0 || q.since > 45*24*time.Hour {
		return wrongUsage("operation list: --limit must be 1 or more, --since up to 1080h")
	}
	if q.status != "" && !operation.Status(q.status).Valid() {
		return wrongUsage("operation list: --status must be pending, success or failed")
	}
	ops, err := c.operations()
	if err != nil {
		return err
	}
	views := []operationView{}
	err = c.busy(ctx, "listing operations", func(ctx context.Context) (err error) {
		views, err = ops.list(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	for i := range views {
		views[i] = views[i].shown(false)
	}
	return c.print(views, func(w io.Writer) {
		row(w, "OPERATION", "CONNECTION", "USER", "TYPE", "STATUS", "CREATED", "UPDATED", "ATTEMPTS")
		for _, v := range views {
			row(w, v.ID, v.Connection, v.ResourceID, v.Type, v.Status, when(v.CreatedAt), when(v.UpdatedAt), v.Attempted)
		}
	})
}

// operationView is an operation as it is printed: no credentials, no idempotency
// key, and the values only if asked. What the API does not tell is empty.
type operationView struct {
	ID         uuid.UUID               `json:"id"`
	Connection uuid.UUID               `json:"connection_id"`
	Partner    uuid.UUID               `json:"partner_id"`
	Provider   string                  `json:"provider"`
	Resource   string                  `json:"resource"`
	ResourceID uuid.UUID               `json:"resource_id"`
	SourceID   string                  `json:"source_id"`
	Type       operation.Type          `json:"type"`
	Sync       bool                    `json:"is_sync"`
	RetryOf    *uuid.UUID              `json:"retry_of"`
	Trace      string                  `json:"traceparent"`
	Status     operation.Status        `json:"status"`
	Seq        int64                   `json:"seq"`
	CreatedAt  time.Time               `json:"created_at"`
	UpdatedAt  time.Time               `json:"updated_at"`
	Deadline   *time.Time              `json:"deadline"`
	Attempted  int                     `json:"attempted"`
	Cancelling bool                    `json:"cancel_requested"`
	Waits      string                  `json:"waits"`
	WaitsUntil *time.Time              `json:"waits_until"`
	Behind     *uuid.UUID              `json:"waits_behind"`
	Fields     []operation.Field       `json:"fields"`
	Payload    map[operation.Field]any `json:"payload,omitempty"`
	Attempts   []attemptView           `json:"attempts"`
}

type attemptView struct {
	ID        uuid.UUID               `json:"id"`
	StartedAt time.Time               `json:"started_at"`
	EndedAt   time.Time               `json:"ended_at"`
	Status    operation.AttemptStatus `json:"status"`
	ErrorType operation.ErrorType     `json:"error_type"`
	Code      int                     `json:"status_code"`
	Unknown   bool                    `json:"outcome_unknown"`
	Detail    string                  `json:"detail"`
	TraceID   string                  `json:"trace_id"`
}

// made tells an attempt from a row that explains an end without one.
func (a attemptView) made() bool {
	return a.Status == operation.AttemptSucceeded || a.ErrorType != ""
}

// shown is the view without the values, unless they are wanted.
func (v operationView) shown(values bool) operationView {
	v.Fields = slices.Sorted(maps.Keys(v.Payload))
	if v.Fields == nil {
		v.Fields = []operation.Field{}
	}
	if !values {
		v.Payload = nil
	}
	return v
}

func writeOperation(w io.Writer, v operationView) {
	row(w, "operation", v.ID)
	row(w, "status", v.Status)
	row(w, "connection", v.Connection)
	row(w, "partner", v.Partner)
	row(w, "provider", v.Provider)
	row(w, "writes", fmt.Sprintf("%s %s %s (source id %q)", v.Type, v.Resource, v.ResourceID, v.SourceID))
	row(w, "sync", yes(v.Sync))
	if v.RetryOf != nil {
		row(w, "retry of", *v.RetryOf)
	}
	row(w, "created", when(v.CreatedAt))
	row(w, "updated", when(v.UpdatedAt))
	row(w, "deadline", moment(v.Deadline))
	row(w, "trace", cmp.Or(v.Trace, "-"))
	row(w, "fields", v.Fields)
	for _, field := range slices.Sorted(maps.Keys(v.Payload)) {
		row(w, "  "+string(field), fmt.Sprintf("%q", fmt.Sprint(v.Payload[field])))
	}
	if v.Cancelling {
		row(w, "cancel", "requested; the call under way decides")
	}
	if v.Waits != "" {
		wait := v.Waits
		if v.WaitsUntil != nil {
			wait += " until " + when(*v.WaitsUntil)
		}
		if v.Behind != nil {
			wait += " " + v.Behind.String()
		}
		row(w, "waits", wait)
	}
	number := 0
	for _, a := range v.Attempts {
		name := "end"
		if a.made() {
			number++
			name = fmt.Sprintf("attempt %d", number)
		}
		text := fmt.Sprintf("%s to %s %s", when(a.StartedAt), when(a.EndedAt), a.Status)
		if a.ErrorType != "" {
			text += " " + string(a.ErrorType)
		}
		if a.Code != 0 {
			text += fmt.Sprintf(" %d", a.Code)
		}
		if a.TraceID != "" {
			text += ", trace " + a.TraceID
		}
		row(w, name, text)
		if a.Detail != "" {
			row(w, "", a.Detail)
		}
	}
}
