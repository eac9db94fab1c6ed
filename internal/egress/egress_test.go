package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckAddr(t *testing.T) {
	t.Parallel()
	for addr, kind := range map[string]string{
		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "::1": "loopback",
		"0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "::": "unspecified",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"fc00::1": "private", "fd12:3456::1": "private",
		"169.254.169.254": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
		"100.64.0.1": "carrier", "100.127.255.255": "carrier",
		"224.0.0.1": "multicast", "239.255.255.255": "multicast", "ff02::1": "multicast",
		"255.255.255.255": "reserved", "240.0.0.1": "reserved", "192.0.0.170": "reserved", "192.88.99.1": "reserved",
		"192.0.2.1": "documentation", "198.51.100.7": "documentation", "203.0.113.9": "documentation",
		"2001:db8::1": "documentation", "3fff::1": "documentation", "198.18.0.1": "benchmark", "198.19.255.255": "benchmark",
		"::ffff:127.0.0.1": "loopback", "::ffff:10.0.0.1": "private", "::ffff:a9fe:a9fe": "link-local",
		"::127.0.0.1":       "reserved", // IPv4-compatible
		"64:ff9b::7f00:1":   "translated",
		"64:ff9b::10.0.0.1": "translated", "64:ff9b:1::1": "translated",
		"2002:7f00:1::": "translated", "2002:a00:1::1": "translated", "2001::1": "translated", "2001:2::1": "reserved",
		"fec0::1": "reserved", "100::1": "reserved", "4000::1": "reserved",
		"93.184.216.34": "", "1.1.1.1": "", "172.32.0.1": "", "100.128.0.1": "", "2606:4700:4700::1111": "", "::ffff:1.1.1.1": "",
	} {
		err := CheckAddr(netip.MustParseAddr(addr))
		if kind == "" {
			require.NoError(t, err, addr)
			continue
		}
		var refused *AddressError
		require.ErrorAs(t, err, &refused, addr)
		require.Equal(t, kind, refused.Kind, addr)
		require.True(t, refused.Refused())
		require.NotContains(t, err.Error(), addr)
	}
	require.Error(t, CheckAddr(netip.Addr{}))
}

