package httpcall_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"writeback/pkg/tsp/httpcall"
)

func TestSpan_HasNothingOfTheAddressButItsHost(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read: %v", err)
		}
		got <- r.RequestURI + " " + string(body)
	})
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	ctx, parent := tracers.Tracer("test").Start(t.Context(), "attempt")
	c := httpcall.New(httpcall.Config{})

	_, err := c.Do(ctx, httpcall.Request{Method: http.MethodGet, URL: base + "/planted-number?apikey=planted-key&a=b"})
	require.NoError(t, err)
	require.Equal(t, "/planted-number?apikey=planted-key&a=b ", <-got, "the provider gets the whole address")
	_, err = c.Do(ctx, httpcall.Request{Method: http.MethodPost, URL: base + "/extern?sid=planted-key", Body: []byte("b")})
	require.NoError(t, err)
	require.Equal(t, "/extern?sid=planted-key b", <-got)
	_, err = c.Do(ctx, httpcall.Request{Method: http.MethodGet, URL: "http://127.0.0.1:1/extern?apikey=planted-key"})
	require.Error(t, err)
	_, err = c.Do(ctx, httpcall.Request{Method: http.MethodGet, URL: "http://" + garbling(t)})
	require.Error(t, err)
	parent.End()

	ended := spans.Ended()
	require.Len(t, ended, 5, "one span of each call, and the parent")
	addresses := 0
	for _, span := range ended {
		require.NotContains(t, fmt.Sprintf("%v %v %v %v", span.Name(), span.Attributes(), span.Events(), span.Status()), "planted")
		for _, attribute := range span.Attributes() {
			if attribute.Key == "server.address" {
				addresses++
				require.Equal(t, "127.0.0.1", attribute.Value.AsString())
			}
		}
	}
	require.Equal(t, 4, addresses, "a span says where the call went")
}

// garbling is a server whose answers are no HTTP.
func garbling(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "planted@example.com\r\n\r\n")
			_ = conn.Close()
		}
	}()
	return ln.Addr().String()
}

// Within a trace that nobody records there is no span, and the provider gets the trace of
// the caller all the same.
func TestSpan_IsMadeOnlyWhereItIsRecorded(t *testing.T) {
	got := make(chan string, 1)
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("traceparent") })
	otel.SetTextMapPropagator(propagation.TraceContext{})
	c := httpcall.New(httpcall.Config{})
	for _, sampled := range []bool{false, true} {
		spans := tracetest.NewSpanRecorder()
		sampler := sdktrace.NeverSample()
		if sampled {
			sampler = sdktrace.AlwaysSample()
		}
		tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler))
		ctx, parent := tracers.Tracer("test").Start(t.Context(), "attempt")
		_, err := c.Do(ctx, httpcall.Request{Method: http.MethodPost, URL: base, Body: []byte("b")})
		require.NoError(t, err)
		sent := <-got
		require.Contains(t, sent, parent.SpanContext().TraceID().String())
		if sampled {
			require.Len(t, spans.Ended(), 1)
			require.Contains(t, sent, spans.Ended()[0].SpanContext().SpanID().String())
		} else {
			require.Empty(t, spans.Started())
			require.Contains(t, sent, parent.SpanContext().SpanID().String())
		}
	}
}

// answers is a transport that answers by itself, with a status; zero: not at all.
type answers int

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if a == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: int(a), Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// TestSpan_SaysHowTheCallWent: a failed one has its kind and is marked as an error.
func TestSpan_SaysHowTheCallWent(t *testing.T) {
	t.Parallel()
	for status, failed := range map[int]string{0: "*errors.errorString", 200: "", 399: "", 400: "400", 503: "503"} {
		spans := tracetest.NewSpanRecorder()
		ctx, parent := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test").Start(t.Context(), "attempt")
		_, _ = httpcall.New(httpcall.Config{Transport: answers(status)}).Do(ctx, httpcall.Request{Method: http.MethodGet, URL: "https://h"})
		parent.End()
		span := spans.Ended()[0]
		require.Equal(t, failed != "", span.Status().Code == codes.Error, status)
		got := map[attribute.Key]string{}
		for _, a := range span.Attributes() {
			got[a.Key] = a.Value.String()
		}
		require.Equal(t, failed, got["error.type"], status)
		if status != 0 {
			require.Equal(t, strconv.Itoa(status), got["http.response.status_code"])
		}
	}
}

