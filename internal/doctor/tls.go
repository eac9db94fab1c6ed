package doctor

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	untrusted = "put the authority that signed its certificate into SSL_CERT_FILE (the chart's extraCA), or name the server as its certificate does"
	unwanted  = "it does not take what we show: put a client certificate that is good now, of an authority that it knows, and its key into WRITEBACK_TLS_CERT_FILE and WRITEBACK_TLS_KEY_FILE, " +
		"or have it ask for none (`tls-auth-clients no` of Redis, no `verify` in the `tls` block of NATS)"
	ownCertificate = "put a certificate and its own key, both in PEM, into WRITEBACK_TLS_CERT_FILE and WRITEBACK_TLS_KEY_FILE"
)

// whyNoTLS says what helps where a server is there and the two do not come to terms about
// TLS. Empty: that is not it.
func whyNoTLS(err error) string {
	var alert *net.OpError
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return untrusted
	case errors.As(err, &alert) && alert.Op == "remote error" && strings.Contains(err.Error(), "certificate"):
		return unwanted
	case strings.Contains(err.Error(), "tls: private key"):
		return ownCertificate
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "it has no TLS: write nats:// into WRITEBACK_NATS_URL, or give it a `tls` block"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		return "it closes the connection: see its log, whether it speaks TLS as the URL says, and whether it asks for a client certificate (WRITEBACK_TLS_CERT_FILE)"
	}
	return ""
}

// soon is how long before its end a client certificate is warned of.
const soon = 3 * 24 * time.Hour

// lookAtCertificate says whether servers that ask for a client certificate can be shown one.
func lookAtCertificate(r *report, s settings, now time.Time) {
	const check, renew = "client certificate", "put a new one into the files: they are read anew for each connection"
	if s.TLSCertFile == "" || s.anyBroken("WRITEBACK_TLS_CERT_FILE", "WRITEBACK_TLS_KEY_FILE") {
		return
	}
	pair, err := tls.LoadX509KeyPair(s.TLSCertFile, s.TLSKeyFile)
	if err != nil {
		r.fail(check, ownCertificate, "%s", err)
		return
	}
	from, until := pair.Leaf.NotBefore.UTC().Format(time.RFC3339), pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case now.Before(pair.Leaf.NotBefore):
		r.fail(check, renew, "is good from %s on only", from)
	case now.After(pair.Leaf.NotAfter):
		r.fail(check, renew, "was good until %s", until)
	case pair.Leaf.NotAfter.Sub(now) < min(soon, pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore)/4):
		r.warn(check, renew, "is good until %s", until)
	default:
		r.ok(check, "is good until %s", until)
	}
}
