package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/metrics"
	"writeback/internal/telemetry"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// endpoints is what an attempt needs of the subscriptions; see registry.Registry.
type endpoints interface {
	// Find gives a subscription, also one that this process has not heard of yet. An
	// error means that it cannot be known now.
	Find(ctx context.Context, id uuid.UUID) (Subscription, bool, error)
	// Secrets gives the secrets to sign with, the present one first.
	Secrets(s Subscription, now time.Time) ([]string, error)
	// Stale gives an active subscription up, and reports whether it did: it does nothing
	// to any other.
	Stale(ctx context.Context, s Subscription, reason string) (bool, error)
}

// operations reads what an event is about.
type operations interface {
	Get(ctx context.Context, connection, id uuid.UUID) (operation.Operation, error)
}

// diary counts and logs sends; see journal.Journal.
type diary interface {
	Sent(ctx context.Context, s Sent) error
	Observe(ctx context.Context, s Subscription, success bool) (Health, error)
	// Silent counts a send without an answer, and gives how many there were since a
	// message arrived.
	Silent(ctx context.Context, s Subscription) (int, error)
}

// Sent is one send, for metrics and logs.
type Sent struct {
	Webhook   uuid.UUID
	Reference Reference
	At        time.Time
	// Code is the endpoint's HTTP status. Zero: there was no answer.
	Code    int
	Success bool
	// Problem is a sentence for the partner. Empty for a success.
	Problem string
	Took    time.Duration
}

// Attempter makes one send. Safe for concurrent use.
type Attempter struct {
	Endpoints  endpoints
	Operations operations
	Queue      *redisstore.Store
	Diary      diary
	Client     httpClient
	Log        *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	once   sync.Once
	meters meters
	// away is for what fails as long as something else is away.
	away *slog.Logger
}

// meters of sends.
type meters struct {
	sends, staled *metrics.Counter
	duration      *metrics.Histogram
}

// Prepare makes the instruments, so that what never happened is shown as 0. Without
// it the first attempt makes them.
func (a *Attempter) Prepare() {
	a.once.Do(func() {
		a.away = telemetry.Seldom(a.Log)
		set := metrics.New(nil)
		a.meters = meters{
			sends: set.Counter(metrics.WebhookSends), staled: set.Counter(metrics.WebhookStaled),
			duration: set.Histogram(metrics.WebhookSendDuration),
		}
	})
}

// ReadTimeout bounds reading what a send needs: its subscription and its subject.
const ReadTimeout = 2 * time.Second

// Attempt makes the send that the lease stands for. A zero outcome means that it was
// not made: it is tried again a little later, and costs the delivery nothing.
func (a *Attempter) Attempt(ctx context.Context, lease redisstore.Lease) redisstore.Outcome {
	a.Prepare()
	began := a.now()
	r, err := referenceOf(lease.Accepted)
	if err != nil {
		return a.unsendable(ctx, lease, began, "the delivery is not understood")
	}
	r.mark(trace.SpanFromContext(ctx))
	reading, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	s, found, err := a.Endpoints.Find(reading, lease.ConnectionID)
	switch {
	case err != nil:
		a.warn(ctx, "webhook not made: its subscription cannot be read", lease, err)
		return redisstore.Outcome{}
	case !found || s.Status == Deleted:
		return a.unsendable(ctx, lease, began, "the webhook was deleted")
	case s.Status != Active:
		// Its lane should be paused; a loss of Redis has forgotten that.
		if err := a.Queue.Pause(reading, s.ID, true); err != nil {
			a.warn(ctx, "pausing a webhook's lane", lease, err)
		}
		return redisstore.Outcome{}
	}
	about, err := a.about(reading, r, lease.CreatedAt())
	switch {
	case errors.Is(err, redisstore.ErrMissing):
		out := a.unsendable(ctx, lease, began, "what the event is about is not known any more")
		out.Attempt.ErrorType = operation.ErrorTSP // no refusal: it may be replayed
		markEnd(ctx, string(operation.ErrorTSP))
		return out
	case err != nil:
		a.warn(ctx, "webhook not made: its operation cannot be read now", lease, err)
		return redisstore.Outcome{}
	}
	return a.send(ctx, lease, s, r, about, began)
}

// send is the attempt once everything for it is there.
func (a *Attempter) send(ctx context.Context, lease redisstore.Lease, s Subscription, r Reference, about subject, began time.Time) redisstore.Outcome {
	l := letter{subscription: s, reference: r, attempt: lease.Number, request: lease.AttemptID}
	var err error
	if l.secrets, err = a.Endpoints.Secrets(s, began); err != nil || len(l.secrets) == 0 {
		a.warn(ctx, "webhook not made: its secret cannot be opened", lease, err)
		return redisstore.Outcome{}
	}
	if l.body, err = envelope(s, r, about, lease.Number); err != nil {
		a.warn(ctx, "webhook body", lease, err)
		return a.unsendable(ctx, lease, began, "the event could not be written")
	}
	got := post(ctx, a.Client, l, a.now)
	ended := a.now()
	if got.code == 0 && ctx.Err() != nil {
		// We are stopping: it may have arrived. It is sent again at once, by another
		// worker, and nobody's fault.
		return outcome(lease, began, ended, verdict{
			Decision: operation.Decision{Verdict: operation.Again},
			failure:  &operation.Failure{Type: operation.ErrorNetwork, Detail: "the worker stopped during the send"},
		})
	}
	v := decide(got, lease.Number, s.Schedule, lease.Left-ended.Sub(began))
	a.remember(context.WithoutCancel(ctx), s, r, got, v, ended)
	a.tell(ctx, lease, r, got, v)
	out := outcome(lease, began, ended, v)
	out.Reach = got.reach()
	return out
}

