package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/directory"
	"writeback/internal/metrics"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// Attempter makes one call to a provider and says what came of it. Safe for
// concurrent use.
type Attempter struct {
	parts   Parts
	cfg     Config
	metrics meters
}

// NewAttempter makes an attempter.
func NewAttempter(parts Parts, cfg Config) *Attempter {
	return &Attempter{parts: parts, cfg: cfg.withDefaults(), metrics: newMetrics(metrics.QueueOperations)}
}

// Attempt makes the call that the lease stands for. It never fails: whatever
// happens is the outcome. ctx is broken off only when the process must stop.
func (a *Attempter) Attempt(ctx context.Context, lease redisstore.Lease) redisstore.Outcome {
	began := time.Now()
	result, reach, failure := a.call(ctx, lease)
	failure = a.hide(lease.Accepted, failure)
	ended := time.Now()
	if failure != nil && errors.Is(failure, errNotMade) && !lease.Sync {
		a.parts.Log.WarnContext(ctx, "attempt not made", "operation_id", lease.ID, "connection_id", lease.ConnectionID,
			"provider", lease.Provider, "cause", failure.Err)
		return redisstore.Outcome{}
	}

	decision := operation.Decide(failure, operation.Situation{
		Number: lease.Number, MaxAttempts: lease.MaxAttempts, Left: lease.Left - ended.Sub(began),
		Refreshed: lease.Refused != "", Sync: lease.Sync,
	}, a.cfg.Backoff)
	if failure != nil && failure.Type == operation.ErrorNetwork {
		reach = redisstore.Unreached
		if errors.Is(context.Cause(ctx), errStopping) {
			reach = redisstore.Uncalled // our own stop says nothing about the provider
		}
	}
	if failure == nil {
		decision.Block = result.RetryAfter
	}
	out := redisstore.Outcome{
		Connection: lease.ConnectionID, Decision: decision, Reach: reach, Accepted: &lease.Accepted,
		Attempt: row(lease, began, ended, result, failure, decision), Refused: result.refused,
	}
	if failure == nil && result.sourceID != "" {
		out.SourceID = result.sourceID
		out.ResourceID = directory.UserID(lease.ConnectionID, result.sourceID)
	}
	out.Attempt.TraceID = traceOf(ctx)
	a.tell(ctx, lease, out, failure)
	return out
}

// call finds everything the provider needs and makes the one call.
func (a *Attempter) call(ctx context.Context, lease redisstore.Lease) (written, redisstore.Reach, *operation.Failure) {
	t, failure := a.target(lease.Accepted)
	if failure != nil {
		return written{}, redisstore.Uncalled, cmp.Or(a.unheard(lease), failure)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.limits.Call, errCallOver)
	defer cancel()
	if failure := a.prepare(ctx, &t, lease.Refused); failure != nil {
		return written{}, redisstore.Uncalled, failure
	}
	if failure := a.late(lease); failure != nil {
		return written{}, redisstore.Uncalled, failure
	}
	w, failure := write(ctx, t, lease.Accepted, lease.Repeat || lease.Number > 1)
	if failure != nil {
		if failure.Refresh {
			w.refused = t.conn.Credentials.Mark()
		}
		if failure.StatusCode == 0 && failure.Type == operation.ErrorValidation {
			return w, redisstore.Uncalled, failure
		}
		return w, redisstore.Answered, failure
	}
	w.unapplied = a.readBack(ctx, t, lease, w)
	return w, redisstore.Answered, nil
}

// errCallOver is the cause of calls that took too long.
var errCallOver = errors.New("the call deadline passed")

// unheard leaves an operation for a moment that was just accepted on a connection which is not
// active by what this process knows, and which it knows from before: the process that accepted it
// may have heard already that it is active again. The end of an operation is final.
func (a *Attempter) unheard(lease redisstore.Lease) *operation.Failure {
	conn, ok := a.parts.Directory.ConnectionByID(lease.ConnectionID)
	accepted := lease.CreatedAt()
	if !ok || lease.Sync || conn.Status == directory.ConnectionActive || !accepted.After(conn.UpdatedAt) || time.Since(accepted) > a.cfg.Hears {
		return nil
	}
	return notMade(errUnheard, "the worker may not have heard yet that the connection is active")
}

