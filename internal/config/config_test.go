package config_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/internal/redisurl"
	"writeback/pkg/tsp/all"
)

const issuer = "WRITEBACK_OIDC_ISSUER=http://127.0.0.1:8080/realms/catena"

func TestLoad_Defaults(t *testing.T) {
	t.Parallel()
	api, warnings, err := config.Load[config.API]([]string{issuer, "PATH=/bin"})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, "127.0.0.1:8080", api.Addr)
	require.Equal(t, "127.0.0.1:8081", api.AdminAddr)
	require.Equal(t, "nats://127.0.0.1:4222", api.NATSURL)
	require.Equal(t, "redis://127.0.0.1:6379/0", api.RedisURL)
	require.Equal(t, "http://127.0.0.1:8080/realms/catena", api.OIDCIssuer)
	require.Equal(t, slog.LevelInfo, api.LogLevel)
	require.Equal(t, 25*time.Second, api.ShutdownGrace)
	require.Equal(t, 1, api.Replicas)
	require.EqualValues(t, 1<<30, api.OperationsMaxBytes)
	require.EqualValues(t, 4<<30, api.EventsMaxBytes)
	require.Empty(t, api.CursorKey)
	require.False(t, api.StrictBodies)
	require.Equal(t, []int{200, 400, 200_000}, []int{api.PartnerRate, api.PartnerBurst, api.PartnerOutstanding})
	require.Empty(t, api.SandboxURL+api.RegistryFile+api.OIDCAudience)

	worker, _, err := config.Load[config.Worker](nil)
	require.NoError(t, err)
	require.Equal(t, 64, worker.Concurrency)

	sandbox, _, err := config.Load[config.Sandbox](nil)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8090", sandbox.Addr)
}

func TestLoad_Everything(t *testing.T) {
	t.Parallel()
	registry := filepath.Join(t.TempDir(), "registry.yaml")
	require.NoError(t, os.WriteFile(registry, nil, 0o600))
	key := bytes.Repeat([]byte{0xfb}, 33)
	api, warnings, err := config.Load[config.API]([]string{
		issuer, "WRITEBACK_OIDC_AUDIENCE=writeback", "WRITEBACK_API_ADDR=:0", "WRITEBACK_ADMIN_ADDR=[::1]:9",
		"WRITEBACK_NATS_URL=nats://u:p@a:4222, tls://b:4222", "WRITEBACK_REDIS_URL=rediss://:p@h:1/2",
		"WRITEBACK_REGISTRY_FILE=" + registry, "WRITEBACK_SAMSARA_URL=http://127.0.0.1:8090/samsara",
		"WRITEBACK_MOTIVE_URL=", "WRITEBACK_LOG_LEVEL=DEBUG", "WRITEBACK_SHUTDOWN_GRACE=1m",
		"WRITEBACK_CURSOR_KEY=" + base64.URLEncoding.EncodeToString(key), "WRITEBACK_STRICT_BODIES=true",
		"WRITEBACK_STREAM_REPLICAS=3", "WRITEBACK_OPERATIONS_MAX_BYTES=512M", "WRITEBACK_EVENTS_MAX_BYTES=1073741824",
		"WRITEBACK_PARTNER_RATE=1", "WRITEBACK_PARTNER_BURST=2", "WRITEBACK_PARTNER_OUTSTANDING=3",
		"WRITEBACK_WORKER_CONCURRENCY=8", // Of another program, so no warning.
	})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.EqualValues(t, key, api.CursorKey)
	require.True(t, api.StrictBodies)
	require.Equal(t, []int{1, 2, 3}, []int{api.PartnerRate, api.PartnerBurst, api.PartnerOutstanding})
	require.Equal(t, slog.LevelDebug, api.LogLevel)
	require.Equal(t, 3, api.Replicas)
	require.EqualValues(t, 512<<20, api.OperationsMaxBytes)
	require.EqualValues(t, 1<<30, api.EventsMaxBytes)
	require.Equal(t, registry, api.RegistryFile)
	require.Equal(t, ":0", api.Addr)
	require.Equal(t, map[string]string{"samsara": "http://127.0.0.1:8090/samsara"}, api.BaseURLs)
}

