// Package simulator is a provider for try-outs: it lives in this process, holds
// every field of a user, and lets a partner see each outcome on demand.
//
// The value of user_designation in a write chooses the outcome:
//
//	simulate:tsp         the provider fails (503); tried again until the limit
//	simulate:network     the provider is not reached; tried again until the limit
//	simulate:validation  the provider refuses the write (422); not tried again
//	simulate:auth        the credential may not do it (403); not tried again
//	simulate:rate_limit  too many calls (429, two seconds); the connection waits
//	simulate:flaky:N     fails as tsp for the first N attempts of the operation,
//	                     then succeeds; N from 1 to 100
//
// Flaky attempts are counted in the process, so several workers may together fail
// more often than N times.
//
// Any other write succeeds. What it holds is lost with the process and belongs to
// that process: it is for looking at operations, not for keeping users.
package simulator

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Name is the contract's source_name.
const Name = "catena_simulator"

// DefaultMaxBytes is about how much memory the held users may take.
const DefaultMaxBytes = 16 << 20

// Config of the simulator. The zero value is usable.
type Config struct {
	// Latency of each call. Zero: none.
	Latency time.Duration
	// MaxBytes bounds the memory of the held users, about; the user written
	// longest ago goes first. Zero: DefaultMaxBytes.
	MaxBytes int
}

// Provider is the simulator. Safe for concurrent use.
type Provider struct {
	latency time.Duration
	table   tsp.Table

	mu    sync.Mutex
	users *recent[userKey, operation.Changes]
	flaky *recent[uuid.UUID, int]
}

type userKey struct {
	connection uuid.UUID
	sourceID   string
}

// maxFlaky bounds the operations whose flaky attempts are counted.
const maxFlaky = 10_000

// New makes a simulator that holds no users.
func New(cfg Config) *Provider {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	table := make(tsp.Table, 0, len(operation.UserFields))
	for _, spec := range operation.UserFields {
		table = append(table, tsp.Rule{Field: spec.Name, Target: string(spec.Name), Clear: tsp.ClearNull})
	}
	return &Provider{
		latency: cfg.Latency,
		table:   table,
		users:   newRecent[userKey, operation.Changes](cfg.MaxBytes),
		flaky:   newRecent[uuid.UUID, int](maxFlaky),
	}
}

// Describe gives a table in which every field can be written and cleared.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{Name: Name, Limits: tsp.Limits{InFlight: 8, Call: 10 * time.Second}, Users: p.table}
}

// UpdateUser keeps the changes, or fails as the user_designation asks. Every
// error is an *operation.Failure.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, user tsp.UserUpdate) (tsp.Result, error) {
	if err := p.wait(ctx); err != nil {
		return tsp.Result{}, &operation.Failure{
			Type: operation.ErrorNetwork, Retryable: true, Detail: "simulator: no answer in time", Err: err,
		}
	}
	if designation, ok := user.Changes.Get(operation.FieldUserDesignation); ok {
		if f := p.simulate(designation.Text(), user.OperationID); f != nil {
			return tsp.Result{}, f
		}
	}
	p.keep(userKey{connection: conn.ID, sourceID: user.SourceID}, user.Changes)
	return tsp.Result{StatusCode: http.StatusOK}, nil
}

// User gives a copy of the fields held of a user; a cleared field is not held.
func (p *Provider) User(connection uuid.UUID, sourceID string) operation.Changes {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, _ := p.users.get(userKey{connection: connection, sourceID: sourceID})
	return maps.Clone(held)
}

func (p *Provider) wait(ctx context.Context) error {
	if p.latency <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(p.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keep merges the changes into what is held of the user.
func (p *Provider) keep(key userKey, changes operation.Changes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, _ := p.users.get(key)
	held = maps.Clone(held)
	if held == nil {
		held = make(operation.Changes, len(changes))
	}
	cost := 256 + len(key.sourceID)
	for field, v := range changes {
		if v.IsNull() {
			delete(held, field)
		} else {
			held[field] = v
		}
	}
	for _, v := range held {
		cost += 64 + len(v.Text())
	}
	p.users.put(key, held, cost)
}

// How long a simulated rate limit asks to wait.
const rateLimitWait = 2 * time.Second

const magic = "simulate:"

// simulate gives the failure that the designation asks for, or nil.
func (p *Provider) simulate(designation string, id uuid.UUID) *operation.Failure {
	name, ok := strings.CutPrefix(designation, magic)
	if !ok {
		return nil
	}
	kind, count, _ := strings.Cut(name, ":")
	switch kind {
	case "tsp":
		return failure(operation.ErrorTSP, true, http.StatusServiceUnavailable)
	case "network":
		return failure(operation.ErrorNetwork, true, 0)
	case "validation":
		return failure(operation.ErrorValidation, false, http.StatusUnprocessableEntity)
	case "auth":
		return failure(operation.ErrorAuth, false, http.StatusForbidden)
	case "rate_limit":
		f := failure(operation.ErrorTSP, true, http.StatusTooManyRequests)
		f.RetryAfter = rateLimitWait
		return f
	case "flaky":
		return p.flakyAttempt(count, id)
	default:
		return operation.Refuse("simulator: user_designation: the simulation is not known")
	}
}

func (p *Provider) flakyAttempt(count string, id uuid.UUID) *operation.Failure {
	n, err := times(count)
	if err != nil {
		return operation.Refuse("simulator: user_designation: %s", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	failed, _ := p.flaky.get(id)
	if failed >= n {
		return nil
	}
	p.flaky.put(id, failed+1, 1)
	return failure(operation.ErrorTSP, true, http.StatusServiceUnavailable)
}

func times(count string) (int, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 100 {
		return 0, errors.New("simulate:flaky takes a number from 1 to 100")
	}
	return n, nil
}

func failure(t operation.ErrorType, retryable bool, status int) *operation.Failure {
	return &operation.Failure{
		Type: t, Retryable: retryable, StatusCode: status,
		Detail: "simulator: a simulated " + string(t) + " failure",
	}
}

var _ tsp.Provider = (*Provider)(nil)