// errUnheard says that the directory may lag behind that of whoever accepted the operation.
var errUnheard = errors.New("work: the connection was not active when the directory last heard of it, and the operation was accepted after that")

// errNotMade says that nothing went out and nothing is known: it is no attempt.
var errNotMade = errors.New("work: the call was not made")

// notMade is the failure of a call that was not made for now.
func notMade(cause error, why string) *operation.Failure {
	return &operation.Failure{
		Type: operation.ErrorNetwork, Retryable: true, Err: errors.Join(errNotMade, cause), Detail: "the call was not made: " + why,
	}
}

// target is where an operation writes to.
type target struct {
	provider tsp.Provider
	conn     tsp.Connection
	limits   tsp.Limits
}

func (a *Attempter) target(op operation.Accepted) (target, *operation.Failure) {
	if !op.Known() {
		return target{}, notMade(errNewer, "a newer version has accepted it")
	}
	conn, ok := a.parts.Directory.ConnectionByID(op.ConnectionID)
	if !ok {
		// A deleted one is still known: this worker has not heard of it yet, or the directory
		// has lost it. Neither ends an operation.
		return target{}, notMade(errUnknown, "the connection is not known to the worker")
	}
	if failure := conn.Failure(); failure != nil {
		return target{}, failure
	}
	if conn.Locked {
		return target{}, notMade(directory.ErrLocked, "the connection's credentials cannot be opened")
	}
	provider, ok := a.parts.Providers.Get(op.Provider)
	if !ok {
		return target{}, &operation.Failure{Type: operation.ErrorTSP, Detail: "writes to this provider are not implemented"}
	}
	return target{provider: provider, conn: conn.TSP(), limits: LimitsOf(provider, conn)}, nil
}

// errNewer leaves an operation to the programs of the version that accepted it.
var errNewer = errors.New("work: a newer version has accepted the operation, and this one does not know all that it asks for")

// errUnknown says that the directory does not have the connection.
var errUnknown = errors.New("work: the directory does not have the connection: if it has lost it, restore it or load the registry file again")

// written is what came of a write.
type written struct {
	tsp.Result
	// refused is the mark of credentials that the provider refused. Empty: it did not.
	refused string
	// sourceID is that of a user that was created. Empty: none was.
	sourceID  string
	unapplied []operation.Field
}

// failPanic is deferred where an adapter is asked: its panic is the failure.
func failPanic(failure **operation.Failure) {
	if r := recover(); r != nil {
		*failure = &operation.Failure{
			Type: operation.ErrorTSP, Detail: "the adapter failed on this write",
			Err: fmt.Errorf("panic: %v\n%s", r, debug.Stack()),
		}
	}
}

// write calls the adapter. A panic in one fails this attempt only.
func write(ctx context.Context, t target, op operation.Accepted, repeat bool) (w written, failure *operation.Failure) {
	defer failPanic(&failure)
	if op.Type == operation.Create {
		creator, ok := t.provider.(tsp.Creator)
		if !ok {
			return written{}, operation.Refuse("users cannot be created at this provider")
		}
		created, err := creator.CreateUser(ctx, t.conn, tsp.UserCreate{
			OperationID: op.Reference(), Changes: op.Changes, Repeat: repeat || op.Origin != nil,
		})
		return written{Result: created.Result, sourceID: created.SourceID}, asFailure(err)
	}
	result, err := t.provider.UpdateUser(ctx, t.conn, tsp.UserUpdate{
		OperationID: op.ID, SourceID: op.SourceID, Changes: op.Changes, Repeat: repeat,
	})
	return written{Result: result}, asFailure(err)
}

// settingReadBack is the connection setting that asks to read a user back after
// each write, and to say which fields the provider did not take.
const settingReadBack = "read_back"

