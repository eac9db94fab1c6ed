// Package leak_test plants values that must stay where they belong (credentials and
// what says who a person is) in everything that Writeback takes in, and then looks
// for them in everything that it writes about its own work: logs, spans, metrics,
// attempt rows and refusals.
package leak_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	motive "writeback/pkg/tsp/motive/box"
	samsara "writeback/pkg/tsp/samsara/box"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	anyPort     = "127.0.0.1:0"
	stopTimeout = 30 * time.Second
	pollEvery   = 20 * time.Millisecond
)

// person is planted in the writes. Each value is found nowhere by chance.
var person = map[string]string{
	"license_number": "QZX7781934", "phone_number": "5559273618", "user_email": "planted.mail@leak-probe.example",
	"username": "planted.login", "first_name": "Plantfirstname", "last_name": "Plantlastname",
	"employee_number": "PLE88213", "notes": "plantednotestext",
}

// stray are planted where the caller may write anything, and nothing is expected.
var stray = []string{
	"STRAYLIC551207", "stray.mail@leak-probe.example", "5558841273", "stray-bearer-token-77",
	"stray-idempotency-key", "stray-webhook-secret", "stray-webhook-path", "stray-client-secret",
}

// TestNothingLeaks uses every way in and looks at every way out.
func TestNothingLeaks(t *testing.T) {
	r := newRig(t)
	hook := r.webhook()
	r.unlimited()
	r.updates()
	r.creates()
	r.renewals()
	r.strangers()
	r.asyncWrites()
	r.faults() // last: they make connections rest or fail
	r.reads()
	r.sees(&hook.calls, "the webhook's deliveries")

	metrics := r.fetch(r.stack.URLs().Admin + "/metrics")
	ready := r.fetch(r.stack.URLs().Admin + "/readyz")
	rows, stored := r.rows(), r.stored()
	r.stop() // flushes the spans
	spans, log := r.spans.String(), r.log.String()

	for name, text := range map[string][2]string{
		"log":     {log, `"msg":"request"`},
		"spans":   {spans, "PATCH /v2/telematics/users/{user_id}"},
		"metrics": {metrics, "http_server_request_duration_seconds"},
		"stored":  {stored, "connection." + sandbox.ConnectionID(1)},
		"rows":    {rows, "the provider answered"},
		"refused": {r.refusals(), `"code":401`},
	} {
		require.Contains(t, text[0], text[1], "%s: not what was to be looked at", name)
		t.Logf("%s: %d bytes", name, len(text[0]))
	}
	r.credentials = append(r.credentials, r.issued()...)
	all := slices.Concat(r.credentials, r.people, stray)
	for name, text := range map[string]string{
		"the log": log, "the spans": spans, "the metrics": metrics, "/readyz": ready,
		"the attempt rows": rows, "the refusals": r.refusals(),
	} {
		for _, found := range find(text, all) {
			t.Errorf("%s: %s", name, found)
		}
	}
	for _, found := range find(stored, append([]string{"stray-webhook-secret", "stray-idempotency-key"}, r.credentials...)) {
		t.Errorf("what NATS stores: %s", found)
	}
	// The partner may see people in its own operations, but no credential.
	for _, found := range find(r.answers(), r.credentials) {
		t.Errorf("the answers: %s", found)
	}
}

