package work_test

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/directory"
	"writeback/internal/egress"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
)

// fleet is a directory of connections to Samsara.
type fleet struct{ connections }

func (fleet) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	return directory.Connection{
		ID: id, Provider: samsara.Name, Status: directory.ConnectionActive,
		Credentials: tsp.Credentials{"access_token": "a-token-of-the-usual-length-0123456789"},
	}, true
}

// answering is a provider that says the same to every call, with as little work as can
// be, so that a benchmark shows who calls. It gives its base URL.
func answering(tb testing.TB, body string) string {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = listener.Close() })
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerAll(conn, answer)
		}
	}()
	return "http://" + listener.Addr().String()
}

func answerAll(conn net.Conn, answer []byte) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(text)))
			}
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// cpu is the processor time that the process has used, the kernel's included.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The attempt of an update, as the worker makes it, with the transport of the programs
// and no trace that anybody records.
func BenchmarkAttempt(b *testing.B) {
	source := "281474977075805"
	base := answering(b, `{"data":{"id":"`+source+`","name":"Ada Lovelace","username":"ada","notes":"#123 a note","timezone":"America/New_York",`+
		`"driverActivationStatus":"active","licenseState":"PA","phone":"+1 5550100144","tags":[{"id":"12"}]}}`)
	guard := egress.New(egress.Config{Open: true, PerHost: 64})
	transport := guard.Pool(128)
	b.Cleanup(func() { (&http.Client{Transport: transport}).CloseIdleConnections() })
	registry, err := tsp.NewRegistry(samsara.New(
		httpcall.New(httpcall.Config{Transport: transport}), samsara.Config{BaseURL: base},
	))
	require.NoError(b, err)
	rdb := redis.NewClient(&redis.Options{})
	b.Cleanup(func() { _ = rdb.Close() })
	attempter := work.NewAttempter(work.Parts{
		Store: redisstore.New(rdb, redisstore.Config{}), Directory: fleet{}, Providers: registry,
		Log: slog.New(slog.DiscardHandler),
	}, work.Config{})
	lease := redisstore.Lease{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: uuid.Must(uuid.NewV7()), ConnectionID: uuid.Must(uuid.NewV7()),
			MaxAttempts: 10, Provider: samsara.Name, Resource: operation.ResourceUser, ResourceID: uuid.Must(uuid.NewV7()), SourceID: source,
			Type: operation.Update, Changes: operation.Changes{
				operation.FieldFirstName: operation.Text("Ada"), operation.FieldLastName: operation.Text("Lovelace"),
				operation.FieldLicenseNumber: operation.Text("D1000003"), operation.FieldLicenseRegion: operation.Text("PA"),
				operation.FieldNotes: operation.Text("#123 a note"),
			},
		},
		AttemptID: uuid.Must(uuid.NewV7()), Number: 1, Left: time.Hour,
	}
	ctx := trace.ContextWithSpanContext(b.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(lease.ID), SpanID: trace.SpanID(lease.ID[:8]),
	}))
	b.ReportAllocs()
	began := cpu()
	for b.Loop() {
		if out := attempter.Attempt(ctx, lease); out.Attempt.StatusCode != http.StatusOK {
			b.Fatalf("%+v", out)
		}
	}
	b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
}
