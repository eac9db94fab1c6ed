package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"writeback/internal/admission"
	"writeback/internal/auth"
	"writeback/internal/directory"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// quick stands behind the edge and does next to nothing.
type quick struct {
	*world
	*memory
	principal auth.Principal
	page      []operation.Operation
}

func (q quick) Verify(context.Context, string) (auth.Principal, error) { return q.principal, nil }

func (q quick) User(_, _ uuid.UUID) (directory.User, directory.Connection, bool) {
	return q.users[0], q.connections[0], true
}

func (q quick) Accept(_ context.Context, a operation.Accepted, _ tsp.Limits) (operation.Operation, error) {
	return operation.Operation{Accepted: a, Place: q.page[0].Place, Status: operation.Pending, UpdatedAt: q.page[0].CreatedAt()}, nil
}

func (q quick) Get(context.Context, uuid.UUID, uuid.UUID) (operation.Operation, error) {
	return q.page[0], nil
}

func (q quick) List(context.Context, operation.Query) ([]operation.Operation, bool, error) {
	return q.page, true, nil
}

// ended is a page of operations that took one call each.
func ended(n int) []operation.Operation {
	out := make([]operation.Operation, n)
	for i := range out {
		at := worldTime.AddDate(0, 0, 1)
		out[i] = operation.Operation{
			Accepted: operation.Accepted{
				Version: operation.Version, ID: id(i + 1), PartnerID: partnerOne, ConnectionID: connOne, FleetRef: "fleet-one",
				Provider: "samsara", Resource: operation.ResourceUser, Type: operation.Update, ResourceID: userOne, SourceID: "494100",
				Changes: operation.Changes{
					operation.FieldFirstName: operation.Text("Ana María"), operation.FieldLastName: operation.Text("O'Brien"),
					operation.FieldLicenseNumber: operation.Text("D1234567"), operation.FieldLicenseRegion: operation.Text("CA"),
				},
			},
			Status: operation.Succeeded, UpdatedAt: at, Attempted: 1,
			Attempts: []operation.Attempt{{
				ID: id(1000 + i), OperationID: id(i + 1), StartedAt: at, EndedAt: at, Status: operation.AttemptSucceeded, StatusCode: 200,
				Header: map[string]string{"X-Request-Id": "4e1b1c5a"}, TraceID: "0af7651916cd43dd8448eb211c80319c",
			}},
		}
		out[i].Seq = at.UnixMicro() + int64(i)
		out[i].Deadline = at.AddDate(0, 0, 1)
	}
	return out
}

// BenchmarkStepRequest sends requests over a connection that stays open, as partners do,
// to the whole edge with next to nothing behind it. "server" is net/http alone, which
// reads the same and answers with as much: what is above it is ours.
func BenchmarkStepRequest(b *testing.B) {
	a := &api{memory: &memory{}, hooks: newHooks(), script: newScript(), world: newWorld(), log: &lines{}}
	q := quick{world: a.world, memory: a.memory, page: ended(wire.DefaultSize)}
	q.principal = auth.Principal{PartnerID: partnerOne, Scopes: map[string]bool{
		wire.ScopeTelematicsWrite: true, wire.ScopeOperationRead: true,
	}}
	body := `{"connection_id":"` + connOne.String() + `","first_name":"Ana María","last_name":"O'Brien","license_number":"D1234567",` +
		`"license_region":"CA","notes":"moved to the night shift at the northern yard, badge to be reissued"}`
	line := " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token(partnerOne) + "\r\nContent-Type: application/json\r\n"
	patch := "PATCH " + usersPath + userOne.String() + line + fmt.Sprintf("Content-Length: %d\r\n", len(body))
	get := "GET " + connectionsPath + connOne.String() + "/resource-operations/" + id(1).String() + line + "\r\n"
	list := "GET " + operationsPath + "?connection_id=" + connOne.String() + line + "\r\n"
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(make([]byte, 800))
	})
	for _, bench := range []struct {
		name, request string
		level         slog.Level
		handler       http.Handler
	}{
		{"server", patch + "\r\n" + body, slog.LevelWarn, echo},
		{"patch", patch + "\r\n" + body, slog.LevelWarn, nil},
		{"keyed", patch + "Idempotency-Key: 0af7651916cd43dd\r\n\r\n" + body, slog.LevelWarn, nil},
		{"logged", patch + "\r\n" + body, slog.LevelInfo, nil},
		{"get", get, slog.LevelWarn, nil},
		{"list", list, slog.LevelWarn, nil},
	} {
		b.Run(bench.name, func(b *testing.B) {
			handler := bench.handler
			if handler == nil {
				handler = a.quickly(b, q, bench.level)
			}
			serveAll(b, handler, bench.request)
		})
	}
}

// quickly makes the edge as a program that exports nothing has it.
func (a *api) quickly(b *testing.B, q quick, level slog.Level) http.Handler {
	b.Helper()
	deps := a.deps(b)
	deps.Verifier, deps.Directory, deps.Accepter, deps.Reader = q, q, q, q
	deps.Admission = admission.New(a.memory, admission.Config{PerSecond: 1e6, Burst: 1e6, Outstanding: 1e9})
	deps.Log = slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: level})) //nolint:sloglint // the lines are to be formatted
	handler, err := New(deps, Config{
		Tracer: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())),
		Meter:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
	})
	require.NoError(b, err)
	return handler
}

// serveAll sends the request again and again.
func serveAll(b *testing.B, handler http.Handler, request string) {
	b.Helper()
	srv := httptest.NewServer(handler)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(b, err)
	defer func() { _ = conn.Close() }()
	reader, out := bufio.NewReaderSize(conn, 1<<20), []byte(request)
	first, err := exchange(conn, reader, out)
	require.NoError(b, err)
	require.Less(b, first.StatusCode, 300)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(out); err != nil {
			b.Fatal(err)
		}
		if err := skip(reader); err != nil {
			b.Fatal(err)
		}
	}
}

func exchange(conn net.Conn, reader *bufio.Reader, request []byte) (*http.Response, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// skip reads over one answer, which has a Content-Length, and allocates nothing.
func skip(reader *bufio.Reader) error {
	length := 0
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			_, err := reader.Discard(length)
			return err
		}
		if name := "Content-Length: "; len(line) > len(name) && string(line[:len(name)]) == name {
			for _, c := range line[len(name) : len(line)-2] {
				length = 10*length + int(c-'0')
			}
		}
	}
}