// TestLoad_PortsThatThereAreNot: a program would wait for such an address for ever.
func TestLoad_PortsThatThereAreNot(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"WRITEBACK_NATS_URL": "nats://a:4222,nats://b:99999", "WRITEBACK_REDIS_URL": "redis://a:99999/0", "WRITEBACK_SAMSARA_URL": "https://a:99999",
	} {
		_, _, err := config.Load[config.API]([]string{"WRITEBACK_OIDC_ISSUER=https://a", name + "=" + value})
		require.ErrorContains(t, err, name)
	}
}

func TestLoad_EveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"WRITEBACK_NATS_URL":             "http://x",
		"WRITEBACK_REDIS_URL":            "127.0.0.1:6379",
		"WRITEBACK_API_ADDR":             "8080",
		"WRITEBACK_ADMIN_ADDR":           "x:99999",
		"WRITEBACK_REGISTRY_FILE":        t.TempDir(),
		"WRITEBACK_SAMSARA_URL":          "samsara",
		"WRITEBACK_MOTIVE_URL":           "ftp://x",
		"WRITEBACK_GEOTAB_URL":           "https://x/?y=z",
		"WRITEBACK_LOG_LEVEL":            "loud",
		"WRITEBACK_SHUTDOWN_GRACE":       "25",
		"WRITEBACK_CURSOR_KEY":           "c2hvcnQ=",
		"WRITEBACK_STRICT_BODIES":        "perhaps",
		"WRITEBACK_STREAM_REPLICAS":      "2",
		"WRITEBACK_OPERATIONS_MAX_BYTES": "7",
		"WRITEBACK_EVENTS_MAX_BYTES":     "9999999T",
		"WRITEBACK_PARTNER_RATE":         "0",
		"WRITEBACK_PARTNER_BURST":        "1000001",
		"WRITEBACK_PARTNER_OUTSTANDING":  "many",
	}
	var environ []string
	for k, v := range bad {
		environ = append(environ, k+"="+v)
	}
	bad["WRITEBACK_OIDC_ISSUER"] = ""
	_, _, err := config.Load[config.API](environ)
	require.Error(t, err)
	var joined interface{ Unwrap() []error }
	require.ErrorAs(t, err, &joined)
	got := map[string]string{}
	for _, one := range joined.Unwrap() {
		var f config.Fault
		require.ErrorAs(t, one, &f)
		require.NotEmpty(t, f.Rule)
		require.Contains(t, err.Error(), f.Name)
		got[f.Name] = f.Value
	}
	require.Len(t, got, len(bad))
	require.Len(t, joined.Unwrap(), len(bad), "each is told once")
	for name, value := range bad {
		require.Contains(t, got, name)
		switch name {
		case "WRITEBACK_CURSOR_KEY":
			require.Equal(t, "*****", got[name])
		case "WRITEBACK_GEOTAB_URL":
			require.Equal(t, "https://x/?*****", got[name])
		default:
			require.Equal(t, value, got[name])
		}
	}
}

