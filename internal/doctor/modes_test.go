package doctor_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/doctor"
	"writeback/internal/redisurl"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// TestExamine_Sentinels: the client says of all faults that no Sentinel can be reached.
func TestExamine_Sentinels(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	servers := testenv.RedisSentinels(t)
	url := servers.URL()
	see := func(url string, status doctor.Status, words, fix string) {
		t.Helper()
		c.environ["WRITEBACK_REDIS_URL"] = url
		f, ok := found(c.examine(), "redis sentinels", status, words)
		require.True(t, ok, words)
		require.Contains(t, f.Fix, fix)
	}
	see(url, doctor.OK, "all 3 agree to a failover; the primary is "+servers.Primary.Addr(), "")
	see(strings.Replace(url, "/"+testenv.SentinelPrimary, "/nobody", 1), doctor.Fail, `watches no primary of the name "nobody"`, "sentinel masters")
	see("redis+sentinel://"+servers.Primary.Addr()+"/main", doctor.Fail, "refuses us", "addresses of Sentinels")
	limited := redis.NewClient(&redis.Options{Addr: servers.Sentinels[1].Addr()})
	t.Cleanup(func() { _ = limited.Close() })
	require.NoError(t, limited.Do(t.Context(), "ACL", "SETUSER", "us", "on", ">SECRET", "&*", "+hello", "+auth", "+sentinel|get-master-addr-by-name").Err())
	see("redis+sentinel://"+limited.Options().Addr+"/"+testenv.SentinelPrimary+"?sentinel_username=us&sentinel_password=SECRET",
		doctor.Fail, "refuses us: NOPERM", "ACL SETUSER")
	see("rediss"+strings.TrimPrefix(url, "redis"), doctor.Warn, "does not answer", "speaks TLS")
	servers.Sentinels[0].Kill()
	see(url, doctor.Warn, servers.Sentinels[0].Addr()+" does not answer", "start it")
}

// TestExamine_ClusterPartAway: of a cluster without one of its primaries, what the others
// have is told, and how much is missing.
func TestExamine_ClusterPartAway(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	nodes := testenv.RedisCluster(t, 3)
	for _, n := range nodes {
		one := redis.NewClient(&redis.Options{Addr: n.Addr()})
		require.NoError(t, one.ConfigSet(t.Context(), "cluster-require-full-coverage", "no").Err())
		require.NoError(t, one.Close())
	}
	c.environ["WRITEBACK_REDIS_URL"] = "redis+cluster://" + nodes[1].Addr() + "," + nodes[2].Addr()
	rdb, err := redisurl.Open(c.environ["WRITEBACK_REDIS_URL"], redisurl.Options{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	require.NoError(t, redisstore.New(rdb, redisstore.Config{}).Begin(t.Context(), everyShard()))
	require.Equal(t, 64, operation.Shards)
	nodes[0].Kill()
	all := c.examine()
	for check, words := range map[string]string{
		"redis": "a primary of the cluster does not answer", "redis writes": "not every server answers", "shards": "of 64 cannot be asked",
	} {
		f, ok := found(all, check, doctor.Fail, words)
		require.True(t, ok, check)
		require.NotContains(t, f.Fix, "log of redis-server")
	}
	_, ok := found(all, "generation", doctor.OK, "have one")
	require.True(t, ok, "the other shards are looked at")
}

// TestExamine_NATSRights: a request that NATS does not let us make is answered by nobody.
func TestExamine_NATSRights(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"operation.>"}},
		}}},
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	c := newClinic(t)
	c.environ["WRITEBACK_NATS_URL"] = strings.Replace(s.ClientURL(), "://", "://u:p@", 1)
	f, ok := found(c.examine(), "jetstream", doctor.Fail, "$JS.API.INFO")
	require.True(t, ok)
	require.Contains(t, f.Fix, "docs/operations.md")
}

// TestExamine_UntrustedCertificate: a server that is there need not be started.
func TestExamine_UntrustedCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	c := newClinic(t)
	c.environ["WRITEBACK_REDIS_URL"] = "rediss://" + s.Listener.Addr().String()
	f, ok := found(c.examine(), "redis", doctor.Fail, "certificate")
	require.True(t, ok)
	require.Contains(t, f.Fix, "SSL_CERT_FILE")
	c.environ["WRITEBACK_REDIS_URL"] = "rediss+sentinel://" + s.Listener.Addr().String() + "/main"
	f, ok = found(c.examine(), "redis sentinels", doctor.Fail, "certificate")
	require.True(t, ok)
	require.Contains(t, f.Fix, "SSL_CERT_FILE")
}

// TestExamine_ClientCertificate: what is wrong with ours is told of it, and of the server that
// does not take it.
func TestExamine_ClientCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()} // it knows nobody
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	own, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	_, other, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	others, err := x509.MarshalPKCS8PrivateKey(other)
	require.NoError(t, err)
	ends := s.Certificate().NotAfter
	for name, tt := range map[string]struct {
		key    []byte
		now    time.Time
		status doctor.Status
		words  string
	}{
		"good":          {own, time.Now(), doctor.OK, ends.UTC().Format(time.RFC3339)},
		"nearly over":   {own, ends.Add(-time.Hour), doctor.Warn, "is good until"},
		"over":          {own, ends.Add(time.Hour), doctor.Fail, "was good until"},
		"not begun":     {own, s.Certificate().NotBefore.Add(-time.Hour), doctor.Fail, "is good from"},
		"another's key": {others, time.Now(), doctor.Fail, "private key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			c.now = func() time.Time { return tt.now }
			c.environ["WRITEBACK_REDIS_URL"] = "rediss://" + s.Listener.Addr().String() + "?skip_verify=true"
			c.environ["WRITEBACK_TLS_CERT_FILE"] = pemFile(t, "CERTIFICATE", s.Certificate().Raw)
			c.environ["WRITEBACK_TLS_KEY_FILE"] = pemFile(t, "PRIVATE KEY", tt.key)
			all := c.examine()
			_, ok := found(all, "client certificate", tt.status, tt.words)
			require.True(t, ok, all)
			f, ok := found(all, "redis", doctor.Fail, "not reached")
			require.True(t, ok)
			require.Contains(t, f.Fix, "WRITEBACK_TLS_CERT_FILE")
		})
	}
}

func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}
