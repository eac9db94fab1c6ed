package work

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// Attempter makes one call to a provider and says what came of it. Safe for
// concurrent use.
type Attempter struct {
	parts   Parts
	cfg     Config
	metrics metrics
}

// NewAttempter makes an attempter.
func NewAttempter(parts Parts, cfg Config) *Attempter {
	return &Attempter{parts: parts, cfg: cfg.withDefaults(), metrics: newMetrics()}
}

// Attempt makes the call that the lease stands for. It never fails: whatever
// happens is the outcome. ctx is broken off only when the process must stop.
func (a *Attempter) Attempt(ctx context.Context, lease redisstore.Lease) redisstore.Outcome {
	ctx, span := a.start(ctx, lease)
	defer span.End()
	began := time.Now()
	result, reach, failure := a.call(ctx, lease)
	ended := time.Now()

	decision := operation.Decide(failure, operation.Situation{
		Number: lease.Number, MaxAttempts: lease.MaxAttempts, Left: lease.Left - ended.Sub(began),
		Refreshed: lease.Renew, Sync: lease.Sync,
	}, a.cfg.Backoff)
	if failure != nil && failure.Type == operation.ErrorNetwork {
		reach = redisstore.Unreached
		if errors.Is(context.Cause(ctx), errStopping) {
			reach = redisstore.Uncalled // our own stop says nothing about the provider
		}
	}
	out := redisstore.Outcome{
		Connection: lease.ConnectionID, Decision: decision, Reach: reach,
		Attempt: row(lease, began, ended, result, failure, decision),
	}
	a.tell(ctx, span, lease, out, failure)
	return out
}

// start continues the trace of the request, however long ago that was.
func (a *Attempter) start(ctx context.Context, lease redisstore.Lease) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
			"traceparent": lease.TraceParent, "tracestate": lease.TraceState,
		})
	}
	return otel.Tracer("writeback/work").Start(ctx, "operation attempt", trace.WithAttributes( //nolint:spancheck // the caller ends it
		attribute.String("writeback.operation_id", lease.ID.String()),
		attribute.String("writeback.connection_id", lease.ConnectionID.String()),
		attribute.String("writeback.partner_id", lease.PartnerID.String()),
		attribute.String("writeback.provider", lease.Provider),
		attribute.Int("writeback.attempt", lease.Number),
	))
}

// call finds everything the provider needs and makes the one call.
func (a *Attempter) call(ctx context.Context, lease redisstore.Lease) (tsp.Result, redisstore.Reach, *operation.Failure) {
	conn, ok := a.parts.Directory.ConnectionByID(lease.ConnectionID)
	if !ok || conn.Status != directory.ConnectionActive {
		return tsp.Result{}, redisstore.Uncalled, &operation.Failure{
			Type: operation.ErrorAuth, Detail: "the connection is not active any more",
		}
	}
	provider, ok := a.parts.Providers.Get(lease.Provider)
	if !ok {
		return tsp.Result{}, redisstore.Uncalled, &operation.Failure{
			Type: operation.ErrorTSP, Detail: "writes to this provider are not implemented",
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, LimitsOf(provider, conn).Call, errors.New("the call deadline passed"))
	defer cancel()

	target := conn.TSP()
	if failure := a.freshen(ctx, provider, &target, lease.Renew); failure != nil {
		return tsp.Result{}, redisstore.Uncalled, failure
	}
	result, failure := update(ctx, provider, target, tsp.UserUpdate{
		OperationID: lease.ID, SourceID: lease.SourceID, Changes: lease.Changes, Repeat: lease.Repeat || lease.Number > 1,
	})
	if failure != nil && failure.StatusCode == 0 && failure.Type == operation.ErrorValidation {
		return result, redisstore.Uncalled, failure
	}
	return result, redisstore.Answered, failure
}

// freshen renews a short-lived credential before the call: when it is known to be
// over, and when the last attempt was refused for it.
func (a *Attempter) freshen(ctx context.Context, p tsp.Provider, conn *tsp.Connection, renew bool) *operation.Failure {
	refresher, ok := p.(tsp.Refresher)
	if !ok || (!renew && refresher.Fresh(conn.Credentials, time.Now())) {
		return nil
	}
	fresh, err := a.parts.Directory.Credentials(ctx, conn.ID, conn.Credentials, refresher)
	if err != nil {
		return asFailure(err)
	}
	conn.Credentials = fresh
	return nil
}

// update calls the adapter. A panic in one fails this attempt only.
func update(ctx context.Context, p tsp.Provider, conn tsp.Connection, u tsp.UserUpdate) (result tsp.Result, failure *operation.Failure) {
	defer func() {
		if r := recover(); r != nil {
			failure = &operation.Failure{
				Type: operation.ErrorTSP, Detail: "the adapter failed on this write",
				Err: fmt.Errorf("panic: %v\n%s", r, debug.Stack()),
			}
		}
	}()
	result, err := p.UpdateUser(ctx, conn, u)
	return result, asFailure(err)
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

func row(l redisstore.Lease, began, ended time.Time, r tsp.Result, f *operation.Failure, d operation.Decision) operation.Attempt {
	a := operation.Attempt{
		ID: l.AttemptID, OperationID: l.ID, StartedAt: began.UTC(), EndedAt: ended.UTC(),
		Status: operation.AttemptSucceeded, StatusCode: r.StatusCode, Header: r.Header,
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

// tell writes the attempt's one log line, its metrics and its span's end.
func (a *Attempter) tell(ctx context.Context, span trace.Span, l redisstore.Lease, o redisstore.Outcome, f *operation.Failure) {
	result := "success"
	args := []any{
		"operation_id", l.ID, "connection_id", l.ConnectionID, "partner_id", l.PartnerID, "provider", l.Provider,
		"attempt", l.Number, "attempt_id", l.AttemptID, "duration_ms", o.Attempt.EndedAt.Sub(o.Attempt.StartedAt).Milliseconds(),
		"status_code", o.Attempt.StatusCode,
	}
	if f != nil {
		result = string(f.Type)
		args = append(args, "error_type", f.Type, "error_details", f.Detail, "retry", o.Decision.Verdict == operation.Again || o.Decision.Verdict == operation.Renew)
		if f.Err != nil {
			args = append(args, "cause", f.Err.Error())
		}
		span.SetStatus(codes.Error, string(f.Type))
	}
	span.SetAttributes(attribute.String("writeback.outcome", result), attribute.Int("http.response.status_code", o.Attempt.StatusCode))
	a.parts.Log.InfoContext(ctx, "attempt", args...)
	a.metrics.attempted(ctx, l.Provider, result, o.Attempt.EndedAt.Sub(o.Attempt.StartedAt))
}
