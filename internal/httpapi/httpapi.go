// Package httpapi is the HTTP edge for partners: routes, token and scope check,
// decoding, and the one place where an error becomes a status and a body.
//
// It turns a request into typed values, hands them to the parts given to it, and
// writes down what they answer. It keeps no state between requests, retries
// nothing, calls no provider and knows neither Redis nor NATS.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/directory"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Defaults of the Config.
const (
	DefaultTimeout    = 10 * time.Second
	DefaultSyncMargin = 5 * time.Second
	DefaultMaxBody    = 64 << 10
	DefaultMaxBatch   = 2 << 20
)

// The documents are always the same, and take longer to make than all else of New.
var (
	openAPI  = sync.OnceValue(wire.OpenAPI)
	docsPage = sync.OnceValue(wire.DocsPage)
)

// docsPolicy lets the document page have its inline style, and nothing else.
const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// accepter takes operations in for later. An error is an *operation.Error.
type accepter interface {
	Accept(ctx context.Context, a operation.Accepted, limits tsp.Limits) (operation.Operation, error)
	// AcceptMany answers for each, in order.
	AcceptMany(ctx context.Context, all []operation.Accepted, limits func(operation.Accepted) tsp.Limits) ([]operation.Operation, []error)
	// Repeated gives what was accepted under a key.
	Repeated(ctx context.Context, connection uuid.UUID, key operation.Key) (operation.Operation, error)
}

// syncer takes an operation in, attempts it once and gives it back ended. An
// error is an *operation.Error and means that the provider was not called, or
// that the outcome could not be recorded.
type syncer interface {
	Sync(ctx context.Context, a operation.Accepted, limits tsp.Limits) (operation.Operation, error)
}

// reader reads operations. An error is an *operation.Error: not_found or
// unavailable.
type reader interface {
	Get(ctx context.Context, connection, id uuid.UUID) (operation.Operation, error)
	List(ctx context.Context, q operation.Query) (ops []operation.Operation, more bool, err error)
}

// resolver finds what a request names, in memory. What is another partner's is
// not found.
type resolver interface {
	Connection(partner, id uuid.UUID) (directory.Connection, bool)
	User(partner, id uuid.UUID) (directory.User, directory.Connection, bool)
}

// catalogue lists what a partner has, and the providers, each by id ascending.
type catalogue interface {
	Connections(partner uuid.UUID) []directory.Connection
	UsersPage(partner, after uuid.UUID, limit int, filter directory.UserFilter) []directory.User
	TSPs() []directory.TSP
}

// Deps are the parts that the edge hands requests to; all are required. Each must
// be safe for concurrent use.
type Deps struct {
	Verifier  verifier
	Directory interface {
		resolver
		catalogue
	}
	Providers *tsp.Registry
	Accepter  interface {
		accepter
		syncer
		dryRunner
		canceller
	}
	Reader   reader
	Webhooks interface {
		subscriptions
		subscriber
		switcher
	}
	Records   records
	Tail      tailer
	Admission gate
	Cursors   *wire.Cursors
	Log       *slog.Logger
}

