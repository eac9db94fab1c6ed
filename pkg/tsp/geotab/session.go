package geotab

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Credentials of a connection.
const (
	credUsername = "username"
	credPassword = "password"
	credDatabase = "database"
	credSession  = "session_id"
	credHost     = "host"
	credSince    = "session_since" // RFC 3339
)

// thisServer is a login's answer that the called server serves the database.
const thisServer = "ThisServer"

// Fresh reports whether there is a session. Its end is not known in advance: a
// dead one is refused at the next call.
func (p *Provider) Fresh(c tsp.Credentials, _ time.Time) bool { return c[credSession] != "" }

// loginEvery bounds the logins that look for a database that is away: there may be ten a
// minute, for all of an account's users.
const loginEvery = 5 * time.Minute

// settled says that the host of the database was not asked for just now.
func (p *Provider) settled(c tsp.Credentials) bool {
	since, err := time.Parse(time.RFC3339, c[credSince])
	return err != nil || p.now().Sub(since) >= loginEvery
}

// Refresh logs in at the configured server and returns the credentials with the
// session and the host that serves the database. A refused login, and a database that
// there is not, is an auth failure that is not retried; a database that is being moved
// or started is retried like any other fault.
func (p *Provider) Refresh(ctx context.Context, conn tsp.Connection) (tsp.Credentials, error) {
	for _, name := range []string{credUsername, credPassword, credDatabase} {
		if conn.Credentials[name] == "" {
			return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "geotab: the connection has no " + name}
		}
	}
	c := client{call: p.call, url: p.server.endpoint(), login: true, hidden: httpcall.Hide(conn.Credentials, nil)}
	result, answer, err := c.do(ctx, "geotab: log in", "Authenticate", map[string]any{
		"database": conn.Credentials[credDatabase],
		"userName": conn.Credentials[credUsername],
		"password": conn.Credentials[credPassword],
	})
	if err != nil {
		return nil, err
	}
	var login struct {
		Path        string `json:"path"`
		Credentials struct {
			SessionID string `json:"sessionId"`
		} `json:"credentials"`
	}
	if json.Unmarshal(result, &login) != nil || login.Credentials.SessionID == "" {
		return nil, answer.Garbled("geotab: log in")
	}
	host := "" // the configured server, also when that changes later
	if login.Path != thisServer {
		host = login.Path
	}
	if _, ok := p.server.at(host); !ok {
		f := foreignHost("geotab: log in")
		f.StatusCode, f.Header = answer.Status, answer.Header
		return nil, f
	}
	fresh := maps.Clone(conn.Credentials)
	fresh[credSession], fresh[credHost] = login.Credentials.SessionID, host
	fresh[credSince] = p.now().UTC().Format(time.RFC3339)
	return fresh, nil
}

func foreignHost(what string) *operation.Failure {
	return &operation.Failure{
		Type: operation.ErrorTSP, Detail: what + ": the provider moved the database to a host that is not followed",
	}
}

// server is the configured login server.
type server struct {
	base string
	// host is its host and port.
	host string
}

func newServer(base string) server {
	s := server{base: strings.TrimRight(base, "/")}
	if u, err := url.Parse(base); err == nil {
		s.host = u.Host
	}
	return s
}

func (s server) endpoint() string { return s.base + "/apiv1" }

// geotabHost is a plain name below geotab.com: no port, user, path or dot at the end.
var geotabHost = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+geotab\.com$`)

// at gives the endpoint of a host that a login named, and whether it may be
// called: a session must not be sent anywhere else.
func (s server) at(host string) (string, bool) {
	host = strings.ToLower(host)
	switch {
	case host == "" || host == strings.ToLower(s.host):
		return s.endpoint(), true
	case len(host) <= 253 && geotabHost.MatchString(host):
		return "https://" + host + "/apiv1", true
	}
	return "", false
}
