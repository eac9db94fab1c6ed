// Package redisurl reads the address of Redis: one server, a Redis Cluster, or a
// primary that Sentinel looks after.
//
//	redis://user:password@host:6379/0
//	redis+cluster://user:password@host1:6379,host2:6379
//	redis+sentinel://user:password@host1:26379,host2:26379/primary/0?sentinel_password=…
//
// rediss instead of redis is TLS, to the Sentinels as well; unix:///path is a socket.
// It opens nothing before a client is asked for. No error shows the address, which
// may hold a password.
package redisurl

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrURL says that a text is none of the forms.
var ErrURL = errors.New("redisurl: must be a redis, rediss or unix URL, or redis+cluster://host,host or redis+sentinel://host,host/primary")

const (
	clusterPort  = "6379"
	sentinelPort = "26379"
)

// Parse reads an address. Query parameters are those of go-redis, and
// sentinel_username and sentinel_password. The error is ErrURL.
func Parse(text string) (*redis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	plain, mode, _ := strings.Cut(scheme, "+")
	switch mode {
	case "":
		return parseOne(text)
	case "cluster":
		return parseCluster(plain, split(rest))
	case "sentinel":
		return parseSentinel(plain, split(rest))
	}
	return nil, ErrURL
}

func parseOne(text string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "unix" && u.Hostname() == "") || (u.Scheme == "unix" && u.Path == "") {
		return nil, ErrURL
	}
	if _, err := strconv.ParseUint(cmp.Or(u.Port(), clusterPort), 10, 16); err != nil {
		return nil, ErrURL
	}
	one, err := redis.ParseURL(text)
	if err != nil {
		return nil, ErrURL
	}
	return universal(one, one.Addr), nil
}

func parseCluster(scheme string, p parts) (*redis.UniversalOptions, error) {
	if p.path != "" && p.path != "0" {
		return nil, ErrURL // a cluster has one database
	}
	addrs, ok := addresses(p.hosts, clusterPort)
	if !ok {
		return nil, ErrURL
	}
	o, err := several(scheme, p, "0", addrs)
	if err != nil || o.DB != 0 {
		return nil, ErrURL
	}
	o.IsClusterMode = true
	return o, nil
}

func parseSentinel(scheme string, p parts) (*redis.UniversalOptions, error) {
	name, db, _ := strings.Cut(p.path, "/")
	addrs, ok := addresses(p.hosts, sentinelPort)
	if !ok || name == "" {
		return nil, ErrURL
	}
	query, err := url.ParseQuery(p.query)
	if err != nil {
		return nil, ErrURL
	}
	user, password := query.Get("sentinel_username"), query.Get("sentinel_password")
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	p.query = query.Encode()
	o, err := several(scheme, p, db, addrs)
	if err != nil {
		return nil, ErrURL
	}
	o.MasterName, o.SentinelUsername, o.SentinelPassword = name, user, password
	return o, nil
}

// parts of an address with several hosts, which net/url does not take.
type parts struct{ user, hosts, path, query string }

func split(rest string) (p parts) {
	rest, p.query, _ = strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	p.path = strings.TrimSuffix(path, "/")
	p.hosts = authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		p.user, p.hosts = authority[:at+1], authority[at+1:]
	}
	return p
}

// addresses gives each host with its port.
func addresses(hosts, port string) ([]string, bool) {
	var all []string
	for host := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("redis://" + host)
		if err != nil || u.Hostname() == "" || u.Path != "" {
			return nil, false
		}
		p := port
		if u.Port() != "" {
			p = u.Port()
		}
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return nil, false
		}
		all = append(all, net.JoinHostPort(u.Hostname(), p))
	}
	return all, true
}

// several reads what is the same for all hosts.
func several(scheme string, p parts, db string, addrs []string) (*redis.UniversalOptions, error) {
	if scheme != "redis" && scheme != "rediss" {
		return nil, ErrURL
	}
	one, err := redis.ParseURL(scheme + "://" + p.user + addrs[0] + "/" + db + "?" + p.query)
	if err != nil {
		return nil, ErrURL
	}
	if one.TLSConfig != nil {
		one.TLSConfig.ServerName = "" // each host is known by its own name
	}
	return universal(one, addrs...), nil
}

func universal(o *redis.Options, addrs ...string) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs: addrs, DB: o.DB, Username: o.Username, Password: o.Password, Protocol: o.Protocol,
		ClientName: o.ClientName, TLSConfig: o.TLSConfig, MaxRetries: o.MaxRetries,
		MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolSize: o.PoolSize, PoolFIFO: o.PoolFIFO, PoolTimeout: o.PoolTimeout,
		MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, MaxActiveConns: o.MaxActiveConns,
		MaxConcurrentDials: o.MaxConcurrentDials, PipelinePoolSize: o.PipelinePoolSize,
		PipelineReadBufferSize: o.PipelineReadBufferSize, PipelineWriteBufferSize: o.PipelineWriteBufferSize,
		ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime, ConnMaxLifetimeJitter: o.ConnMaxLifetimeJitter,
		ContextTimeoutEnabled: true,
	}
}

// Options are what a program wants beside the address. The zero value is usable.
type Options struct {
	// Name is the client's, as CLIENT LIST shows it. Empty: none.
	Name string
	// Hasty is for a tool that tells what it sees: it dials a server that is away once where
	// a program does five times.
	Hasty bool
	// CertFile and KeyFile are the client certificate for a server that asks for one, in PEM.
	// They are read anew for each connection. Empty: there is none.
	CertFile, KeyFile string
}

// lookAgain is how often a client in use asks a cluster which server has which slots.
const lookAgain = time.Second

// For is Parse for a program: with its name and certificate, calls that end with their
// context, and time limits where the address gives none.
func For(text string, program Options) (*redis.UniversalOptions, error) {
	o, err := Parse(text)
	if err != nil {
		return nil, err
	}
	o.ClientName = program.Name
	if program.Hasty {
		o.DialerRetries = 1
	}
	if o.TLSConfig != nil && program.CertFile != "" {
		o.TLSConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(program.CertFile, program.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("redisurl: client certificate: %w", err)
			}
			return &pair, nil
		}
	}
	o.DisableIdentity = true // a name of the library's, for which a user would need a right more
	limit := func(d *time.Duration, most time.Duration) {
		if *d == 0 {
			*d = most
		}
	}
	limit(&o.DialTimeout, 2*time.Second)
	limit(&o.ReadTimeout, 3*time.Second)
	limit(&o.WriteTimeout, 3*time.Second)
	if o.PoolSize == 0 {
		o.PoolSize = 64
	}
	if o.Protocol == 0 {
		o.Protocol = 2 // RESP3 costs a look for push messages before each reply; nothing here asks for any
	}
	return o, nil
}

// Open makes the client of a program. It connects with the first call; the caller closes it.
func Open(text string, program Options) (redis.UniversalClient, error) {
	o, err := For(text, program)
	if err != nil {
		return nil, err
	}
	if o.IsClusterMode {
		c := o.Cluster()
		// The library's own is a minute, and a server that does not answer is no reason for it
		// to look: so long would it ask a primary that is gone.
		c.ClusterStateReloadInterval = lookAgain
		return redis.NewClusterClient(c), nil
	}
	return redis.NewUniversalClient(o), nil
}
