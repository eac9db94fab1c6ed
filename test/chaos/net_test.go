package chaos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// toxic is what a proxy does to what goes through it, as Toxiproxy reads it.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float32        `json:"toxicity"`
	Attributes map[string]int `json:"attributes"`
}

// net is a proxy between each program and each server that it speaks to.
type net struct {
	t      *testing.T
	server *toxiproxy.ApiServer

	mu      sync.Mutex
	proxies map[string]*toxiproxy.Proxy
	toxics  int
}

func newNet(t *testing.T) *net {
	log := zerolog.Nop()
	return &net{
		t: t, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log), proxies: map[string]*toxiproxy.Proxy{},
	}
}

// via puts a proxy between the program and the server and gives its address.
func (n *net) via(program, server, target string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	path := program + ">" + server
	p, ok := n.proxies[path]
	if !ok {
		p = toxiproxy.NewProxy(n.server, path, "127.0.0.1:0", target)
		if err := p.Start(); err != nil {
			n.t.Fatalf("proxy %s: %v", path, err)
		}
		n.t.Cleanup(p.Stop)
		n.proxies[path] = p
	}
	return p.Listen
}

// poison adds the toxic to a path and gives what takes it away again.
func (n *net) poison(path string, x toxic) (func() error, error) {
	n.mu.Lock()
	p := n.proxies[path]
	n.toxics++
	x.Name, x.Toxicity = fmt.Sprintf("toxic-%d", n.toxics), 1
	n.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("there is no path %s", path)
	}
	text, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	if _, err := p.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("%s on %s: %w", x.Type, path, err)
	}
	return func() error { return p.Toxics.RemoveToxic(n.t.Context(), x.Name) }, nil
}
