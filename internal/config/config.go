// Package config reads a program's settings from flags, environment variables and a
// file, once, at its start, and checks all of them before anything else runs. The
// structs are also what docs/configuration.md is made from.
//
// It opens no connection and keeps no global state: each program gets one struct.
// OpenTelemetry reads its own OTEL_* variables; they are not repeated here. A
// variable that is set but empty counts as not set. Passwords and keys appear in
// no error, log line or printed struct.
package config

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"writeback/internal/redisurl"
	"writeback/pkg/tsp/all"
)

// API is the settings of the api program.
type API struct {
	Common
	Streams
	Providers
	Webhooks

	// Addr is where the partner API listens, as host:port.
	Addr string `env:"WRITEBACK_API_ADDR" envDefault:"127.0.0.1:8080" rule:"addr" help:"address of the partner API"`
	// OIDCIssuer is the token issuer's URL.
	OIDCIssuer string `env:"WRITEBACK_OIDC_ISSUER" rule:"required,http" production:"https" help:"URL of the token issuer" more:"exactly as in the 'iss' of its tokens"`
	// OIDCAudience must be in a token's aud claim; empty accepts any, so also a token that
	// was made for another service of the issuer.
	OIDCAudience string `env:"WRITEBACK_OIDC_AUDIENCE" production:"required" help:"audience that tokens must name; empty accepts any"`
	// CursorKey seals page cursors and places of the live tail. Empty: api processes share
	// a random one through NATS.
	CursorKey Secret `env:"WRITEBACK_CURSOR_KEY" rule:"key" secret:"true" help:"key of page cursors and of places in the live tail, at least 32 bytes in hex or base64; empty shares a random one"`
	// PartnerRate and PartnerBurst bound a partner's writes in one api, PartnerOutstanding
	// its operations that have not ended.
	PartnerRate        int `env:"WRITEBACK_PARTNER_RATE" envDefault:"200" rule:"1..1000000" help:"writes per second of one partner in one api" more:"more are refused with 429"`
	PartnerBurst       int `env:"WRITEBACK_PARTNER_BURST" envDefault:"400" rule:"1..1000000" help:"writes of one partner that may come at once" more:"within the rate"`
	PartnerOutstanding int `env:"WRITEBACK_PARTNER_OUTSTANDING" envDefault:"200000" rule:"1..100000000" help:"operations of one partner that may be outstanding" more:"more are refused with 429"`
	// StrictBodies refuses unknown fields in request bodies.
	StrictBodies bool `env:"WRITEBACK_STRICT_BODIES" envDefault:"false" help:"refuse unknown fields in request bodies" more:"instead of ignoring them"`
}

// Worker is the settings of the worker program.
type Worker struct {
	Common
	Streams
	Providers
	Webhooks

	// Roles are what a worker does, separated by commas.
	Roles string `env:"WRITEBACK_ROLES" envDefault:"operations,webhooks,sync" rule:"roles" help:"what this worker does: operations, webhooks, sync" more:"separated by commas"`
	// SyncEvery is the time from one sync of a connection's users to the next. Zero:
	// only what is asked for.
	SyncEvery time.Duration `env:"WRITEBACK_SYNC_EVERY" envDefault:"6h" rule:"0s..720h" help:"time between two listings of a connection's users; 0 only on demand" more:"see [directory-sync.md](directory-sync.md)"`
	// Concurrency is how many provider calls one worker makes at a time.
	Concurrency int `env:"WRITEBACK_WORKER_CONCURRENCY" envDefault:"64" rule:"1..10000" help:"provider calls at a time in one worker"`
}

// Sandbox is the settings of the provider sandbox program.
type Sandbox struct {
	Process

	// Addr is where the sandbox listens, as host:port.
	Addr string `env:"WRITEBACK_SANDBOX_ADDR" envDefault:"127.0.0.1:8090" rule:"addr" help:"address of the provider sandbox"`
}

// Process is what every program has.
type Process struct {
	// LogLevel is the least level that is logged.
	LogLevel slog.Level `env:"WRITEBACK_LOG_LEVEL" envDefault:"info" rule:"level" help:"debug, info, warn or error"`
	// ShutdownGrace is how long a stopping program may take to finish its work.
	ShutdownGrace time.Duration `env:"WRITEBACK_SHUTDOWN_GRACE" envDefault:"25s" rule:"1s..10m" help:"time to finish work when stopping" more:"shorter than what the orchestrator allows"`
}