func TestLoad_Rules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pair string
		ok   bool
	}{
		{"WRITEBACK_LOG_LEVEL=warn", true},
		{"WRITEBACK_LOG_LEVEL=error+4", false},
		{"WRITEBACK_WORKER_CONCURRENCY=0", false},
		{"WRITEBACK_WORKER_CONCURRENCY=1", true},
		{"WRITEBACK_WORKER_CONCURRENCY=10001", false},
		{"WRITEBACK_WORKER_CONCURRENCY=many", false},
		{"WRITEBACK_SHUTDOWN_GRACE=0s", false},
		{"WRITEBACK_SHUTDOWN_GRACE=1s", true},
		{"WRITEBACK_SHUTDOWN_GRACE=10m", true},
		{"WRITEBACK_SHUTDOWN_GRACE=10m1ms", false},
		{"WRITEBACK_SYNC_EVERY=0", true},
		{"WRITEBACK_SYNC_EVERY=-1s", false},
		{"WRITEBACK_SYNC_EVERY=721h", false},
		{"WRITEBACK_ROLES=sync, webhooks", true},
		{"WRITEBACK_ROLES=operations,hooks", false},
		{"WRITEBACK_ROLES=,", false},
		{"WRITEBACK_STREAM_REPLICAS=0", false},
		{"WRITEBACK_STREAM_REPLICAS=5", true},
		{"WRITEBACK_NATS_URL=nats://a:1,b:1", false},
		{"WRITEBACK_NATS_URL=wss://a", true},
		{"WRITEBACK_REDIS_URL=unix:///run/redis.sock", true},
		{"WRITEBACK_REDIS_URL=redis+cluster://a:7000,b", true},
		{"WRITEBACK_REDIS_URL=rediss+sentinel://a,b/primary", true},
		{"WRITEBACK_REDIS_URL=redis+sentinel://a,b", false},
		{"WRITEBACK_REDIS_URL=redis://", false},
		{"WRITEBACK_REDIS_URL=redis://:6379", false},
		{"WRITEBACK_REDIS_URL=redis://%zz", false},
		{"WRITEBACK_ADMIN_ADDR=:0", true},
		{"WRITEBACK_ADMIN_ADDR=localhost:http", false},
		{"WRITEBACK_OPERATIONS_MAX_BYTES=1024KiB", true},
		{"WRITEBACK_OPERATIONS_MAX_BYTES=-1GiB", false},
		{"WRITEBACK_OPERATIONS_MAX_BYTES=1XB", false},
		{"WRITEBACK_OPERATIONS_MAX_BYTES=GiB", false},
		{"WRITEBACK_SAMSARA_URL=https://u:p@x", false},
		{"WRITEBACK_SAMSARA_URL=https://x/#y", false},
		{"WRITEBACK_REGISTRY_FILE=/does/not/exist", false},
	} {
		_, _, err := config.Load[config.Worker]([]string{tt.pair})
		require.Equal(t, tt.ok, err == nil, "%s: %v", tt.pair, err)
	}
}

// TestLoad_FilesAndAddressesOfAllPrograms: one that is not there, or is none, is told at the start.
func TestLoad_FilesAndAddressesOfAllPrograms(t *testing.T) {
	t.Parallel()
	n := 0
	for _, name := range config.Known() {
		_, kind, _ := strings.Cut(strings.TrimPrefix(name, "WRITEBACK_"), "_")
		kind = kind[strings.LastIndex(kind, "_")+1:]
		if !slices.Contains([]string{"FILE", "URL", "ADDR", "ISSUER", "PROXY"}, kind) {
			continue
		}
		n++
		environ := []string{name + "=/does/not/exist"}
		_, _, api := config.Load[config.API](environ)
		_, _, worker := config.Load[config.Worker](environ)
		_, _, sandbox := config.Load[config.Sandbox](environ)
		_, _, operator := config.Load[config.Operator](environ)
		require.ErrorContains(t, errors.Join(api, worker, sandbox, operator), name+`="/does/not/exist": must be`)
	}
	require.Greater(t, n, 20)
}

func TestLoad_ACertificateHasItsKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tls.pem")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	certificate, key := "WRITEBACK_TLS_CERT_FILE="+file, "WRITEBACK_TLS_KEY_FILE="+file
	_, _, err := config.Load[config.Worker]([]string{certificate})
	require.ErrorContains(t, err, `WRITEBACK_TLS_KEY_FILE="": is required beside WRITEBACK_TLS_CERT_FILE`)
	_, _, err = config.Load[config.Worker]([]string{key})
	require.ErrorContains(t, err, `WRITEBACK_TLS_CERT_FILE="": is required beside WRITEBACK_TLS_KEY_FILE`)
	w, _, err := config.Load[config.Worker]([]string{certificate, key})
	require.NoError(t, err)
	require.Equal(t, redisurl.Options{Name: "worker", Hasty: true, CertFile: file, KeyFile: file}, w.RedisOptions("worker", true))
}