// settled is after what time a record that is not there never will be: until then it
// may be on its way back to a store that lost it and has not noticed yet.
const settled = time.Minute

// about reads what the event is about. The error is redisstore.ErrMissing when that
// is gone for good; any other may pass.
func (a *Attempter) about(ctx context.Context, r Reference, queued time.Time) (subject, error) {
	if r.Event == EventStaled {
		s, found, err := a.Endpoints.Find(ctx, r.Webhook)
		if err == nil && !found {
			err = redisstore.ErrMissing
		}
		return subject{webhook: s}, err
	}
	op, err := a.Operations.Get(ctx, r.Connection, r.Operation)
	switch {
	case errors.Is(err, redisstore.ErrMissing) && a.now().Sub(queued) < settled,
		err == nil && r.Event != EventCreated && !op.Status.Terminal():
		// It went back in time, and what it lost is on its way back.
		err = redisstore.ErrStale
	}
	return subject{operation: op}, err
}

// remember counts and logs the send, and gives the endpoint up if it has to be. None
// of it can fail the delivery.
func (a *Attempter) remember(ctx context.Context, s Subscription, r Reference, got answer, v verdict, at time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	sent := Sent{Webhook: s.ID, Reference: r, At: at, Code: got.code, Success: v.failure == nil, Took: got.took}
	if v.failure != nil {
		sent.Problem = v.failure.Detail
	}
	if err := a.Diary.Sent(ctx, sent); err != nil {
		a.away.WarnContext(ctx, "webhook log", "webhook_id", s.ID, "error", err)
	}
	reason, trips := "the endpoint answered 410: it is gone", v.gone
	if v.message {
		health, err := a.Diary.Observe(ctx, s, v.failure == nil)
		if err != nil {
			a.away.WarnContext(ctx, "webhook health", "webhook_id", s.ID, "error", err)
		} else if !trips && v.failure != nil && !graced(s, at) {
			reason, trips = health.Trips()
		}
	}
	if v.silent {
		n, err := a.Diary.Silent(ctx, s)
		if err != nil {
			a.away.WarnContext(ctx, "webhook health", "webhook_id", s.ID, "error", err)
		} else if !trips && !graced(s, at) {
			reason, trips = silenceTrips(n)
		}
	}
	if trips {
		switch given, err := a.Endpoints.Stale(ctx, s, reason); {
		case err != nil:
			a.away.ErrorContext(ctx, "giving a webhook up", "webhook_id", s.ID, "error", err)
		case given:
			a.meters.staled.Add(ctx, 1)
		}
	}
}

func (a *Attempter) unsendable(ctx context.Context, lease redisstore.Lease, at time.Time, why string) redisstore.Outcome {
	markEnd(ctx, string(operation.ErrorValidation))
	return outcome(lease, at, at, verdict{
		Decision: operation.Decision{Verdict: operation.Fail},
		failure:  &operation.Failure{Type: operation.ErrorValidation, Detail: why},
	})
}

// outcome is what is recorded, of a send that reached nobody.
func outcome(l redisstore.Lease, began, ended time.Time, v verdict) redisstore.Outcome {
	row := operation.Attempt{
		ID: l.AttemptID, OperationID: l.ID, StartedAt: began.UTC(), EndedAt: ended.UTC(), Status: operation.AttemptSucceeded,
	}
	if f := v.failure; f != nil {
		row.Status, row.ErrorType, row.Detail, row.StatusCode = operation.AttemptFailed, f.Type, f.Detail, f.StatusCode
		if v.GaveUp != "" {
			row.Detail += "; " + v.GaveUp
		}
	}
	return redisstore.Outcome{Connection: l.ConnectionID, Attempt: row, Decision: v.Decision, Reach: redisstore.Uncalled}
}

// tell writes the send's one log line, its metrics and what its span says.
func (a *Attempter) tell(ctx context.Context, l redisstore.Lease, r Reference, got answer, v verdict) {
	result := "success"
	if v.failure != nil {
		result = string(v.failure.Type)
	}
	markEnd(ctx, result)
	a.meters.sends.Add(ctx, 1, result)
	a.meters.duration.Record(ctx, got.took.Seconds())
	a.Log.InfoContext(ctx, "webhook send", "webhook_id", l.ConnectionID, "partner_id", l.PartnerID, "message_id", r.Message,
		"event_name", r.Event, "attempt", l.Number, "status_code", got.code, "outcome", result, "problem", got.problem,
		"duration_ms", got.took.Milliseconds(), "retry", v.Verdict == operation.Again)
}

func (a *Attempter) warn(ctx context.Context, what string, l redisstore.Lease, err error) {
	a.away.WarnContext(ctx, what, "webhook_id", l.ConnectionID, "delivery_id", l.ID, "error", err) //nolint:sloglint // what is one of a few constants
}

func (a *Attempter) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}