// Config of the edge. The zero value is usable.
type Config struct {
	// Timeout bounds a request. Zero: DefaultTimeout.
	Timeout time.Duration
	// SyncMargin is added to the call deadline of a provider to bound a request
	// with is_sync. Zero: DefaultSyncMargin.
	SyncMargin time.Duration
	// MaxBody is the largest request body in bytes. Zero: DefaultMaxBody.
	MaxBody int64
	// MaxBatch is the largest body of a batch in bytes; each of its elements is bounded
	// by MaxBody. Zero: DefaultMaxBatch.
	MaxBatch int64
	// Costly is how many lists and replays of one partner are worked on at a time. Zero:
	// DefaultCostly.
	Costly int
	// Heartbeat is how long a live tail may be silent. Zero: 15 s.
	Heartbeat time.Duration
	// Decode says how strict request bodies are read.
	Decode wire.DecodeOptions
	// Now tells the time. Nil: time.Now.
	Now func() time.Time
	// Tracer and Meter receive spans and measurements. Nil: the global ones of
	// OpenTelemetry.
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// handler answers a request or says why not.
type handler func(w http.ResponseWriter, r *http.Request) error

// server holds what all requests share.
type server struct {
	deps   Deps
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	tracer trace.Tracer
	// mux has the routes and one for all else; known has the routes only, and is asked
	// which methods a path takes.
	mux, known *http.ServeMux
	meters     meters
	shares     shares
	ids        operation.IDs
}

// New makes the handler of the whole public API. It is an error if a part is
// missing, or if the documented routes and the handlers do not match.
func New(deps Deps, cfg Config) (http.Handler, error) {
	if err := deps.check(); err != nil {
		return nil, err
	}
	s := &server{deps: deps, cfg: cfg.withDefaults(), log: deps.Log, mux: http.NewServeMux(), known: http.NewServeMux()}
	s.now = s.cfg.Now
	s.shares = shares{size: s.cfg.Costly, of: map[uuid.UUID]*share{}}
	s.tracer = s.cfg.Tracer.Tracer("writeback/httpapi")
	s.meters = newMeters(s.cfg.Meter)
	if err := s.register(wire.Routes(), s.handlers()); err != nil {
		return nil, err
	}
	return s, nil
}

func (d Deps) check() error {
	for name, missing := range map[string]bool{
		"Verifier": d.Verifier == nil, "Directory": d.Directory == nil, "Providers": d.Providers == nil,
		"Accepter": d.Accepter == nil, "Reader": d.Reader == nil, "Admission": d.Admission == nil,
		"Webhooks": d.Webhooks == nil, "Records": d.Records == nil, "Tail": d.Tail == nil,
		"Cursors": d.Cursors == nil, "Log": d.Log == nil,
	} {
		if missing {
			return fmt.Errorf("httpapi: Deps.%s is missing", name)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.SyncMargin <= 0 {
		c.SyncMargin = DefaultSyncMargin
	}
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxBatch <= 0 {
		c.MaxBatch = DefaultMaxBatch
	}
	if c.Costly <= 0 {
		c.Costly = DefaultCostly
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = heartbeat
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Tracer == nil {
		c.Tracer = otel.GetTracerProvider()
	}
	if c.Meter == nil {
		c.Meter = otel.GetMeterProvider()
	}
	return c
}

// handlers are the steps behind each documented operation, by its id.
func (s *server) handlers() map[string]handler {
	return map[string]handler{
		"update_user":               s.admitted(s.updateUser),
		"create_user":               s.admitted(s.createUser),
		"update_users_batch":        s.admitted(s.updateUsers),
		"cancel_resource_operation": s.admitted(s.bounded(s.cancelOperation)),
		"retry_resource_operation":  s.admitted(s.bounded(s.retryOperation)),
		"list_users":                s.bounded(s.costly(s.listUsers)),
		"get_user":                  s.bounded(s.getUser),
		"list_resource_operations":  s.bounded(s.costly(s.listOperations)),
		"get_resource_operation":    s.bounded(s.getOperation),
		"list_connections":          s.bounded(s.listConnections),
		"get_connection":            s.bounded(s.getConnection),
		"list_integrations_per_tsp": s.bounded(s.listTSPs),
		"get_integrations_per_tsp":  s.bounded(s.getTSP),
		"tail_resource_operations":  s.tailOperations,

		"list_webhook_subscriptions":           s.bounded(s.listWebhooks),
		"create_webhook_subscription":          s.admitted(s.bounded(s.createWebhook)),
		"get_webhook_subscription":             s.bounded(s.onWebhook(s.deps.Webhooks.Get)),
		"update_webhook_subscription":          s.admitted(s.bounded(s.updateWebhook)),
		"delete_webhook_subscription":          s.admitted(s.bounded(s.deleteWebhook)),
		"activate_webhook_subscription":        s.admitted(s.bounded(s.onWebhook(s.deps.Webhooks.Activate))),
		"pause_webhook_subscription":           s.admitted(s.bounded(s.onWebhook(s.deps.Webhooks.Pause))),
		"get_webhook_subscription_metrics":     s.bounded(s.getWebhookMetrics),
		"get_webhook_subscription_logs":        s.bounded(s.costly(s.listWebhookLogs)),
		"replay_undelivered_messages_from_dlq": s.admitted(s.bounded(s.costly(s.replayWebhook))),
		"get_event_schema":                     s.bounded(s.getEventSchema),
		"get_event_schema_versions":            s.bounded(s.getEventSchema),
	}
}

// register joins routes and handlers; one without the other is an error.
func (s *server) register(routes []wire.Route, handlers map[string]handler) error {
	var errs []error
	known := make(map[string]bool, len(routes))
	for _, route := range routes {
		known[route.OperationID] = true
		h, ok := handlers[route.OperationID]
		if !ok {
			errs = append(errs, fmt.Errorf("httpapi: the route %q has no handler", route.OperationID))
			continue
		}
		s.handle(route.Method, route.Path, s.authorize(route, h))
	}
	for id := range handlers {
		if !known[id] {
			errs = append(errs, fmt.Errorf("httpapi: the handler %q has no route", id))
		}
	}
	s.handle(http.MethodGet, "/openapi.json", s.static("application/json", "", openAPI()))
	s.handle(http.MethodGet, "/docs", s.static("text/html; charset=utf-8", docsPolicy, docsPage()))
	s.mux.HandleFunc("/", s.nowhere)
	return errors.Join(errs...)
}

// handle registers one route: it names the span and the trail after the pattern
// and renders what the handler returns.
func (s *server) handle(verb, pattern string, h handler) {
	name, route := verb+" "+pattern, attribute.String("http.route", pattern)
	s.known.Handle(name, http.NotFoundHandler())
	s.mux.HandleFunc(name, func(w http.ResponseWriter, r *http.Request) {
		t := trailOf(r.Context())
		t.route = pattern
		if t.span.IsRecording() {
			t.span.SetName(name)
			t.span.SetAttributes(route)
		}
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// dispatch finds the route. Unknown paths, wrong methods and paths that are not
// clean are refused in the contract's own shape; nothing is redirected.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request) {
	if escaped := r.URL.EscapedPath(); escaped == "" || escaped[0] != '/' || escaped != path.Clean(escaped) {
		s.fail(w, r, errNoPath)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// nowhere answers what no route takes: ServeMux knows what the path would take.
func (s *server) nowhere(w http.ResponseWriter, r *http.Request) {
	refuses, _ := s.known.Handler(r)
	probe := &headerProbe{header: http.Header{}}
	refuses.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		s.fail(w, r, refuse(http.StatusMethodNotAllowed, "this path takes %s", allow))
		return
	}
	s.fail(w, r, errNoPath)
}

// headerProbe keeps the headers of ServeMux's own refusals and drops their text.
type headerProbe struct{ header http.Header }

// Header gives the kept headers.
func (p *headerProbe) Header() http.Header { return p.header }

// Write drops the text.
func (p *headerProbe) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader drops the status.
func (p *headerProbe) WriteHeader(int) {}

// bounded gives a handler the deadline of an ordinary request.
func (s *server) bounded(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := s.deadline(r.Context(), s.cfg.Timeout)
		defer cancel()
		return h(w, r.WithContext(ctx))
	}
}

func (s *server) deadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, errDeadline)
}