// TestFind_FindsWhatIsThere keeps the search from becoming so narrow that it finds
// nothing.
func TestFind_FindsWhatIsThere(t *testing.T) {
	t.Parallel()
	const secret = "s3cret+Token/9=\"x"
	quoted, err := json.Marshal(secret)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"as it is":     "before " + secret + " after",
		"in JSON":      `{"a":` + string(quoted) + `}`,
		"in JSON in":   `{"a":"{\"b\":` + strings.ReplaceAll(strings.ReplaceAll(string(quoted), `\`, `\\`), `"`, `\"`) + `}"}`,
		"in a query":   "https://host/?key=" + url.QueryEscape(secret),
		"in a path":    "https://host/" + url.PathEscape(secret),
		"in base64":    "Basic " + base64.StdEncoding.EncodeToString([]byte(secret)),
		"in lower":     strings.ToLower(secret),
		"in protobuf":  "\n\x12" + secret + "\x00",
		"by its start": "cut off: " + secret[:len(secret)-3] + "...",
	} {
		require.Len(t, find(text, []string{secret}), 1, name)
	}
	require.Empty(t, find("nothing of the kind: [hidden] *****", []string{secret}))
}

// find gives each value that the text holds, in any of the forms that programs give
// to text, with what is around it.
func find(text string, values []string) []string {
	text = strings.ToLower(text)
	var out []string
	for _, value := range values {
		for _, form := range forms(value) {
			if at := strings.Index(text, form); at >= 0 {
				out = append(out, fmt.Sprintf("%q is in %q", value, text[max(0, at-160):min(len(text), at+len(form)+80)]))
				break
			}
		}
	}
	return out
}

// forms are how a value may be written, and how it begins where it was cut off.
func forms(value string) []string {
	quoted, _ := json.Marshal(value) // a string can always be encoded
	inner := strings.Trim(string(quoted), `"`)
	out := []string{
		value, inner, strings.ReplaceAll(inner, `\`, `\\`), url.QueryEscape(value), url.PathEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)),
	}
	if len(value) > 14 {
		out = append(out, value[:len(value)-3])
	}
	for i := range out {
		out[i] = strings.ToLower(out[i])
	}
	return out
}

// safeBuffer takes what several write at the same time.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// rig is a stack, with all that comes out of it kept.
type rig struct {
	*testing.T
	stack *devstack.Stack
	tap   *tap
	seeds []sandbox.Seed
	token string

	log, spans, refused, answered safeBuffer
	credentials, people           []string
	// taken are the fields that the provider of a connection took.
	taken map[string][]string
	halt  sync.Once
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, taken: map[string][]string{}}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(&r.spans, req.Body) // protobuf keeps texts as they are
	}))
	t.Cleanup(collector.Close)
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.URL + "/v1/traces", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
		"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_SDK_DISABLED": "",
	} {
		t.Setenv(name, value)
	}
	r.tap = newTap()
	t.Cleanup(r.tap.Close)
	parts := boxes.Config{Samsara: samsara.Config{OAuth: true}, Motive: motive.Config{OAuth: true}}
	stack, err := devstack.Start(t.Context(), devstack.Options{
		APIAddr: anyPort, AdminAddr: anyPort, SandboxAddr: anyPort, Log: &r.log, Boxes: parts,
		Environ: append(r.tap.environ(), "WRITEBACK_LOG_LEVEL=debug"),
	})
	require.NoError(t, err)
	r.stack = stack
	r.tap.to, err = url.Parse(stack.URLs().Sandbox)
	require.NoError(t, err)
	t.Cleanup(r.stop)
	r.token, err = stack.Token(t.Context(), devstack.DemoClient, devstack.DemoSecret)
	require.NoError(t, err)
	_, err = stack.Token(t.Context(), devstack.DemoClient, "stray-client-secret")
	require.Error(t, err)
	r.credentials = append(r.credentials, r.token, devstack.DemoSecret)
	for _, seed := range sandbox.Seeds(boxes.Parts(parts)) {
		if seed.Connection != sandbox.ConnectionID(9) {
			r.seeds = append(r.seeds, seed)
		}
		for name, value := range seed.Credentials {
			if !slices.Contains([]string{"account", "database", "client_id", "redirect_uri"}, name) { // they name a customer and open nothing
				r.credentials = append(r.credentials, value)
			}
		}
		for _, u := range seed.Users[:30] {
			r.people = append(r.people, u.Email, u.Username, u.Phone, u.LicenseNumber)
		}
	}
	r.people = append(r.people, slices.Collect(maps.Values(person))...)
	return r
}

func (r *rig) stop() {
	r.halt.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), stopTimeout)
		defer cancel()
		require.NoError(r, r.stack.Stop(ctx))
	})
}

// send makes a call to the api with the partner's token, and keeps what it answers.
func (r *rig) send(method, path string, body any, headers ...string) (int, []byte) {
	r.Helper()
	text, isText := body.(string)
	if !isText {
		b, err := json.Marshal(body)
		require.NoError(r, err)
		text = string(b)
	}
	headers = append([]string{"Content-Type", "application/json", "Authorization", "Bearer " + r.token}, headers...)
	status, answer := r.call(method, r.stack.URLs().API+path, text, headers...)
	_, _ = r.answered.Write(answer)
	if status >= http.StatusBadRequest {
		_, _ = r.refused.Write(withoutPayload(answer))
	}
	return status, answer
}

func (r *rig) call(method, target, body string, headers ...string) (int, []byte) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, target, strings.NewReader(body))
	require.NoError(r, err)
	req.Close = true
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(r, err)
	return resp.StatusCode, answer
}

func (r *rig) fetch(target string) string {
	r.Helper()
	status, text := r.call(http.MethodGet, target, "")
	require.Equal(r, http.StatusOK, status, "%s", text)
	return string(text)
}

func (r *rig) refusals() string { return r.refused.String() }
func (r *rig) answers() string  { return r.answered.String() }

// withoutPayload takes away what the partner wrote itself and may read back in an
// answer to it: payloads, the offending input of a validation fault, and what the
// sentence of a 400 or 415 quotes, the name of a key or a Content-Type.
func withoutPayload(answer []byte) []byte {
	var v any
	if json.Unmarshal(answer, &v) != nil {
		return answer
	}
	b, err := json.Marshal(strip(v))
	if err != nil {
		return answer
	}
	return b
}

var quotation = regexp.MustCompile(`"[^"]*"`)

func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "payload")
		delete(v, "input") // of a fault: the value that it is about
		if said, ok := v["detail"].(string); ok && (v["code"] == 400. || v["code"] == 415.) {
			v["detail"] = quotation.ReplaceAllString(said, "")
		}
		for key, inner := range v {
			v[key] = strip(inner)
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	}
	return v
}
