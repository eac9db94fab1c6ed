package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// CheckTimeout bounds one readiness answer. Zero is 2 s.
	CheckTimeout time.Duration
}

// Admin is the admin port's handler: /healthz, /readyz, /metrics, /debug/pprof/.
// It must not face partners. It is safe for concurrent use.
type Admin struct {
	checks   map[string]func(context.Context) error
	timeout  time.Duration
	draining atomic.Bool
	mux      *http.ServeMux
}

// Admin makes the handler of the admin port.
func (t *Telemetry) Admin(cfg AdminConfig) *Admin {
	a := &Admin{checks: cfg.Checks, timeout: cfg.CheckTimeout, mux: http.NewServeMux()}
	if a.timeout <= 0 {
		a.timeout = 2 * time.Second
	}
	a.mux.HandleFunc("GET /healthz", a.alive)
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	a.mux.HandleFunc("/debug/pprof/", pprof.Index)
	a.mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	a.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	a.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	a.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return a
}

// ServeHTTP answers a request to the admin port.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

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
	out, status := readiness{Status: "ok", Checks: a.run(r.Context())}, http.StatusOK
	for _, result := range out.Checks {
		if result != "ok" {
			out.Status, status = "unavailable", http.StatusServiceUnavailable
		}
	}
	if a.draining.Load() {
		out.Status, status = "draining", http.StatusServiceUnavailable
	}
	answer(w, status, out)
}

// run asks all dependencies at once. One that does not answer in time counts as
// failed, whether it heeds its context or not.
func (a *Admin) run(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var (
		mu  sync.Mutex
		out = make(map[string]string, len(a.checks))
		wg  sync.WaitGroup
	)
	for name, check := range a.checks {
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
