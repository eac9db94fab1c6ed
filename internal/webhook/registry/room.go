package registry

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// mostNamed bounds the fleets that the filters of a partner's subscriptions name: every event
// is compared with all of them.
const mostNamed = 10_000

// room is a conflict if with this subscription the partner has too many: in all, or for the
// same event of one fleet, or with too many filters.
func (r *Registry) room(s webhook.Subscription) error {
	r.mu.RLock()
	list := r.byPartner[s.PartnerID]
	r.mu.RUnlock()
	open, everywhere, byID, byRef := 1, 1, map[uuid.UUID]int{}, map[string]int{}
	named := len(s.Filters.FleetIDs) + len(s.Filters.FleetRefs)
	for _, other := range list {
		if other.ID == s.ID || other.Status == webhook.Deleted {
			continue
		}
		open++
		named += len(other.Filters.FleetIDs) + len(other.Filters.FleetRefs)
		switch {
		case other.EventName != s.EventName:
		case other.Filters.IsZero():
			everywhere++
		default:
			for _, id := range other.Filters.FleetIDs {
				byID[id]++
			}
			for _, ref := range other.Filters.FleetRefs {
				byRef[ref]++
			}
		}
	}
	switch {
	case open > r.cfg.Most:
		return tooMany("there may be %d webhooks at most", r.cfg.Most)
	case named > mostNamed:
		return tooMany("the filters of all your webhooks may have %d values at most", mostNamed)
	case everywhere+max(most(byID, s.Filters.FleetIDs, s.Filters.IsZero()), most(byRef, s.Filters.FleetRefs, s.Filters.IsZero())) > r.cfg.Told:
		return tooMany("at most %d webhooks may be told of the same event of one fleet", r.cfg.Told)
	}
	return nil
}

// buried is a refusal for a while if the partner has made and deleted so many that what the
// bucket remembers of them waits for the next sweep.
func (r *Registry) buried(partner uuid.UUID) error {
	r.mu.RLock()
	list := r.byPartner[partner]
	r.mu.RUnlock()
	n := 0
	for _, s := range list {
		if s.Status == webhook.Deleted {
			n++
		}
	}
	if n < 2*r.cfg.Most {
		return nil
	}
	return &operation.Error{
		Code: operation.CodeRateLimited, RetryAfter: 10 * time.Minute,
		Message: "too many of your webhooks were deleted lately; no more are made before they are forgotten, which takes up to an hour",
	}
}

// most is how many there are for one of the fleets, or for any.
func most[K comparable](counts map[K]int, fleets []K, any bool) (n int) {
	for _, fleet := range fleets {
		n = max(n, counts[fleet])
	}
	if any {
		for _, count := range counts {
			n = max(n, count)
		}
	}
	return n
}

func tooMany(format string, most int) *operation.Error {
	return &operation.Error{Code: operation.CodeConflict, Message: fmt.Sprintf(format, most)}
}
