package devstack

import (
	"slices"
	"strconv"
	"time"

	"writeback/internal/config"
	"writeback/internal/devissuer"
)

// stopGrace is how long requests and provider calls may take to finish, unless
// the environment says otherwise.
const stopGrace = 10 * time.Second

// SettingsError says that the options or the environment have a fault.
type SettingsError struct{ Err error }

// Error names every fault.
func (e *SettingsError) Error() string { return e.Err.Error() }

// Unwrap gives the faults.
func (e *SettingsError) Unwrap() error { return e.Err }

// settings are those of the programs, as if each had been started with the
// environment.
type settings struct {
	api     config.API
	worker  config.Worker
	workers int
}

// settings reads the environment with the stack's own values over it.
func (o Options) settings(urls URLs, registry, keyset string) (settings, error) {
	s := settings{workers: o.Workers}
	environ := slices.Concat(
		[]string{
			"WRITEBACK_SHUTDOWN_GRACE=" + stopGrace.String(),
			// Small enough for a laptop; a full stream would refuse new operations.
			"WRITEBACK_OPERATIONS_MAX_BYTES=512MiB", "WRITEBACK_EVENTS_MAX_BYTES=1GiB",
			// Endpoints of webhooks are on the same machine too.
			"WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_PROVIDER_LOCAL=true",
			// The registry file has everybody; `writeback users sync` asks for one.
			"WRITEBACK_SYNC_EVERY=0",
			"WRITEBACK_KEYSET_FILE=" + keyset,
		},
		o.Environ,
		[]string{
			"WRITEBACK_NATS_URL=" + urls.NATS, "WRITEBACK_REDIS_URL=" + urls.Redis,
			"WRITEBACK_OIDC_ISSUER=" + urls.API + devissuer.Realm, "WRITEBACK_OIDC_AUDIENCE=",
			"WRITEBACK_REGISTRY_FILE=" + registry,
			"WRITEBACK_SANDBOX_URL=" + urls.Sandbox,
			"WRITEBACK_API_ADDR=", "WRITEBACK_ADMIN_ADDR=", "WRITEBACK_STREAM_REPLICAS=",
		},
	)
	if o.Concurrency != 0 {
		environ = append(environ, "WRITEBACK_WORKER_CONCURRENCY="+strconv.Itoa(o.Concurrency))
	}
	var err error
	if s.api, _, err = config.Load[config.API](environ); err != nil {
		return s, &SettingsError{err}
	}
	if s.worker, _, err = config.Load[config.Worker](environ); err != nil {
		return s, &SettingsError{err}
	}
	return s, nil
}
