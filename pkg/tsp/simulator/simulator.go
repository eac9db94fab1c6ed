// Package simulator is a provider for try-outs: it lives in this process, holds
// every field of a user, and lets a partner see each outcome on demand.
//
// The value of user_designation in an update or a create chooses the outcome:
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
// that process: it is for looking at operations, not for keeping users. So a list
// is never all of a connection's users, and who reads one must not take those
// that are missing for gone.
package simulator

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
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
	return tsp.Description{
		Name: Name, Title: "simulator",
		Access: "none",
		Limits: tsp.Limits{InFlight: 8, Call: 10 * time.Second}, Users: p.table,
		Create: &tsp.CreateRules{Required: slices.Clone(requiredToCreate)},
	}
}

// UpdateUser keeps the changes, or fails as the user_designation asks. Every
// error is an *operation.Failure, or httpcall.ErrDraft in a dry run.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, user tsp.UserUpdate) (tsp.Result, error) {
	return p.apply(ctx, write{
		method: http.MethodPatch, path: "/users/" + url.PathEscape(user.SourceID), operation: user.OperationID,
		key: userKey{connection: conn.ID, sourceID: user.SourceID}, changes: user.Changes,
	})
}

// write is one update or create.
type write struct {
	method, path string
	operation    uuid.UUID
	key          userKey
	changes      operation.Changes
}

func (p *Provider) apply(ctx context.Context, w write) (tsp.Result, error) {
	designation, _ := w.changes.Get(operation.FieldUserDesignation)
	sim, f := parse(designation.Text())
	if f != nil {
		return tsp.Result{}, f
	}
	body, err := json.Marshal(w.changes)
	if err != nil {
		return tsp.Result{}, &operation.Failure{
			Type: operation.ErrorValidation, Detail: "simulator: the request could not be built", Err: err,
		}
	}
	if httpcall.Drafting(ctx, httpcall.Request{Method: w.method, URL: w.path, Body: body, Write: true}) {
		return tsp.Result{}, httpcall.ErrDraft
	}
	if f := p.wait(ctx); f != nil {
		return tsp.Result{}, f
	}
	if f := p.simulate(sim, w.operation); f != nil {
		return tsp.Result{}, f
	}
	p.keep(w.key, w.changes)
	return tsp.Result{StatusCode: http.StatusOK}, nil
}

// User gives a copy of the fields held of a user; a cleared field is not held.
func (p *Provider) User(connection uuid.UUID, sourceID string) operation.Changes {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, _ := p.users.get(userKey{connection: connection, sourceID: sourceID})
	return maps.Clone(held)
}

func (p *Provider) wait(ctx context.Context) *operation.Failure {
	err := ctx.Err()
	if p.latency > 0 {
		timer := time.NewTimer(p.latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return &operation.Failure{
			Type: operation.ErrorNetwork, Retryable: true, Detail: "simulator: no answer in time", Err: err,
		}
	}
	return nil
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

// What the simulator can do.
var (
	_ tsp.Provider = (*Provider)(nil)
	_ tsp.Creator  = (*Provider)(nil)
	_ tsp.Lister   = (*Provider)(nil)
	_ tsp.Reader   = (*Provider)(nil)
)