// readBack compares what the provider holds now with what was sent. What cannot
// be read back is not judged, and a failing read, or a panic in it, does not undo the write.
func (a *Attempter) readBack(ctx context.Context, t target, lease redisstore.Lease, w written) (missed []operation.Field) {
	reader, ok := t.provider.(tsp.Reader)
	if !ok || t.conn.Settings[settingReadBack] != "true" {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			missed = nil
			a.parts.Log.ErrorContext(ctx, "adapter panicked while reading back", "operation_id", lease.ID, "provider", lease.Provider,
				"stack", string(debug.Stack()))
		}
	}()
	id := lease.SourceID
	if w.sourceID != "" {
		id = w.sourceID
	}
	held, err := reader.ReadUser(ctx, t.conn, id)
	if err != nil {
		a.parts.Log.WarnContext(ctx, "reading back after a write", "operation_id", lease.ID, "provider", lease.Provider, "error", err)
		return nil
	}
	rules := t.provider.Describe().Users
	for _, f := range lease.Changes.Fields() {
		sent, _ := lease.Changes.Get(f)
		if has, known := held.Get(f); known && !rules.Rule(f).Same(sent, has) {
			missed = append(missed, f)
		}
	}
	return missed
}

// asFailure is the failure that err is. Errors of any other kind are faults on our
// side, and may pass.
func asFailure(err error) *operation.Failure {
	var f *operation.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	default:
		return &operation.Failure{Type: operation.ErrorTSP, Retryable: true, Detail: "the call could not be made", Err: err}
	}
}

func row(l redisstore.Lease, began, ended time.Time, w written, f *operation.Failure, d operation.Decision) operation.Attempt {
	a := operation.Attempt{
		ID: l.AttemptID, OperationID: l.ID, StartedAt: began.UTC(), EndedAt: ended.UTC(),
		Status: operation.AttemptSucceeded, StatusCode: w.StatusCode, Header: w.Header, Unapplied: w.unapplied,
	}
	if f == nil {
		return a
	}
	a.Status, a.ErrorType, a.Detail = operation.AttemptFailed, f.Type, f.Detail
	a.StatusCode, a.Header = f.StatusCode, f.Header
	if d.GaveUp != "" {
		a.Detail += "; " + d.GaveUp
	}
	return a
}

// tell writes the attempt's one log line, its metrics and what its span says.
func (a *Attempter) tell(ctx context.Context, l redisstore.Lease, o redisstore.Outcome, f *operation.Failure) {
	result := "success"
	if f != nil {
		result = string(f.Type)
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String("writeback.outcome", result))
		if f != nil {
			span.SetStatus(codes.Error, string(f.Type))
			span.SetAttributes(attribute.String("error.type", string(f.Type)))
		}
	}
	if a.parts.Log.Enabled(ctx, slog.LevelInfo) {
		a.log(ctx, l, o, f)
	}
	a.metrics.attempted(ctx, l.Provider, result, o.Attempt.EndedAt.Sub(o.Attempt.StartedAt), o.Decision.Block)
}

func (a *Attempter) log(ctx context.Context, l redisstore.Lease, o redisstore.Outcome, f *operation.Failure) {
	args := []any{
		"operation_id", l.ID, "connection_id", l.ConnectionID, "partner_id", l.PartnerID, "provider", l.Provider,
		"attempt", l.Number, "attempt_id", l.AttemptID, "duration_ms", o.Attempt.EndedAt.Sub(o.Attempt.StartedAt).Milliseconds(),
		"status_code", o.Attempt.StatusCode,
	}
	if f != nil {
		args = append(args, "error_type", f.Type, "error_details", f.Detail, "retry", o.Decision.Verdict == operation.Again || o.Decision.Verdict == operation.Renew)
		if f.Err != nil {
			args = append(args, "cause", causeOf(f))
		}
	}
	a.parts.Log.InfoContext(ctx, "attempt", args...)
}
