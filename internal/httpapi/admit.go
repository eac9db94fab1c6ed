package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/internal/admission"
)

// gate says how much a partner may write. An error is an *operation.Error:
// rate_limited.
type gate interface {
	// Take takes one write from the partner's rate.
	Take(partner uuid.UUID) (admission.Budget, error)
	// TakeMore takes what a request brings besides its first write, or nothing.
	TakeMore(partner uuid.UUID, more int) (admission.Budget, error)
	// Room lets so many more operations of the partner in, or none.
	Room(ctx context.Context, partner uuid.UUID, n int) error
}

// admitted lets a write through that its partner's rate has room for, and tells what
// is left with whatever the answer is. Refused writes count too: they cost as much.
func (s *server) admitted(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		budget, err := s.deps.Admission.Take(principalOf(r.Context()).PartnerID)
		showBudget(w, budget)
		if err != nil {
			return err
		}
		return next(w, r)
	}
}

// showBudget sets the fields of draft-ietf-httpapi-ratelimit-headers.
func showBudget(w http.ResponseWriter, budget admission.Budget) {
	h := w.Header()
	h["Ratelimit-Policy"] = []string{partnerField(";q=", budget.Quota, ";w=", budget.Window)}
	h["Ratelimit"] = []string{partnerField(";r=", budget.Left, ";t=", budget.Full)}
}

// partnerField is a number of writes and a time of the partner's budget.
func partnerField(name string, writes int, while string, d time.Duration) string {
	b := strconv.AppendInt(append(append(make([]byte, 0, 40), `"partner"`...), name...), int64(writes), 10)
	return string(strconv.AppendInt(append(b, while...), int64(wholeSeconds(d)), 10))
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