// TestSpan_FollowsTheConventions: its name is the method, and its port is there too where the
// URL has none.
func TestSpan_FollowsTheConventions(t *testing.T) {
	t.Parallel()
	c := httpcall.New(httpcall.Config{Transport: answers(http.StatusOK)})
	for base, port := range map[string]int64{
		"https://provider.example": 443, "http://provider.example": 80, "https://provider.example:8443": 8443, "https://[2001:db8::1]": 443,
	} {
		spans := tracetest.NewSpanRecorder()
		ctx, parent := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test").Start(t.Context(), "attempt")
		_, err := c.Do(ctx, httpcall.Request{Method: http.MethodPatch, URL: base + "/drivers/1", Body: []byte("b")})
		require.NoError(t, err)
		parent.End()
		span := spans.Ended()[0]
		require.Equal(t, http.MethodPatch, span.Name())
		require.Equal(t, trace.SpanKindClient, span.SpanKind())
		require.Contains(t, span.Attributes(), attribute.Int64("server.port", port), base)
	}
}

func TestDo_MeasuresEachCall(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	var calls []string
	c := httpcall.New(httpcall.Config{Measure: func(_ context.Context, method string, status int, took time.Duration) {
		if took <= 0 || took > time.Minute {
			t.Errorf("took %s", took)
		}
		calls = append(calls, fmt.Sprint(method, " ", status))
	}})
	_, err := c.Do(t.Context(), httpcall.Request{Method: http.MethodPatch, URL: base, Body: []byte("b")})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: "http://127.0.0.1:1"})
	require.Error(t, err)
	require.Equal(t, []string{"PATCH 418", "GET 0"}, calls)
}

// writes counts what is written to a connection at a time.
type writes struct {
	net.Conn
	n *atomic.Int32
}

func (w writes) Write(b []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(b)
}

// A system call is a good part of what a call costs.
func TestDo_SendsHeadAndBodyAtOnce(t *testing.T) {
	t.Parallel()
	base := serve(t, func(http.ResponseWriter, *http.Request) {})
	var n atomic.Int32
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return writes{conn, &n}, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	_, err := httpcall.New(httpcall.Config{Transport: transport}).Do(ctx, httpcall.Request{
		Method: http.MethodPatch, URL: base, Body: []byte(`{"notes":"n"}`), Write: true,
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, n.Load())
}

func TestDo_GivesTheHeadersThatAreWanted(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Own-Errorcode", "45")
		w.Header().Set("X-Other", "planted")
	})
	answer, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{
		Method: http.MethodGet, URL: base, Want: []string{"X-Own-Errorcode", "X-Absent"},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"X-Own-Errorcode": "45"}, answer.Wanted)
	require.NotContains(t, answer.Header, "X-Own-Errorcode", "what is wanted reaches no log")
}

// A connection that was used before and breaks makes the transport repeat a GET
// without a body by itself, unless it changes something.
func TestDo_TheTransportRepeatsNoWrite(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 8)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls <- fmt.Sprint(r.URL.Path, r.ContentLength, r.TransferEncoding)
		if r.URL.Path == "/break" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			_ = conn.Close()
		}
	})
	c := httpcall.New(httpcall.Config{})
	_, err := c.Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: base + "/first"})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: base + "/break", Write: true})
	require.Error(t, err)
	require.Equal(t, "/first0 []", <-calls)
	require.Equal(t, "/break0 []", <-calls, "no body is announced")
	require.Empty(t, calls, "the write was made twice")
}
