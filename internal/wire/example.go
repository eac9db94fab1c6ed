package wire

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// The examples of the document go through the same views as real answers, so
// that they cannot show what the API would not send.

var (
	exampleTime       = time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC)
	exampleID         = uuid.MustParse("019cada2-2340-7c1e-9d52-6f0a3f6c1b01")
	examplePartner    = uuid.MustParse("00000000-0000-7000-8000-0000000000f1")
	exampleFleet      = uuid.MustParse("00000000-0000-7000-8000-0000000000e1")
	exampleConnection = uuid.MustParse("00000000-0000-7000-8000-0000000000c1")
	exampleProvider   = uuid.MustParse("00000000-0000-7000-8000-0000000000d1")
	exampleUser       = uuid.MustParse("00000000-0000-7000-8000-00000000a105")
)

func examplePending() operation.Operation {
	return operation.Operation{
		Accepted: operation.Accepted{
			ID: exampleID, PartnerID: examplePartner, ConnectionID: exampleConnection,
			FleetRef: "north-depot", Provider: "samsara",
			Resource: operation.ResourceUser, ResourceID: exampleUser, SourceID: "88668", Type: operation.Update,
			Changes: operation.Changes{
				operation.FieldPhoneNumber:       operation.Text("5550100"),
				operation.FieldNotes:             operation.Null(),
				operation.FieldHOSComplianceType: operation.Text(operation.NonExempt),
			},
		},
		Place:     operation.Place{Seq: exampleTime.UnixMicro(), Deadline: exampleTime.Add(operation.DefaultDeadline)},
		UpdatedAt: exampleTime,
		Status:    operation.Pending,
	}
}

// exampleWaiting is pending after a first attempt that the provider put off.
func exampleWaiting() operation.Operation {
	op := examplePending()
	op.UpdatedAt = exampleTime.Add(800 * time.Millisecond)
	op.Attempted = 1
	op.Attempts = []operation.Attempt{{
		ID:          uuid.MustParse("019cada2-2480-7a11-8c3d-2b1e5f7a9c10"),
		OperationID: op.ID, StartedAt: exampleTime.Add(320 * time.Millisecond), EndedAt: op.UpdatedAt,
		Status: operation.AttemptFailed, ErrorType: operation.ErrorTSP,
		Detail: "the provider asks to wait 20 s", StatusCode: http.StatusTooManyRequests,
		Header: map[string]string{"Retry-After": "20"},
	}}
	op.Wait = operation.Wait{Reason: operation.WaitProviderBackoff, Until: op.UpdatedAt.Add(20 * time.Second)}
	return op
}

func exampleSucceeded() operation.Operation {
	op := examplePending()
	op.Status, op.Attempted = operation.Succeeded, 1
	op.UpdatedAt = exampleTime.Add(700 * time.Millisecond)
	op.Attempts = []operation.Attempt{{
		ID:          uuid.MustParse("019cada2-2480-7a11-8c3d-2b1e5f7a9c10"),
		OperationID: op.ID, StartedAt: exampleTime.Add(320 * time.Millisecond), EndedAt: op.UpdatedAt,
		Status: operation.AttemptSucceeded, StatusCode: http.StatusOK,
	}}
	return op
}

func exampleFailed() operation.Operation {
	op := exampleSucceeded()
	op.Status = operation.Failed
	a := &op.Attempts[0]
	a.Status, a.ErrorType, a.StatusCode = operation.AttemptFailed, operation.ErrorValidation, http.StatusBadRequest
	a.Detail = "phone_number: the provider does not take this value"
	return op
}

// cancelExamples are a cancelled operation, and one whose call is awaited.
func cancelExamples() object {
	ended := examplePending()
	ended.Status, ended.UpdatedAt = operation.Failed, exampleTime.Add(4*time.Second)
	ended.Attempts = []operation.Attempt{{
		ID:          uuid.MustParse("019cada2-32e0-7d05-b1c4-5e9d0a7b3f42"),
		OperationID: ended.ID, StartedAt: ended.UpdatedAt, EndedAt: ended.UpdatedAt,
		Status: operation.AttemptFailed, Detail: "not written: the operation was cancelled",
	}}
	return append(one("cancelled", CancelView(ended)), one("requested", CancelView(examplePending()))...)
}

// of makes the example one of the endpoint's kind of operation.
func (e endpoint) of(op operation.Operation) operation.Operation {
	if e.body != "UserCreate" {
		return op
	}
	op.Type = operation.Create
	op.Changes = operation.Changes{
		operation.FieldUsername: operation.Text("kim.example"), operation.FieldFirstName: operation.Text("Kim"),
		operation.FieldLastName: operation.Text("Example"), operation.FieldUserEmail: operation.Text("kim@fleet.example"),
	}
	if op.Status != operation.Succeeded {
		op.ResourceID, op.SourceID = uuid.Nil, ""
	}
	return op
}

// dryRunExamples are a written operation, and what a dry run of it says.
func dryRunExamples(written operation.Operation) object {
	dry := written
	dry.Attempts, dry.Attempted = nil, 0
	call := NewDryRunRequest(http.MethodPatch, "/fleet/drivers/88668", `{"phone":"5550100","notes":""}`)
	if dry.Type == operation.Create {
		dry.ResourceID, dry.SourceID = uuid.Nil, ""
		call = NewDryRunRequest(http.MethodPost, "/fleet/drivers", `{"name":"Kim Example","username":"kim.example","password":"*****"}`)
	}
	return append(one("success", WriteView(written)), one("dry_run", DryRunView(dry, []DryRunRequest{call}))...)
}