// TestCheckAddr_AtTheEdges: the first and the last address of each range are refused, and
// those beside it are somebody's who may have an endpoint there.
func TestCheckAddr_AtTheEdges(t *testing.T) {
	t.Parallel()
	const ends = ":ffff:ffff:ffff:ffff:ffff:ffff"
	for _, c := range []struct{ first, last, below, above string }{
		{"0.0.0.0", "0.255.255.255", "", "1.0.0.0"},
		{"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
		{"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
		{"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
		{"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
		{"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
		{"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
		{"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
		{"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
		{"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
		{"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
		{"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
		{"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
		{"224.0.0.0", "239.255.255.255", "223.255.255.255", ""},
		{"240.0.0.0", "255.255.255.255", "", ""},
		{"::", "1fff:ffff" + ends, "", "2000::"},
		{"2001::", "2001:1ff" + ends, "2000:ffff" + ends, "2001:200::"},
		{"2001:db8::", "2001:db8" + ends, "2001:db7" + ends, "2001:db9::"},
		{"2002::", "2002:ffff" + ends, "2001:ffff" + ends, "2003::"},
		{"3fff::", "3fff:fff" + ends, "3ffe:ffff" + ends, "3fff:1000::"},
		{"4000::", "ffff:ffff" + ends, "3fff:ffff" + ends, ""},
	} {
		for text, public := range map[string]bool{c.first: false, c.last: false, c.below: true, c.above: true} {
			if text == "" {
				continue
			}
			addr := netip.MustParseAddr(text)
			require.Equal(t, public, CheckAddr(addr) == nil, text)
			mapped := netip.AddrFrom16(addr.As16()) // of IPv4: in the clothes of IPv6
			require.Equal(t, public, CheckAddr(mapped) == nil, mapped.String())
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	guard := New(Config{})
	for text, good := range map[string]bool{
		"https://example.com/hook": true, "https://example.com:8443/hook?x=1": true, "https://1.1.1.1/": true,
		"https://[2606:4700:4700::1111]/": true, "https://hooks.example.co.uk./": true,
		"http://example.com/": false, "ftp://example.com/": false, "https:///x": false, "https:example.com": false,
		"https://user:pass@example.com/": false, "https://example.com/#x": false, "https://example.com:22/": false,
		"https://example.com:80/": false, "https://localhost/": false, "https://LOCALHOST./": false, "https://a.localhost/": false,
		"https://db.internal/": false, "https://DB.INTERNAL/": false, "https://printer.local/": false, "https://redis/": false,
		"https://127.0.0.1/": false, "https://127.1/": false, "https://2130706433/": false, "https://0x7f000001/": false,
		"https://0x7f.0.0.1/": false, "https://0177.0.0.1/": false, "https://10.0.0.5:8443/": false,
		"https://[::1]/": false, "https://[::ffff:127.0.0.1]/": false, "https://[fe80::1%25eth0]/": false,
		"https://169.254.169.254/latest/meta-data": false, "https://0/": false,
		// As the client writes them: 127.0.0.1, localhost, 10.0.0.1.
		"https://①②⑦.⓪.⓪.①/": false, "https://a.ｌｏｃａｌｈｏｓｔ/": false, "https://10。0。0。1/": false, "https://%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1/": false,
		"https://a.0x1/": false, "https://1.2.089/": false, "https://a.99999999999999999999999/": false, "https://a≠.example.com/": false,
		"https://bücher.example.com/": true, "https://例え.テスト/": true, "https://a.xn--\u00ad/": false,
	} {
		u, err := url.Parse(text)
		require.NoError(t, err, text)
		err = guard.CheckURL(u)
		require.Equal(t, good, err == nil, "%s: %v", text, err)
		var refused *URLError
		require.True(t, good || errors.As(err, &refused), text)
	}
	open := New(Config{Open: true})
	u, _ := url.Parse("http://127.0.0.1:9/")
	require.NoError(t, open.CheckURL(u))
	u, _ = url.Parse("ftp://127.0.0.1/")
	require.ErrorContains(t, open.CheckURL(u), "must be http or https")
	for _, none := range []string{"http:///x", "http:example.com", "http://:80/"} {
		u, err := url.Parse(none)
		require.NoError(t, err)
		require.ErrorContains(t, open.CheckURL(u), "must have a host", none)
	}
	require.ErrorContains(t, guard.CheckURL(u), "must be https")
	for _, port := range []string{"0", "65536", "99999", "99999999999999999999"} {
		u, err := url.Parse("http://127.0.0.1:" + port + "/")
		require.NoError(t, err)
		var refused *URLError
		require.ErrorAs(t, open.CheckURL(u), &refused, "open or not, there is no port %s", port)
		require.Contains(t, refused.Reason, "port")
	}
}

// names is a DNS server whose answer changes with each question.
func names(t *testing.T, answers ...netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	var asked atomic.Int64
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				i := min(int(asked.Add(1)), len(answers)) - 1
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: answers[i].As4()},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// TestClient_ChecksWhatIsDialled has a name that is public when it is asked for first
// and the machine itself when it is called.
func TestClient_ChecksWhatIsDialled(t *testing.T) {
	t.Parallel()
	called := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer server.Close()
	port := server.Listener.Addr().(*net.TCPAddr).Port
	resolver := names(t, netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("127.0.0.1"))
	guard := New(Config{Ports: []int{port}, Resolver: resolver})

	first, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
	require.NoError(t, err)
	require.NoError(t, CheckAddr(first[0]))

	client := guard.Client(5 * time.Second)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://rebind.example.com:"+strconv.Itoa(port)+"/", http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.Nil(t, resp)
	var refused *AddressError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "loopback", refused.Kind)
	require.False(t, called)
}

func TestClient_RefusesPortAtDial(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, New(Config{}).checkDial(netip.MustParseAddrPort("1.1.1.1:6379")), ErrPort)
	require.NoError(t, New(Config{}).checkDial(netip.MustParseAddrPort("1.1.1.1:443")))
	require.NoError(t, New(Config{Open: true}).checkDial(netip.MustParseAddrPort("127.0.0.1:1")))
}

func TestClient_FollowsNoRedirectAndIgnoresProxyVariables(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/", http.StatusFound))
	defer server.Close()
	client := New(Config{Open: true}).Client(5 * time.Second)
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusFound, resp.StatusCode)
	require.Nil(t, New(Config{}).Transport().Proxy)
}

// TestTransport_TakesNoMoreThanItWants: an endpoint is somebody else's, and may be slow, or
// say far too much.
func TestTransport_TakesNoMoreThanItWants(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2*time.Second, New(Config{}).dialer.Timeout)
	require.Equal(t, 2*time.Second, New(Config{}).Transport().TLSHandshakeTimeout)
	guard := New(Config{Open: true, Dial: 50 * time.Millisecond})
	require.Equal(t, 50*time.Millisecond, guard.dialer.Timeout)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Asked", "for:"+r.Header.Get("Accept-Encoding"))
		if r.URL.Path == "/long" {
			w.Header().Set("X-Long", strings.Repeat("x", 40<<10))
		}
		if r.URL.Path == "/never" {
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	client := guard.Client(time.Minute)
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "for:", resp.Header.Get("X-Asked"), "an answer that is packed grows while it is read")
	_, err = client.Get(server.URL + "/long")
	require.ErrorContains(t, err, "header")
	hasty := guard.Client(50 * time.Millisecond)
	defer hasty.CloseIdleConnections()
	_, err = hasty.Get(server.URL + "/never")
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout())

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	_, err = client.Get("https://" + silent.Addr().String())
	require.ErrorContains(t, err, "TLS handshake timeout")
}

func TestClient_SendsAllToTheProxy(t *testing.T) {
	t.Parallel()
	asked := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.Host
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	client := New(Config{Proxy: u}).Client(5 * time.Second)
	defer client.CloseIdleConnections()
	_, err = client.Get("https://example.com/hook")
	require.Error(t, err)
	require.Equal(t, "CONNECT example.com:443", asked)
	_, err = client.Get("https://10.0.0.1/hook")
	var refused *URLError
	require.ErrorAs(t, err, &refused, "the proxy is not asked for what is plainly private")
}
