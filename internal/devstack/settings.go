package devstack

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

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

// environ is the environment with the stack's own values around it: what it may change
// comes before, what it may not comes after.
func (o Options) environ(urls URLs, registry, keyset string) []string {
	before, after := o.own(urls, registry, keyset)
	return slices.Concat(before, o.Environ, after)
}

func (o Options) own(urls URLs, registry, keyset string) (before, after []string) {
	before = []string{
		"WRITEBACK_SHUTDOWN_GRACE=" + stopGrace.String(),
		// Small enough for a laptop; a full stream would refuse new operations.
		"WRITEBACK_OPERATIONS_MAX_BYTES=512MiB", "WRITEBACK_EVENTS_MAX_BYTES=1GiB",
		// Endpoints of webhooks are on the same machine too.
		"WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_PROVIDER_LOCAL=true",
		// The registry file has everybody; `writeback users sync` asks for one.
		"WRITEBACK_SYNC_EVERY=0",
		"WRITEBACK_KEYSET_FILE=" + keyset,
	}
	after = []string{
		"WRITEBACK_NATS_URL=" + urls.NATS, "WRITEBACK_REDIS_URL=" + urls.Redis,
		"WRITEBACK_OIDC_ISSUER=" + urls.API + devissuer.Realm, "WRITEBACK_OIDC_AUDIENCE=",
		"WRITEBACK_REGISTRY_FILE=" + registry,
		"WRITEBACK_SANDBOX_URL=" + urls.Sandbox,
		"WRITEBACK_API_ADDR=", "WRITEBACK_ADMIN_ADDR=", "WRITEBACK_STREAM_REPLICAS=",
	}
	if o.Concurrency != 0 {
		after = append(after, "WRITEBACK_WORKER_CONCURRENCY="+strconv.Itoa(o.Concurrency))
	}
	return before, after
}

// toolFile gives the stack's own values as they are in force, in the form that the
// operator's command takes with --config.
func (o Options) toolFile(urls URLs, registry, keyset string) ([]byte, error) {
	before, after := o.own(urls, registry, keyset)
	own := make(map[string]string, len(before)+len(after))
	for _, value := range slices.Concat(before, after) {
		name, _, _ := strings.Cut(value, "=")
		own[name] = ""
	}
	for _, value := range o.environ(urls, registry, keyset) {
		name, value, _ := strings.Cut(value, "=")
		if _, ok := own[name]; ok {
			own[name] = value
		}
	}
	maps.DeleteFunc(own, func(_, value string) bool { return value == "" })
	return yaml.Marshal(own)
}

// settings reads the environment with the stack's own values over it.
func (o Options) settings(urls URLs, registry, keyset string) (settings, error) {
	s := settings{workers: o.Workers}
	environ := o.environ(urls, registry, keyset)
	var err error
	if s.api, _, err = config.Load[config.API](environ); err != nil {
		return s, &SettingsError{err}
	}
	if s.worker, _, err = config.Load[config.Worker](environ); err != nil {
		return s, &SettingsError{err}
	}
	return s, nil
}
