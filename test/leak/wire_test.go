package leak_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all"
)

// tap stands between the workers and the sandbox and remembers every secret that goes
// either way: sessions, access and refresh tokens as they are given out, and the
// passwords that are made for new users.
type tap struct {
	*httptest.Server
	mu      sync.Mutex
	to      *url.URL
	secrets map[string][]string // by the name under which they went
	latest  map[string]map[string]string
}

func newTap() *tap {
	p := &tap{secrets: map[string][]string{}, latest: map[string]map[string]string{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(p.to)
		},
		ModifyResponse: func(resp *http.Response) error {
			body, err := io.ReadAll(resp.Body)
			resp.Body = io.NopCloser(bytes.NewReader(body))
			if resp.StatusCode == http.StatusOK {
				p.heard(resp.Request.URL.Path, body)
			}
			return err
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			panic(http.ErrAbortHandler) // as the sandbox cut it
		},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.said(r, body)
		proxy.ServeHTTP(w, r)
	}))
	return p
}

// environ sends every provider's calls here.
func (p *tap) environ() []string {
	var out []string
	for name := range all.Hosts() {
		out = append(out, config.URLVariable(name)+"="+p.URL+"/"+name)
	}
	return out
}

// secretKeys are the names under which secrets go, in small letters.
var secretKeys = []string{"password", "sessionid", "access_token", "refresh_token", "token", "eid", "sid", "session_token", "pwd", "pin"}

func (p *tap) keep(provider, name, value string) {
	if len(value) < 8 || !slices.Contains(secretKeys, strings.ToLower(name)) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.secrets[name], value) {
		p.secrets[name] = append(p.secrets[name], value)
		if p.latest[provider] == nil {
			p.latest[provider] = map[string]string{}
		}
		p.latest[provider][name] = value
	}
}

// said takes what is in a call.
func (p *tap) said(r *http.Request, body []byte) {
	at := providerOf(r.URL.Path)
	for name, values := range r.URL.Query() {
		p.keep(at, name, values[0])
	}
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), "Bearer "); ok {
		p.keep(at, "access_token", token)
	}
	p.object(at, body)
	if form, err := url.ParseQuery(string(body)); err == nil {
		for name, values := range form {
			p.keep(at, name, values[0])
			p.object(at, []byte(values[0]))
		}
	}
}

// heard takes what is in an answer. Verizon Connect gives its token as plain text. What an
// answer gives anew takes the place of all that was given before, under whatever name.
func (p *tap) heard(path string, body []byte) {
	before := p.forget(providerOf(path))
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.latest[providerOf(path)] == nil {
			p.latest[providerOf(path)] = before
		}
	}()
	if strings.HasSuffix(path, "/token") && !bytes.HasPrefix(body, []byte("{")) {
		p.keep(providerOf(path), "token", string(body))
	}
	p.object(providerOf(path), body)
}

// forget gives the latest secrets, and leaves none.
func (p *tap) forget(provider string) map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.latest[provider]
	delete(p.latest, provider)
	return before
}

func (p *tap) object(provider string, body []byte) {
	var v any
	if json.Unmarshal(body, &v) == nil {
		p.walk(provider, "", v)
	}
}

func (p *tap) walk(provider, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			p.walk(provider, key, inner)
		}
	case []any:
		for _, inner := range v {
			p.walk(provider, name, inner)
		}
	case string:
		p.keep(provider, name, v)
	}
}

// providerOf is the first element of a path.
func providerOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// held gives the secrets of a connection as they are now.
func (r *rig) held(seed sandbox.Seed) map[string]string {
	r.tap.mu.Lock()
	defer r.tap.mu.Unlock()
	out := maps.Clone(seed.Credentials)
	maps.Copy(out, r.tap.latest[seed.Provider])
	return out
}

// issued gives the secrets that were seen, and makes sure that there is one of each
// kind: else the search would find nothing because nothing was there.
func (r *rig) issued() []string {
	r.tap.mu.Lock()
	defer r.tap.mu.Unlock()
	for _, kind := range []string{"sessionId", "access_token", "refresh_token", "token", "eid", "password"} {
		require.NotEmpty(r, r.tap.secrets[kind], "no %s was seen", kind)
	}
	var out []string
	for _, values := range r.tap.secrets {
		out = append(out, values...)
	}
	return out
}

// renewals ends every session and token, and writes: each provider gives new ones.
func (r *rig) renewals() {
	for _, seed := range r.seeds {
		r.sandbox(http.MethodDelete, "/_control/sessions?connection="+seed.Connection, "")
		status, answer := r.allowed(http.MethodPatch, userPath(seed, 2)+"?is_sync=true", r.body(seed))
		require.Contains(r, []int{http.StatusOK, http.StatusBadGateway}, status, "%s: %s", seed.Provider, answer)
	}
}
