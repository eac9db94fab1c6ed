// Package provider is the telematics provider of the bench: it answers an update
// of a driver as Samsara does, after a latency, and remembers when it was called
// first for each request of the load. Requests are told apart by a number that the
// load puts at the head of the notes ("#123 ...").
package provider

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Settings are what a measurement asks of the provider.
type Settings struct {
	// Latency of each answer.
	Latency time.Duration
	// Failing is how many of 100 requests fail before they succeed: two thirds of
	// them once, the others twice.
	Failing int
	// Room is the highest number of a request, plus one. Setting it forgets the calls.
	Room int
}

// Provider is an http handler for fasthttp. Safe for concurrent use.
type Provider struct {
	mu       sync.RWMutex
	settings Settings
	calls    []call
	first    atomic.Int64
	ended    atomic.Int64
}

// call is what is known of one request of the load.
type call struct {
	first atomic.Int64 // Unix ns of the first call
	last  atomic.Int64 // Unix ns of the successful answer
	count atomic.Int32
}

// Handle serves drivers, and /_bench/ for the bench.
func (p *Provider) Handle(ctx *fasthttp.RequestCtx) {
	switch path := ctx.Path(); {
	case bytes.HasPrefix(path, []byte("/fleet/drivers/")):
		p.driver(ctx, path[len("/fleet/drivers/"):])
	case string(path) == "/_bench/settings":
		p.set(ctx)
	case string(path) == "/_bench/count":
		fmt.Fprintf(ctx, "%d %d", p.first.Load(), p.ended.Load())
	case string(path) == "/_bench/calls":
		p.tell(ctx)
	default:
		ctx.SetStatusCode(fasthttp.StatusNotFound)
	}
}

// driver answers an update.
func (p *Provider) driver(ctx *fasthttp.RequestCtx, id []byte) {
	now := time.Now().UnixNano()
	n, ok := number(ctx.PostBody())
	p.mu.RLock()
	settings := p.settings
	var c *call
	if ok && n < len(p.calls) {
		c = &p.calls[n]
	}
	p.mu.RUnlock()
	count := 1
	if c != nil {
		if c.first.CompareAndSwap(0, now) {
			p.first.Add(1)
		}
		count = int(c.count.Add(1))
	}
	if settings.Latency > 0 {
		time.Sleep(settings.Latency)
	}
	ctx.SetContentType("application/json")
	if count <= failures(n, settings.Failing) {
		fail(ctx, n, count)
		return
	}
	if c != nil && c.last.CompareAndSwap(0, time.Now().UnixNano()) {
		p.ended.Add(1)
	}
	ctx.Response.Header.Set("X-Request-Id", requestID(n, count))
	ctx.Response.Header.Set("X-Ratelimit-Remaining", strconv.Itoa(100+n%50))
	ctx.Response.AppendBodyString(`{"data":{"id":"`)
	ctx.Response.AppendBody(id)
	ctx.Response.AppendBodyString(`","name":"Dana Whitfield","username":"dana.whitfield","driverActivationStatus":"active","timezone":"America/Chicago"}}`)
}

// failures says how often request n fails.
func failures(n, failing int) int {
	switch slot := n * 37 % 100; {
	case slot >= failing:
		return 0
	case slot%3 == 0:
		return 2
	default:
		return 1
	}
}

// fail answers as a provider in trouble does: not always with the same.
func fail(ctx *fasthttp.RequestCtx, n, count int) {
	ctx.Response.Header.Set("X-Request-Id", requestID(n, count))
	switch (n + count) % 3 {
	case 0:
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		fmt.Fprintf(ctx, `{"message":"The service is temporarily unable to handle driver %d, please try again.","requestId":"%s"}`, n, requestID(n, count))
	case 1:
		ctx.SetStatusCode(fasthttp.StatusInternalServerError)
		fmt.Fprintf(ctx, `{"message":"Internal error in shard %d","requestId":"%s"}`, n%17, requestID(n, count))
	default:
		ctx.SetStatusCode(fasthttp.StatusBadGateway)
		ctx.SetContentType("text/html")
		fmt.Fprintf(ctx, "<html><body><h1>502 Bad Gateway</h1><p>edge-%d</p></body></html>", n%9)
	}
}

func requestID(n, count int) string {
	return fmt.Sprintf("%016x-%02d", uint64(n)*0x9E3779B97F4A7C15, count)
}

var mark = []byte(`"notes":"#`)

// number reads the number at the head of the notes.
func number(body []byte) (int, bool) {
	at := bytes.Index(body, mark)
	if at < 0 {
		return 0, false
	}
	rest := body[at+len(mark):]
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(string(rest[:end]))
	return n, err == nil
}

func (p *Provider) set(ctx *fasthttp.RequestCtx) {
	var s Settings
	if err := json.Unmarshal(ctx.PostBody(), &s); err != nil {
		ctx.Error(err.Error(), fasthttp.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings, p.calls = s, make([]call, s.Room)
	p.first.Store(0)
	p.ended.Store(0)
}

// tell gives, for n requests from a number on or for all, the times of the first
// call and of the success: two little-endian int64 of Unix nanoseconds, zero for
// never.
func (p *Provider) tell(ctx *fasthttp.RequestCtx) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	from, _ := strconv.Atoi(string(ctx.QueryArgs().Peek("from")))
	calls := p.calls[min(max(from, 0), len(p.calls)):]
	if n, err := strconv.Atoi(string(ctx.QueryArgs().Peek("n"))); err == nil {
		calls = calls[:min(max(n, 0), len(calls))]
	}
	out := make([]byte, 0, 16*len(calls))
	for i := range calls {
		out = binary.LittleEndian.AppendUint64(out, uint64(calls[i].first.Load()))
		out = binary.LittleEndian.AppendUint64(out, uint64(calls[i].last.Load()))
	}
	ctx.SetBody(out)
}
