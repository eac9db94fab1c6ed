package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

var update = flag.Bool("update", false, "write the golden files anew")

var accepted = time.Date(2026, time.March, 2, 9, 30, 0, 123_456_789, time.FixedZone("", 3600))

func id(n byte) uuid.UUID {
	u := uuid.MustParse("019cada2-2340-7c1e-9d52-6f0a3f6c1b00")
	u[15] = n
	return u
}

// pending is an operation with everything in it that an accept can give.
func pending() operation.Operation {
	return operation.Operation{
		Accepted: operation.Accepted{
			ID: id(1), PartnerID: id(2), ConnectionID: id(3), FleetRef: "north", Provider: "samsara",
			Resource: operation.ResourceUser, ResourceID: id(4), SourceID: "88668", Type: operation.Update,
			Changes: operation.Changes{
				operation.FieldHOSTrackingMethod: operation.Text("manual"),
				operation.FieldNotes:             operation.Text("<a> & \"b\"\n\u2028"),
				operation.FieldUsername:          operation.Null(),
				operation.FieldIsActive:          operation.Flag(false),
			},
			TraceParent: "not for partners",
			Key:         &operation.Key{Scope: "not for partners"},
		},
		Place:  operation.Place{Seq: accepted.UnixMicro(), Deadline: accepted.Add(24 * time.Hour)},
		Status: operation.Pending,
	}
}

func failed() operation.Operation {
	op := pending()
	op.Status, op.UpdatedAt, op.Attempted = operation.Failed, accepted.Add(time.Minute), 2
	retryOf := id(9)
	op.RetryOf = &retryOf
	op.Changes = operation.Changes{operation.FieldHOSComplianceType: operation.Null(), operation.FieldHOSTrackingMethod: operation.Null()}
	op.Attempts = []operation.Attempt{
		{
			ID: id(5), StartedAt: accepted, EndedAt: accepted.Add(time.Second), Status: operation.AttemptFailed,
			ErrorType: operation.ErrorTSP, Detail: "busy", StatusCode: 429, Header: map[string]string{"Retry-After": "5"},
		},
		{ID: id(6), StartedAt: accepted, Status: operation.AttemptFailed, ErrorType: operation.ErrorNetwork, Detail: "outcome unknown", Unknown: true},
	}
	return op
}

func succeeded() operation.Operation {
	op := pending()
	op.Status, op.UpdatedAt, op.Attempted = operation.Succeeded, accepted.Add(time.Second), 1
	op.Attempts = []operation.Attempt{{ID: id(5), StartedAt: accepted, EndedAt: accepted.Add(time.Second), Status: operation.AttemptSucceeded, StatusCode: 200}}
	return op
}

func creating() operation.Operation {
	op := pending()
	op.Type, op.ResourceID, op.SourceID, op.FleetRef = operation.Create, uuid.Nil, "", ""
	return op
}

func waiting(w operation.Wait) operation.Operation {
	op := pending()
	op.Attempted, op.MaxAttempts, op.Wait = 3, 5, w
	return op
}

func syncing() operation.Operation {
	op := pending()
	op.Sync = true
	return op
}

func unapplied() operation.Operation {
	op := succeeded()
	op.Attempts[0].Unapplied = []operation.Field{operation.FieldNotes}
	return op
}

func cancelling() operation.Operation {
	op := pending()
	op.CancelRequested = true
	return op
}

