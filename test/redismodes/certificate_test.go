package redismodes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/redisurl"
	"writeback/internal/testenv"
)

// authority signs certificates of servers and of programs, and lays them into a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes the files name.crt and name.key.
func (a *authority) sign(name string, of *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	of.SerialNumber, of.NotBefore, of.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	of.Subject.CommonName = name
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = of, key
	}
	der, err := x509.CreateCertificate(rand.Reader, of, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	for file, block := range map[string]*pem.Block{
		a.file(name + ".crt"): {Type: "CERTIFICATE", Bytes: der}, a.file(name + ".key"): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		require.NoError(a.t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// forServer signs for a server on this machine, forClient for a program.
func (a *authority) forServer() {
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (a *authority) forClient() {
	a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// TestCertificate_OfAClient: a Redis and a NATS that ask for one get it, and one that was
// made anew with the next connection.
func TestCertificate_OfAClient(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.forServer()
	for name, reach := range map[string]func(certFile, keyFile string) error{"redis": a.redis(), "nats": a.nats()} {
		require.Error(t, reach("", ""), "%s does without", name)
		require.Error(t, reach(a.file("client.crt"), a.file("client.key")), "%s: there is none yet", name)
		a.forClient()
		require.NoError(t, reach(a.file("client.crt"), a.file("client.key")), name)
		require.NoError(t, os.Remove(a.file("client.crt")))
	}
}

// redis starts a server, and gives what a program does to reach it.
func (a *authority) redis() func(certFile, keyFile string) error {
	a.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(a.t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	require.NoError(a.t, l.Close())
	testenv.StartRedis(a.t, "--tls-port", port, "--tls-auth-clients", "yes", "--tls-ca-cert-file", a.file("ca.crt"),
		"--tls-cert-file", a.file("server.crt"), "--tls-key-file", a.file("server.key"))
	return func(certFile, keyFile string) error {
		// The authority of the test is not one of the machine's, so the server is not looked at.
		rdb, err := redisurl.Open("rediss://127.0.0.1:"+port+"/0?skip_verify=true", redisurl.Options{Hasty: true, CertFile: certFile, KeyFile: keyFile})
		require.NoError(a.t, err)
		defer func() { _ = rdb.Close() }()
		ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
		defer cancel()
		return rdb.Ping(ctx).Err()
	}
}

// nats is the same of NATS.
func (a *authority) nats() func(certFile, keyFile string) error {
	a.t.Helper()
	own, err := tls.LoadX509KeyPair(a.file("server.crt"), a.file("server.key"))
	require.NoError(a.t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, TLSTimeout: 20,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12},
	})
	require.NoError(a.t, err)
	s.Start()
	a.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(a.t, s.ReadyForConnections(30*time.Second))
	return func(certFile, keyFile string) error {
		options := append(natsq.Identity("", certFile, keyFile), nats.RootCAs(a.file("ca.crt")), nats.RetryOnFailedConnect(false))
		nc, err := natsq.Connect("tls://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Addr().(*net.TCPAddr).Port)), "test", slog.New(slog.DiscardHandler), options...)
		if err != nil {
			return err
		}
		defer nc.Close()
		return nc.FlushTimeout(20 * time.Second)
	}
}
