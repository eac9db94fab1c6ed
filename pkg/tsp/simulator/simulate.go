package simulator

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// How long a simulated rate limit asks to wait.
const rateLimitWait = 2 * time.Second

const magic = "simulate:"

// simulation is an outcome that was asked for. The zero one is success.
type simulation struct {
	kind  string
	times int // of "flaky"
}

// parse reads a designation. A simulation that is not known is refused before
// anything else is done.
func parse(designation string) (simulation, *operation.Failure) {
	name, ok := strings.CutPrefix(designation, magic)
	if !ok {
		return simulation{}, nil
	}
	kind, count, counted := strings.Cut(name, ":")
	switch {
	case kind == "flaky":
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > 100 {
			return simulation{}, operation.Refuse("simulator: user_designation: simulate:flaky takes a number from 1 to 100")
		}
		return simulation{kind: kind, times: n}, nil
	case outcomes[kind] == nil || counted:
		return simulation{}, operation.Refuse("simulator: user_designation: the simulation is not known")
	}
	return simulation{kind: kind}, nil
}

// outcomes make the failures that do not depend on anything.
var outcomes = map[string]func() *operation.Failure{
	"tsp":     func() *operation.Failure { return failure(operation.ErrorTSP, true, http.StatusServiceUnavailable) },
	"network": func() *operation.Failure { return failure(operation.ErrorNetwork, true, 0) },
	"validation": func() *operation.Failure {
		return failure(operation.ErrorValidation, false, http.StatusUnprocessableEntity)
	},
	"auth": func() *operation.Failure { return failure(operation.ErrorAuth, false, http.StatusForbidden) },
	"rate_limit": func() *operation.Failure {
		f := failure(operation.ErrorTSP, true, http.StatusTooManyRequests)
		f.RetryAfter = rateLimitWait
		return f
	},
}

// simulate gives the failure that was asked for, or nil.
func (p *Provider) simulate(s simulation, id uuid.UUID) *operation.Failure {
	switch s.kind {
	case "":
		return nil
	case "flaky":
		return p.flakyAttempt(s.times, id)
	default:
		return outcomes[s.kind]()
	}
}

func (p *Provider) flakyAttempt(n int, id uuid.UUID) *operation.Failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	failed, _ := p.flaky.get(id)
	if failed >= n {
		return nil
	}
	p.flaky.put(id, failed+1, 1)
	return failure(operation.ErrorTSP, true, http.StatusServiceUnavailable)
}

func failure(t operation.ErrorType, retryable bool, status int) *operation.Failure {
	return &operation.Failure{
		Type: t, Retryable: retryable, StatusCode: status,
		Detail: "simulator: a simulated " + string(t) + " failure",
	}
}