// Stores is where NATS and Redis are.
type Stores struct {
	// Env is development or production, which refuses what is for development only.
	Env string `env:"WRITEBACK_ENV" envDefault:"development" rule:"env" help:"development or production" more:"production refuses what is for development only; see below"`

	// NATSURL is one NATS URL or several, separated by commas.
	NATSURL string `env:"WRITEBACK_NATS_URL" envDefault:"nats://127.0.0.1:4222" rule:"nats" help:"URL of NATS, or several separated by commas" more:"a password may be in it"`
	// NATSCredsFile is a .creds file of a NATS user. Empty: what the URL says.
	NATSCredsFile string `env:"WRITEBACK_NATS_CREDS_FILE" rule:"file" help:"credentials file of a NATS user" more:"'.creds', instead of a password in the URL"`
	// RedisURL is the address of Redis, in one of the forms of package redisurl.
	RedisURL string `env:"WRITEBACK_REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" rule:"redis" help:"URL of Redis, of a Redis Cluster, or of Sentinels" more:"one server ('redis://', 'rediss://', 'unix://'), a Redis Cluster ('redis+cluster://host1,host2'), or Sentinels ('redis+sentinel://host1,host2/primary'); a password may be in it; see [operations.md](operations.md)"`
	// TLSCertFile is the client certificate for a NATS and a Redis that ask for one, and
	// TLSKeyFile its key, in PEM.
	TLSCertFile string `env:"WRITEBACK_TLS_CERT_FILE" rule:"file,beside:WRITEBACK_TLS_KEY_FILE" help:"client certificate for NATS and Redis, in PEM" more:"read anew for each connection"`
	TLSKeyFile  string `env:"WRITEBACK_TLS_KEY_FILE" rule:"file,beside:WRITEBACK_TLS_CERT_FILE" help:"key of the client certificate, in PEM"`
}

// RedisOptions are those of a client of Redis with that name; see redisurl.Options.
func (s Stores) RedisOptions(name string, hasty bool) redisurl.Options {
	return redisurl.Options{Name: name, Hasty: hasty, CertFile: s.TLSCertFile, KeyFile: s.TLSKeyFile}
}

// Common is what the api and the worker share.
type Common struct {
	Process
	Stores

	// AdminAddr is where health, metrics and pprof listen, as host:port.
	AdminAddr string `env:"WRITEBACK_ADMIN_ADDR" envDefault:"127.0.0.1:8081" rule:"addr" help:"address of health, metrics and pprof" more:"it has no authentication, so never a public address"`
	// RegistryFile is the YAML file with partners, fleets, connections and users.
	RegistryFile string `env:"WRITEBACK_REGISTRY_FILE" rule:"file" production:"registry" help:"YAML file with partners, fleets, connections and users" more:"for example 'deploy/registry.example.yaml'; without it, what NATS already holds is used"`
}

// Streams is how the JetStream streams are made.
type Streams struct {
	// Replicas is the number of copies of each stream.
	Replicas int `env:"WRITEBACK_STREAM_REPLICAS" envDefault:"1" rule:"1..5" help:"copies of each stream, odd" more:"3 on a NATS cluster"`
	// OperationsMaxBytes bounds the stream of accepted operations.
	OperationsMaxBytes Bytes `env:"WRITEBACK_OPERATIONS_MAX_BYTES" envDefault:"1GiB" rule:"bytes" help:"size of the stream of operations" more:"full means 503 once the outbox is full too"`
	// EventsMaxBytes bounds the stream of operation events.
	EventsMaxBytes Bytes `env:"WRITEBACK_EVENTS_MAX_BYTES" envDefault:"4GiB" rule:"bytes" help:"size of the stream of events" more:"45 days of them"`
}