func TestViews_Golden(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		value  any
		schema string
	}{
		"write_pending":  {wire.WriteView(pending()), "ResourceOperation"},
		"write_success":  {wire.WriteView(succeeded()), "ResourceOperation"},
		"write_failed":   {wire.WriteView(failed()), "ResourceOperation"},
		"write_create":   {wire.WriteView(creating()), "ResourceOperation"},
		"read_pending":   {wire.ReadView(pending()), "ResourceOperationRead"},
		"read_success":   {wire.ReadView(succeeded()), "ResourceOperationRead"},
		"read_failed":    {wire.ReadView(failed()), "ResourceOperationRead"},
		"read_create":    {wire.ReadView(creating()), "ResourceOperationRead"},
		"read_sync":      {wire.ReadView(syncing()), "ResourceOperationRead"},
		"read_behind":    {wire.ReadView(waiting(operation.Wait{Reason: operation.WaitBehind, Behind: id(8)})), "ResourceOperationRead"},
		"read_retry":     {wire.ReadView(waiting(operation.Wait{Reason: operation.WaitRetry, Until: accepted.Add(time.Hour)})), "ResourceOperationRead"},
		"read_cancel":    {wire.CancelView(pending()), "ResourceOperationRead"},
		"read_cancelled": {wire.CancelView(failed()), "ResourceOperationRead"},
		"page_empty":     {wire.NewPage[wire.ResourceOperationRead](nil), "ResourceOperationReadPage"},
		"page_of_read":   {wire.NewPage([]wire.ResourceOperationRead{wire.ReadView(succeeded())}), "ResourceOperationReadPage"},
		"user_bare":      {wire.UserRead{SourceName: "samsara"}, "UserRead"},
		"user_source":    {wire.UserRead{SourceName: "samsara", SourceData: map[string]any{"id": 1}}, "UserRead"},
		"connection":     {wire.ConnectionRead{SourceName: "samsara", Status: "active", Credentials: map[string]any{}}, "ConnectionRead"},
		"provider":       {wire.TSPIntegrationsRead{Integrations: map[string]string{"user": "implemented"}, ImplementedCount: 1}, "TspIntegrationsRead"},
		"write_dry_run": {wire.DryRunView(creating(), []wire.DryRunRequest{
			wire.NewDryRunRequest("POST", "/users?x=1", `{ "a": "<b>" }`), wire.NewDryRunRequest("PUT", "/form", "a=1&b=\"x\""),
			wire.NewDryRunRequest("DELETE", "/users/1", ""),
		}), "ResourceOperation"},
		"write_dry_none":  {wire.DryRunView(failed(), nil), "ResourceOperation"},
		"read_unapplied":  {wire.ReadView(unapplied()), "ResourceOperationRead"},
		"read_cancelling": {wire.ReadView(cancelling()), "ResourceOperationRead"},
		"provider_writes": {wire.TSPIntegrationsRead{Integrations: map[string]string{}, WriteSupport: &wire.WriteSupport{
			User: wire.UserWriteSupport{
				Create: wire.CreateSupport{Required: []operation.Field{}},
				Fields: map[operation.Field]wire.FieldSupport{operation.FieldNotes: {Writable: true, Note: new("why")}, operation.FieldDOTID: {}},
			},
		}}, "TspIntegrationsRead"},
		"provider_empty": {wire.NewPage[wire.TSPIntegrationsRead](nil), "TspIntegrationsReadPage"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.MarshalIndent(c.value, "", "  ")
			require.NoError(t, err)
			path := filepath.Join("testdata", "golden", name+".json")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
				require.NoError(t, os.WriteFile(path, append(got, '\n'), 0o600))
			}
			want, err := os.ReadFile(path) //nolint:gosec // a path of this test
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
			validate(t, c.schema, got)
		})
	}
}

// validate checks JSON against a component of the document.
func validate(t *testing.T, schema string, body []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, compileSchema(t, schema).Validate(value))
}

// The order of the fields is part of the reference page.
func TestWriteView_PageOrder(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(wire.WriteView(pending()))
	require.NoError(t, err)
	require.Equal(t, []string{
		"partner_id", "connection_id", "resource", "operation_type", "payload", "id", "created_at", "updated_at", "deleted_at",
		"resource_id", "source_id", "status", "logs",
	}, keysOf(t, body))
}

func TestPayload_IsCanonical(t *testing.T) {
	t.Parallel()
	all := operation.Changes{}
	for _, spec := range operation.UserFields {
		all[spec.Name] = operation.Null()
	}
	var want []string
	seen := map[string]bool{}
	for _, spec := range operation.UserFields {
		name := string(spec.Name)
		if spec.Parent != "" {
			name = spec.Parent
		}
		if !seen[name] {
			want = append(want, name)
		}
		seen[name] = true
	}
	require.Equal(t, want, keysOf(t, wire.Payload(all)), "each parent must be one object")
	require.JSONEq(t, `{}`, string(wire.Payload(nil)))

	spellings := []string{
		`"notes":"a","hos_tracking":{"hos_tracking_method":"manual","hos_compliance_type":"exempt"}`,
		`"hos_compliance_type":"exempt","hos_tracking_method":"manual","note\u0073":"\u0061"`,
		`"hos_compliance_type":"exempt","hos_tracking":{"hos_tracking_method":"manual"},"notes":"a"`,
	}
	for _, s := range spellings {
		got, err := wire.DecodeUserUpdate([]byte(withConnection(s)), wire.DecodeOptions{})
		require.NoError(t, err)
		require.Equal(t, `{"notes":"a","hos_tracking":{"hos_compliance_type":"exempt","hos_tracking_method":"manual"}}`, string(wire.Payload(got.Changes)))
	}
}

// keysOf gives the keys of a JSON object in their order.
func keysOf(t *testing.T, body []byte) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	_, err := dec.Token()
	require.NoError(t, err)
	var out []string
	for dec.More() {
		key, err := dec.Token()
		require.NoError(t, err)
		out = append(out, key.(string))
		var skip json.RawMessage
		require.NoError(t, dec.Decode(&skip))
	}
	return out
}
