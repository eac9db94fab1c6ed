// Package egress makes HTTP calls to addresses that somebody else chose: a
// partner's endpoint, a provider's host from a configuration.
//
// It looks at the address that is really dialled, after the name was resolved, so
// a name that changes its address between two look-ups gains nothing. It follows
// no redirect, uses no proxy from the environment and has a short list of ports. It sends
// nothing once the time of a call is over, also after its process was stopped for a while. It
// refuses to judge what is sent, and never shows what came back.
package egress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ErrPort says that a port is not on the list.
var ErrPort error = &URLError{Reason: "must have an allowed port"}

// URLError says that a URL is not one that may be called.
type URLError struct {
	// Reason is a few words for whoever gave the URL, for example "must be https".
	Reason string
}

// Error gives the reason.
func (e *URLError) Error() string { return "egress: the URL " + e.Reason }

// URLReason gives the reason.
func (e *URLError) URLReason() string { return e.Reason }

// Refused says that nothing was sent.
func (e *URLError) Refused() bool { return true }

// Config of a Guard. The zero value is the strict one.
type Config struct {
	// Open lets plain http, every port and every address through. It is for
	// development, where endpoints are on the same machine.
	Open bool
	// Ports that may be called. Default 443 and 8443.
	Ports []int
	// Proxy is an egress proxy. With one, all calls go to it, and what a name
	// resolves to is the proxy's to check: it must refuse private addresses itself.
	Proxy *url.URL
	// Resolver of names. Default net.DefaultResolver.
	Resolver *net.Resolver
	// Dial bounds making a connection, name look-up included. Default 2 s.
	Dial time.Duration
	// PerHost bounds the idle connections to one host. Default 4.
	PerHost int
}

// Guard checks URLs and makes clients whose connections are checked. Safe for
// concurrent use.
type Guard struct {
	cfg    Config
	dialer net.Dialer
}

// New makes a guard.
func New(cfg Config) *Guard {
	if len(cfg.Ports) == 0 {
		cfg.Ports = []int{443, 8443}
	}
	if cfg.Dial <= 0 {
		cfg.Dial = 2 * time.Second
	}
	if cfg.PerHost <= 0 {
		cfg.PerHost = 4
	}
	g := &Guard{cfg: cfg}
	g.dialer = net.Dialer{Timeout: cfg.Dial, KeepAlive: 30 * time.Second, Resolver: cfg.Resolver}
	if cfg.Proxy == nil {
		g.dialer.ControlContext = g.control
	}
	return g
}

// control is called with each address that is about to be dialled.
func (g *Guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return fmt.Errorf("egress: %s is not called", network)
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("egress: %w", err)
	}
	return g.checkDial(at)
}

func (g *Guard) checkDial(at netip.AddrPort) error {
	if g.cfg.Open {
		return nil
	}
	if !slices.Contains(g.cfg.Ports, int(at.Port())) {
		return ErrPort
	}
	return CheckAddr(at.Addr())
}

// CheckURL refuses a URL that could never be called: its scheme, its port, a user
// in it, or a host that is a forbidden address. It resolves no names: what a name
// means is checked when it is dialled. The error is a *URLError.
func (g *Guard) CheckURL(u *url.URL) error {
	refuse := func(reason string) error { return &URLError{Reason: reason} }
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && !g.cfg.Open:
		return refuse("must be https")
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("must be http or https")
	case u.Opaque != "" || host == "":
		return refuse("must have a host")
	case u.User != nil:
		return refuse("must not hold a user or password")
	case u.Fragment != "":
		return refuse("must not have a fragment")
	}
	port := 443
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return refuse("port must be from 1 to 65535")
		}
		port = int(n)
	}
	if g.cfg.Open {
		return nil
	}
	if !slices.Contains(g.cfg.Ports, port) {
		return refuse(fmt.Sprintf("port must be one of %v", g.cfg.Ports))
	}
	// What the client makes of other letters may be an address, or a name of our own.
	if strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return refuse("must have a public host name")
		}
		host = ascii
	}
	bare := strings.TrimSuffix(strings.ToLower(host), ".")
	if addr, err := netip.ParseAddr(bare); err == nil {
		if CheckAddr(addr) != nil {
			return refuse("must not be a private or reserved address")
		}
		return nil
	}
	last := bare[strings.LastIndexByte(bare, '.')+1:]
	if !strings.Contains(bare, ".") || last == "localhost" || last == "local" || last == "internal" || numeric(last) {
		return refuse("must have a public host name")
	}
	return nil
}

// numeric reports whether a last label is a number, as in the short and odd forms
// of IPv4 addresses that some resolvers understand. No public name ends so.
func numeric(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil || strings.Trim(label, "0123456789") == ""
}

// Transport makes a transport whose every connection is checked. The caller closes
// its idle connections.
func (g *Guard) Transport() *http.Transport {
	t := &http.Transport{
		DialContext:            g.dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    g.cfg.PerHost,
		IdleConnTimeout:        60 * time.Second,
		TLSHandshakeTimeout:    g.cfg.Dial,
		MaxResponseHeaderBytes: 32 << 10,
		DisableCompression:     true, // an answer never grows while it is read
		// A connection of HTTP/2 that the network has forgotten is used for every call,
		// until the kernel gives it up after some 15 minutes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
	}
	if g.cfg.Proxy != nil {
		t.Proxy = http.ProxyURL(g.cfg.Proxy)
	}
	return t
}

// Client makes a client on a transport of its own. It follows no redirect: the
// answer is the redirect itself. timeout bounds a whole call, its body included.
func (g *Guard) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: checked{g, g.Transport()},
		Timeout:   timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// checked looks at each URL before it is called: behind a proxy that is the only
// look there is.
type checked struct {
	guard *Guard
	next  *http.Transport
}

// RoundTrip refuses what CheckURL refuses.
func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := c.guard.CheckURL(r.URL); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return c.next.RoundTrip(timely(r))
}

// CloseIdleConnections closes what is kept open for later calls.
func (c checked) CloseIdleConnections() { c.next.CloseIdleConnections() }
