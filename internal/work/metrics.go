package work

import (
	"context"
	"time"

	"writeback/internal/metrics"
	"writeback/pkg/operation"
)

// meters of the trip of one queue: of operations, or of webhook deliveries, whose
// lanes are no providers. Safe for concurrent use.
type meters struct {
	queue    string
	attempts *metrics.Counter
	duration *metrics.Histogram
	backoff  *metrics.Histogram
	delay    *metrics.Histogram
	ended    *metrics.Counter
	life     *metrics.Histogram
	repairs  *metrics.Counter
	dead     *metrics.Counter
	handed   *metrics.Counter // only of operations
}

// newMetrics makes the instruments of a queue. What only a worker counts is made by
// forWorker.
func newMetrics(queue string) meters {
	set, m := metrics.New(nil), meters{queue: queue}
	if queue == metrics.QueueWebhooks { // its sends are counted where they are made
		m.delay, m.life = set.Histogram(metrics.WebhookFirstDelay), set.Histogram(metrics.WebhookDuration)
		m.ended = set.Counter(metrics.WebhookEnded)
		return m
	}
	m.attempts, m.duration = set.Counter(metrics.Attempts), set.Histogram(metrics.AttemptDuration)
	m.backoff, m.delay = set.Histogram(metrics.Backoff), set.Histogram(metrics.FirstAttemptDelay)
	m.ended, m.life = set.Counter(metrics.Ended), set.Histogram(metrics.OperationDuration)
	return m
}

func (m meters) forWorker() meters {
	set := metrics.New(nil)
	m.repairs, m.dead = set.Counter(metrics.Repairs), set.Counter(metrics.DeadLetters)
	if m.queue == metrics.QueueOperations {
		m.handed = set.Counter(metrics.Handovers)
	}
	return m
}

// spanName names the span of an attempt.
func (m meters) spanName() string {
	if m.queue == metrics.QueueWebhooks {
		return "webhook delivery attempt"
	}
	return "operation attempt"
}

// idNames are the attributes of what an attempt is of, and of its lane: a delivery of a
// webhook is no operation. Which one it tells of is for its attempter to say.
func (m meters) idNames() (id, lane string) {
	if m.queue == metrics.QueueWebhooks {
		return "writeback.delivery_id", "writeback.webhook_id"
	}
	return "writeback.operation_id", "writeback.connection_id"
}

// labels puts the provider before the others; lanes of webhooks have none.
func (m meters) labels(provider string, others ...string) []string {
	if m.queue == metrics.QueueWebhooks {
		return others
	}
	return append([]string{provider}, others...)
}

// attempted counts an attempt; block is how long the provider asked to wait.
func (m meters) attempted(ctx context.Context, provider, outcome string, d, block time.Duration) {
	m.attempts.Add(ctx, 1, provider, outcome)
	m.duration.Record(ctx, d.Seconds(), provider)
	if block > 0 {
		m.backoff.Record(ctx, block.Seconds(), provider)
	}
}

// end counts an operation whose end is in its stream.
func (m meters) end(ctx context.Context, op operation.Operation) {
	kind := ""
	if n := len(op.Attempts); n > 0 && op.Status != operation.Succeeded {
		kind = string(op.Attempts[n-1].ErrorType)
	}
	m.ended.Add(ctx, 1, m.labels(op.Provider, string(op.Status), kind)...)
	if m.queue == metrics.QueueWebhooks && m.dead != nil && op.Status == operation.Failed && kind != string(operation.ErrorValidation) {
		m.dead.Add(ctx, 1, m.queue) // its endpoint did not refuse it, so it is kept for a replay
	}
	m.life.Record(ctx, max(op.UpdatedAt.Sub(op.CreatedAt()), 0).Seconds(), m.labels(op.Provider, string(op.Status))...)
}

func (m meters) repaired(ctx context.Context, kind string, n int) {
	if n > 0 {
		m.repairs.Add(ctx, n, m.queue, kind)
	}
}

func (m meters) first(ctx context.Context, provider string, d time.Duration) {
	m.delay.Record(ctx, max(d, 0).Seconds(), m.labels(provider)...)
}
