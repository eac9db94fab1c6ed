package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig says what the admin port reports. Its zero value checks nothing.
type AdminConfig struct {
	// Checks ask one dependency each whether it can be used. They may run at the
	// same time as themselves. Their error texts are shown in /readyz.
	Checks map[string]func(context.Context) error
	// Tolerated ask the dependencies that the program can do without for a while.
	// One that fails is shown as degraded, and the program stays ready.
	Tolerated map[string]func(context.Context) error
	// Starting: /readyz answers 503 until Started is called.
	Starting bool
	// CheckTimeout bounds one readiness answer. Zero is 2 s.
	CheckTimeout time.Duration
}

// Admin is the admin port's handler: /healthz, /readyz, /metrics, /debug/pprof/.
// It must not face partners. It is safe for concurrent use.
type Admin struct {
	cfg      atomic.Pointer[AdminConfig]
	draining atomic.Bool
	mux      *http.ServeMux

	mu sync.Mutex
	// start is what the start has waited for and waits for, by name.
	start map[string]string
}

// Admin makes the handler of the admin port.
func (t *Telemetry) Admin(cfg AdminConfig) *Admin {
	a := &Admin{mux: http.NewServeMux(), start: map[string]string{}}
	a.set(cfg)
	a.mux.HandleFunc("GET /healthz", a.alive)
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second, EnableOpenMetrics: true, // exemplars need it
	}))
	a.mux.HandleFunc("/debug/pprof/", pprof.Index)
	a.mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	a.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	a.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	a.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return a
}

// ServeHTTP answers a request to the admin port.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

func (a *Admin) set(cfg AdminConfig) {
	if cfg.CheckTimeout <= 0 {
		cfg.CheckTimeout = 2 * time.Second
	}
	a.cfg.Store(&cfg)
}

// Waiting says what the program waits for at its start, and why; nil: it has come.
// /readyz shows it among its checks until Started is called. Of a URL in the error it
// shows the origin only.
func (a *Admin) Waiting(what string, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if why != nil {
		why = errors.New(errorText(why))
	}
	a.start[what] = reason(why)
}

// Started says that the program has all its parts: from now on /readyz asks these
// checks.
func (a *Admin) Started(cfg AdminConfig) {
	cfg.Starting = false
	a.set(cfg)
}

// SetDraining makes /readyz answer 503 from now on, so that no new work is sent
// to a program that is stopping. /healthz stays 200.
func (a *Admin) SetDraining() { a.draining.Store(true) }

// alive asks no dependency: restarting a process does not bring back Redis.
func (a *Admin) alive(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readiness is the answer of /readyz: "ok" or the reason, by dependency.
type readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

func (a *Admin) ready(w http.ResponseWriter, r *http.Request) {
	cfg := a.cfg.Load()
	ctx, cancel := context.WithTimeout(r.Context(), cfg.CheckTimeout)
	defer cancel()
	out, status := readiness{Status: "ok"}, http.StatusOK
	tolerated := make(chan map[string]string, 1)
	go func() { tolerated <- ask(ctx, cfg.Tolerated) }()
	out.Checks = ask(ctx, cfg.Checks)
	failed := false
	for _, result := range out.Checks {
		failed = failed || result != "ok"
	}
	for name, result := range <-tolerated {
		if result != "ok" {
			out.Status, result = "degraded", "degraded: "+result
		}
		out.Checks[name] = result
	}
	if failed {
		out.Status, status = "unavailable", http.StatusServiceUnavailable
	}
	if cfg.Starting {
		out.Status, status = "starting", http.StatusServiceUnavailable
		a.mu.Lock()
		maps.Copy(out.Checks, a.start)
		a.mu.Unlock()
	}
	if a.draining.Load() {
		out.Status, status = "draining", http.StatusServiceUnavailable
	}
	answer(w, status, out)
}

// ask asks all dependencies at once. One that does not answer in time counts as
// failed, whether it heeds its context or not.
func ask(ctx context.Context, checks map[string]func(context.Context) error) map[string]string {
	var (
		mu  sync.Mutex
		out = make(map[string]string, len(checks))
		wg  sync.WaitGroup
	)
	for name, check := range checks {
		wg.Go(func() {
			result := make(chan error, 1)
			go func() { result <- safely(ctx, check) }()
			var err error
			select {
			case err = <-result:
			case <-ctx.Done():
				err = errors.New("no answer in time")
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = reason(err)
		})
	}
	wg.Wait()
	return out
}

func safely(ctx context.Context, check func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("check panicked: %v", p)
		}
	}()
	return check(ctx)
}

// reason gives the first line of an error, cut to a readable length.
func reason(err error) string {
	const most = 200
	if err == nil {
		return "ok"
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	if text == "" || text == "ok" {
		text = "failed"
	}
	return text
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