func TestWorker_HasTheRolesThatItIsGiven(t *testing.T) {
	t.Parallel()
	w, _, err := config.Load[config.Worker]([]string{"WRITEBACK_ROLES=sync, webhooks"})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, true}, []bool{w.Has(config.RoleOperations), w.Has(config.RoleWebhooks), w.Has(config.RoleSync)})
}

func TestLoad_CursorKeyForms(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{0xff, 0xe0}, 16)
	for _, text := range []string{
		fmt.Sprintf("%x", key), fmt.Sprintf("%X", key), base64.StdEncoding.EncodeToString(key),
		base64.RawStdEncoding.EncodeToString(key), base64.URLEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key),
	} {
		api, _, err := config.Load[config.API]([]string{issuer, "WRITEBACK_CURSOR_KEY=" + text})
		require.NoError(t, err)
		require.EqualValues(t, key, api.CursorKey)
	}
	_, _, err := config.Load[config.API]([]string{issuer, "WRITEBACK_CURSOR_KEY=hunter2 hunter2 hunter2 hunter2 hunter2"})
	require.ErrorContains(t, err, "WRITEBACK_CURSOR_KEY")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestLoad_PasswordsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"WRITEBACK_REDIS_URL=redis://user:hunter2@h:6379/0",
		"WRITEBACK_REDIS_URL=redis://user:hunter2@h:port/0",
		"WRITEBACK_REDIS_URL=redis+sentinel://user:hunter2@h,h2",
		"WRITEBACK_REDIS_URL=http://user:hunter2@h/0",
		"WRITEBACK_REDIS_URL=user:hunter2@h",
		"WRITEBACK_REDIS_URL=redis://:hun,hunter2@h",
		"WRITEBACK_REDIS_URL=redis://h/0?password=hunter2",
		"WRITEBACK_REDIS_URL=x://h?password=hunter2",
		"WRITEBACK_NATS_URL=nats://hunter2@h:4222",
		"WRITEBACK_NATS_URL=nats://a:4222,nats://u:hunter2@h:4222",
		"WRITEBACK_NATS_URL=nats://u:12,hunter2@h:4222",
		"WRITEBACK_NATS_URL=nats://u:hunter2,3@h:4222",
		"WRITEBACK_NATS_URL=http://hunter2@h:4222",
		"WRITEBACK_SAMSARA_URL=https://u:hunter2@h",
		"WRITEBACK_CURSOR_KEY=hunter2",
		"WRITEBACK_CURSOR_KEY=" + base64.StdEncoding.EncodeToString([]byte("hunter2hunter2hunter2hunter2hunter2")),
	} {
		api, _, err := config.Load[config.API]([]string{issuer, pair})
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "config", api, "common", api.Common, "key", api.CursorKey)
		printed := fmt.Sprintf("%v %+v %s %v %v %#v", api, api, api, err, api.Common, api.CursorKey) + log.String()
		require.NotContains(t, printed, "hunter2", pair)
		require.NotContains(t, printed, fmt.Sprint([]byte("hunter2")), pair) //nolint:staticcheck // bytes printed as numbers
		require.Contains(t, printed, "*****", pair)
	}
}

// TestShow_SeveralHosts: whoever reads the log sees which servers a program was given.
func TestShow_SeveralHosts(t *testing.T) {
	t.Parallel()
	issuer := "WRITEBACK_OIDC_ISSUER=https://issuer"
	for given, want := range map[string]string{
		"redis+sentinel://s1:26379,s2:26379,s3/main":                           "redis+sentinel://s1:26379,s2:26379,s3/main",
		"redis+sentinel://u:hun,ter2@s1,s2:26379/main?sentinel_password=other": "redis+sentinel://*****@s1,s2:26379/main?*****",
		"redis+cluster://:hunter2@r1:7000,r2:7001":                             "redis+cluster://*****@r1:7000,r2:7001",
		"redis+cluster://r1,r2?password=hunter@2":                              "*****",
		"redis+cluster://u:hunter/2@r1,r2":                                     "*****",
	} {
		api, _, _ := config.Load[config.API]([]string{issuer, "WRITEBACK_REDIS_URL=" + given})
		require.Contains(t, api.String(), want+" ", given)
		require.NotContains(t, api.String(), "hunter", given)
	}
}