func requestExamples(body string) object {
	if body == "UserCreate" {
		return one("create", object{
			{"connection_id", exampleConnection},
			{"username", "kim.example"},
			{"first_name", "Kim"},
			{"last_name", "Example"},
			{"user_email", "kim@fleet.example"},
		})
	}
	if body == "UserBatch" {
		return batchRequests()
	}
	if body != "UserUpdate" {
		return webhookRequests(body)
	}
	return append(one("update", object{
		{"connection_id", exampleConnection},
		{"phone_number", "5550100"},
		{"notes", nil},
		{operation.HOSTracking, object{{string(operation.FieldHOSComplianceType), operation.NonExempt}}},
	}), one("deactivate", object{
		{"connection_id", exampleConnection},
		{"is_active", false},
		{"status", operation.StatusInactive},
	})...)
}

// answerExamples are the examples of an answer with this schema.
func answerExamples(schema string) object {
	switch schema {
	case "ResourceOperationRead":
		return append(one("waiting", ReadView(exampleWaiting())), one("success", ReadView(exampleSucceeded()))...)
	case pageName("ResourceOperationRead"):
		return one("page", NewPage([]ResourceOperationRead{ReadView(exampleSucceeded())}))
	case "UserRead":
		return one("user", exampleUserRead())
	case pageName("UserRead"):
		return one("page", NewPage([]UserRead{exampleUserRead()}))
	case "ConnectionRead":
		return one("connection", exampleConnectionRead())
	case pageName("ConnectionRead"):
		return one("page", NewPage([]ConnectionRead{exampleConnectionRead()}))
	case "TspIntegrationsRead":
		return one("provider", exampleTSP())
	case pageName("TspIntegrationsRead"):
		return one("page", NewPage([]TSPIntegrationsRead{exampleTSP()}))
	}
	return webhookExamples(schema)
}

func exampleUserRead() UserRead {
	yes := true
	text := func(s string) *string { return &s }
	return UserRead{
		FleetID: &exampleFleet, FleetRef: text("north-depot"), ID: exampleUser,
		CreatedAt: exampleTime, UpdatedAt: exampleTime, ConnectionID: exampleConnection,
		TSPID: &exampleProvider, TSPSlug: text("samsara"), SourceName: "samsara", SourceID: "88668",
		SourceDataHash: "5f1c0d7e9b", Username: text("driver5"), IsActive: &yes, Status: text(operation.StatusActive),
		IsDriver: &yes, FirstName: text("Kim"), LastName: text("Example"), PhoneNumber: text("5550100"),
		CountryCode: text("USA"), DefaultTimeZone: text("America/Chicago"),
	}
}

func exampleConnectionRead() ConnectionRead {
	ref := "north-depot"
	return ConnectionRead{
		ID: exampleConnection, CreatedAt: exampleTime, UpdatedAt: exampleTime, FleetID: &exampleFleet, FleetRef: &ref,
		TSPID: exampleProvider, SourceName: "samsara", Status: "active",
		Credentials: map[string]any{"access_token": "*****", "token_type": "bearer"},
	}
}

func exampleTSP() TSPIntegrationsRead {
	name := "samsara"
	return TSPIntegrationsRead{
		TSPID: exampleProvider, Slug: &name, SourceName: &name,
		Integrations:     map[string]string{operation.ResourceUser: "implemented", "vehicle": "not_implemented"},
		ImplementedCount: 1, NotImplementedCount: 1,
		WriteSupport: &WriteSupport{User: UserWriteSupport{
			Update: true,
			Create: CreateSupport{Supported: true, Required: []operation.Field{operation.FieldUsername, operation.FieldFirstName, operation.FieldLastName}},
			Fields: map[operation.Field]FieldSupport{
				operation.FieldFirstName: {Writable: true}, operation.FieldNotes: {Writable: true, Clearable: true},
				operation.FieldCountryCode: {},
			},
		}},
	}
}

// exampleError is a refusal with this status, as it is really sent.
func exampleError(status int) any {
	e := &operation.Error{RetryAfter: 3 * time.Second, Message: exampleMessages[status]}
	if status == http.StatusUnprocessableEntity {
		e.Faults = []operation.Fault{
			{Path: "body.connection_id", Message: "is required", Type: typeMissing},
			{Path: "body.is_active", Input: "yes", Message: "must be true, false or null", Type: typeBool},
		}
	}
	return ErrorBody(status, e)
}

var exampleMessages = map[int]string{
	http.StatusBadRequest:            "no fields to update",
	http.StatusUnauthorized:          "the token has expired",
	http.StatusForbidden:             "the token lacks the scope telematics:write",
	http.StatusNotFound:              "there is no such user",
	http.StatusMethodNotAllowed:      "use GET or PATCH",
	http.StatusRequestTimeout:        "the body did not come in time",
	http.StatusConflict:              "the connection is paused",
	http.StatusRequestEntityTooLarge: "the body is larger than 65536 bytes",
	http.StatusUnsupportedMediaType:  `the Content-Type must be application/json, not "text/plain"`,
	http.StatusTooManyRequests:       "too many requests; come back in 3 s",
	http.StatusNotImplemented:        "users of this provider cannot be written",
	http.StatusServiceUnavailable:    "the service is not ready; come back in 3 s",
	http.StatusGatewayTimeout:        "no answer in time",
}

// one is an examples object with one example.
func one(name string, value any) object {
	return object{{name, object{{"value", value}}}}
}