// Providers is where the telematics providers are.
type Providers struct {
	// BaseURLs by provider name, from WRITEBACK_<NAME>_URL. Absent: the provider's
	// public API, or its place in the sandbox.
	BaseURLs map[string]string
	// SandboxURL is where a provider sandbox is. Empty: none.
	SandboxURL string `env:"WRITEBACK_SANDBOX_URL" rule:"http" production:"https" help:"base URL of a provider sandbox" more:"each provider is at its name below it, unless it has a URL of its own"`
	// ProviderLocal lets providers be on the same machine or network, without TLS.
	ProviderLocal bool `env:"WRITEBACK_PROVIDER_LOCAL" envDefault:"false" production:"off" help:"for a sandbox: provider URLs may be http and have private addresses"`
}

// URLs are the base URLs of providers by name; those at their public API are absent.
func (p Providers) URLs() map[string]string {
	urls := make(map[string]string)
	for name := range all.Hosts() {
		switch own := p.BaseURLs[name]; {
		case own != "":
			urls[name] = own
		case p.SandboxURL != "":
			urls[name] = strings.TrimRight(p.SandboxURL, "/") + "/" + name
		}
	}
	return urls
}

// Keyset is what seals secrets.
type Keyset struct {
	// KeysetFile seals secrets; empty means a key that lies beside them in NATS.
	KeysetFile string `env:"WRITEBACK_KEYSET_FILE" rule:"file" production:"required" help:"Tink keyset in JSON that seals stored secrets; without it a key for development is kept in NATS" more:"the same file for all; without it credentials are stored in clear; see [credentials.md](credentials.md)"`
}

// Webhooks is how partners' endpoints are called and their secrets kept.
type Webhooks struct {
	Keyset

	// WebhookLocal lets endpoints be on the same machine or network, without TLS.
	WebhookLocal bool `env:"WRITEBACK_WEBHOOK_LOCAL" envDefault:"false" production:"off" help:"for development: webhook endpoints may be http and have private addresses"`
	// EgressProxy is the proxy for calls to providers and webhook endpoints; empty
	// means none.
	EgressProxy string `env:"WRITEBACK_EGRESS_PROXY" rule:"http" help:"proxy for calls to providers and webhook endpoints; it must refuse private addresses itself"`
}

// Operator is the settings of the writeback program, the operator's tool.
type Operator struct {
	Stores
	Streams
	Keyset

	// APIURL sends operation commands through the partner API. Empty: they go to the
	// store itself.
	APIURL string `env:"WRITEBACK_API_URL" rule:"http" help:"URL of the partner API; operation commands then go through it" more:"and loadtest always does"`
	// Token is a bearer token for the API; TokenURL, ClientID and ClientSecret get one.
	Token        string `env:"WRITEBACK_TOKEN" secret:"true" help:"access token for the partner API"`
	TokenURL     string `env:"WRITEBACK_TOKEN_URL" rule:"http" help:"where to get an access token by client credentials" more:"without it, the development issuer beside the API"`
	ClientID     string `env:"WRITEBACK_CLIENT_ID" help:"client that gets the token"`
	ClientSecret string `env:"WRITEBACK_CLIENT_SECRET" secret:"true" help:"secret of that client"`
}

// The roles of a worker.
const (
	RoleOperations = "operations"
	RoleWebhooks   = "webhooks"
	RoleSync       = "sync"
)

// Has reports whether the worker has a role.
func (c Worker) Has(role string) bool { return slices.Contains(rolesOf(c.Roles), role) }

// LogValue gives the settings with every secret masked.
func (c API) LogValue() slog.Value { return masked(&c) }

// LogValue gives the settings with every secret masked.
func (c Worker) LogValue() slog.Value { return masked(&c) }

// LogValue gives the settings with every secret masked.
func (c Sandbox) LogValue() slog.Value { return masked(&c) }

// LogValue gives the settings with every secret masked.
func (c Operator) LogValue() slog.Value { return masked(&c) }

// String gives the settings with every secret masked.
func (c Operator) String() string { return masked(&c).String() }

// String gives the settings with every secret masked.
func (c API) String() string { return masked(&c).String() }

// String gives the settings with every secret masked.
func (c Worker) String() string { return masked(&c).String() }

// String gives the settings with every secret masked.
func (c Sandbox) String() string { return masked(&c).String() }

// LogValue gives the settings with every secret masked.
func (c Common) LogValue() slog.Value { return masked(&c) }

// String gives the settings with every secret masked.
func (c Common) String() string { return masked(&c).String() }