func TestLoad_WarnsOfUnknownNames(t *testing.T) {
	t.Parallel()
	_, warnings, err := config.Load[config.Worker]([]string{
		"WRITEBACK_NAST_URL=nats://secret@x", "WRITEBACK_ENTIRELY_OTHER=1", "WRITEBACK_EMPTY=", "NATS_URL=x", "WRITEBACK_SANDBOX_ADDR=:1",
		"WRITEBACK_GPSINSIGHT_URL=https://x", "WRITEBACK_GPSINSITE_URL=https://x",
	})
	require.NoError(t, err)
	require.Len(t, warnings, 3)
	require.Contains(t, warnings[1], "WRITEBACK_GPSINSITE_URL is not a variable that Writeback knows; did you mean WRITEBACK_GPSINSIGHT_URL?")
	require.Contains(t, warnings[0], "WRITEBACK_ENTIRELY_OTHER")
	require.NotContains(t, warnings[0], "did you mean")
	require.Contains(t, warnings[2], "did you mean WRITEBACK_NATS_URL?")
	require.NotContains(t, warnings[2], "secret")
}

func TestUsage_HasEveryName(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, config.Usage[config.API](&out))
	names := config.Names[config.API]()
	require.GreaterOrEqual(t, len(names), 20)
	for _, name := range names {
		require.Regexp(t, `(?m)^`+name+` +\S+.* {2,}\S`, out.String())
	}
	require.Regexp(t, `WRITEBACK_OIDC_ISSUER +\(required\)`, out.String())
	require.Regexp(t, `WRITEBACK_SHUTDOWN_GRACE +25s`, out.String())
	require.Contains(t, config.Names[config.Worker](), "WRITEBACK_WORKER_CONCURRENCY")
	require.NotContains(t, config.Names[config.Worker](), "WRITEBACK_API_ADDR")
	require.Equal(t, []string{"WRITEBACK_LOG_LEVEL", "WRITEBACK_SHUTDOWN_GRACE", "WRITEBACK_SANDBOX_ADDR"}, config.Names[config.Sandbox]())
	require.Error(t, config.Usage[config.API](brokenWriter{}))
}

func TestProviders_OwnURLThenTheSandboxThenThePublicAPI(t *testing.T) {
	t.Parallel()
	worker, _, err := config.Load[config.Worker]([]string{
		"WRITEBACK_SANDBOX_URL=http://sandbox:8090/", "WRITEBACK_MOTIVE_URL=https://motive.example",
	})
	require.NoError(t, err)
	urls := worker.URLs()
	require.Equal(t, "http://sandbox:8090/samsara", urls["samsara"])
	require.Equal(t, "https://motive.example", urls["motive"])
	require.Len(t, urls, len(all.Hosts()), "the sandbox has a place for every provider")
	require.NotContains(t, urls, "catena_simulator")
	worker, _, err = config.Load[config.Worker]([]string{"WRITEBACK_MOTIVE_URL=https://motive.example"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"motive": "https://motive.example"}, worker.URLs())
	for name := range all.Hosts() {
		require.Contains(t, config.Names[config.Worker](), config.URLVariable(name))
	}
	for _, name := range []string{"WRITEBACK_SAMSARA_URL", "WRITEBACK_MOTIVE_URL", "WRITEBACK_GEOTAB_URL"} {
		require.Contains(t, config.Names[config.API](), name, "a fixed name")
	}
	require.NotContains(t, config.Names[config.Sandbox](), "WRITEBACK_MOTIVE_URL")
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestBytes_String(t *testing.T) {
	t.Parallel()
	for n, want := range map[config.Bytes]string{0: "0B", 1: "1B", 1024: "1KiB", 1536: "1536B", 3 << 30: "3GiB", 2048 << 40: "2048TiB"} {
		require.Equal(t, want, n.String())
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, config.Version())
	_, ok := debug.ReadBuildInfo()
	require.True(t, ok)
}
