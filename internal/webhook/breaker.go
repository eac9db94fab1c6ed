package webhook

import (
	"fmt"
	"time"
)

// The breaker's numbers. A delivery here is a message that ended: delivered, refused,
// or given up.
const (
	// GraceAfterChange is how long an endpoint that is new or was changed is left
	// alone.
	GraceAfterChange = 15 * time.Minute
	// HealthWindow is over how long deliveries are counted.
	HealthWindow = 6 * time.Hour
	// HealthWeight is the weight of the newest delivery in the moving average, which
	// starts at 1.
	HealthWeight = 0.02

	manyDeliveries = 50
	someDeliveries = 20
	averageLeast   = 0.95
	rateLeast      = 0.80
	failuresInARow = 10
	// silencesInARow are as many sends as that many messages have on the short schedule.
	silencesInARow = 40
)

const (
	// SilentSends is how many sends in a row an endpoint may leave without an answer before
	// its lane is held back: each holds a slot for all of its time, and others wait for it.
	// A moment's silence of a busy one is no more than are under way at once.
	SilentSends = 2 * DefaultInFlight
	// SilentPause is the wait between two sends to such an endpoint, one at a time.
	SilentPause = 10 * time.Second
)

// Health is what the breaker knows of an endpoint, since it was last made active.
type Health struct {
	// Deliveries and Successes within HealthWindow.
	Deliveries, Successes int
	// Average is the exponentially weighted success rate, 0 to 1.
	Average float64
	// FailedInARow counts the failures since the last success.
	FailedInARow int
}

// Trips reports whether the endpoint is to be given up, and why.
func (h Health) Trips() (reason string, trips bool) {
	switch {
	case h.Deliveries >= manyDeliveries:
		return fmt.Sprintf("the moving average of successful deliveries fell to %.1f %%, below 95 %%", 100*h.Average),
			h.Average < averageLeast
	case h.Deliveries >= someDeliveries:
		rate := float64(h.Successes) / float64(h.Deliveries)
		return fmt.Sprintf("%.1f %% of %d deliveries succeeded, fewer than 80 %%", 100*rate, h.Deliveries), rate < rateLeast
	default:
		return fmt.Sprintf("the last %d deliveries failed", h.FailedInARow), h.FailedInARow >= failuresInARow
	}
}

// silenceTrips reports whether an endpoint is to be given up that has left so many sends in
// a row without an answer, whichever messages they were of: one comes to its last send
// only after all that were waiting before it was tried again, each time.
func silenceTrips(sends int) (reason string, trips bool) {
	return fmt.Sprintf("the last %d sends got no answer", sends), sends >= silencesInARow
}

// graced reports whether the breaker leaves the subscription alone.
func graced(s Subscription, now time.Time) bool { return now.Before(s.ChangedAt.Add(GraceAfterChange)) }
