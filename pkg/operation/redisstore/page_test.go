package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// The dictionary is a part of the form: with another one, what lies in Redis could not
// be read any more.
func TestPage_TheDictionaryStays(t *testing.T) {
	t.Parallel()
	if os.Getenv("NEW_PAGE_DICT") != "" { // then pageVersion must change
		require.NoError(t, os.WriteFile("page.dict", samples(t), 0o600))
	}
	sum := sha256.Sum256(pageSamples)
	require.Equal(t, "3857ebe88cdedbfc8a5235229728027ae5069c975b34ef6f19d88333fa145a47", hex.EncodeToString(sum[:]), "a new dictionary needs a new pageVersion, and the old one stays")
}

// samples are records of the usual kinds, without what differs in each.
func samples(t *testing.T) []byte {
	t.Helper()
	var out []byte
	at := time.UnixMicro(1).UTC()
	add := func(provider string, changes operation.Changes, rows ...operation.Attempt) {
		op := operation.Operation{
			Accepted: operation.Accepted{
				Version: 1, Provider: provider, Resource: operation.ResourceUser, Type: operation.Update, Changes: changes, FleetRef: "fleet-",
			},
			Status: operation.Failed, UpdatedAt: at, Attempts: rows,
		}
		e := ended{Doc: docOf(op.Accepted), Failed: true}
		for _, a := range rows {
			a.StartedAt, a.EndedAt = at, at
			e.Rows = append(e.Rows, endedRow{taggedRow: taggedRow(rowOf(a)), ID: uuid.Nil})
		}
		raw, err := canonical.Marshal(e)
		require.NoError(t, err)
		out = append(out, raw...)
	}
	all := operation.Changes{}
	for _, spec := range operation.UserFields {
		all[spec.Name] = operation.Null()
	}
	headers := map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Date": "Tue, 24 Nov 2026 18:00:00 GMT", "Retry-After": "1",
		"X-Request-Id": "0000", "X-Ratelimit-Limit": "100", "X-Ratelimit-Remaining": "99", "X-Ratelimit-Reset": "60",
		"Ratelimit-Limit": "100", "Ratelimit-Remaining": "99", "Ratelimit-Reset": "60",
	}
	failed := func(kind operation.ErrorType, code int, detail string) operation.Attempt {
		return operation.Attempt{Status: operation.AttemptFailed, ErrorType: kind, StatusCode: code, Detail: detail, Header: headers}
	}
	providers := []string{"catena_simulator", "gpsinsight", "verizon_connect", "webfleet", "wialon", "geotab", "motive", "samsara"}
	for i, p := range providers {
		if i == 0 {
			add(p, all,
				failed(operation.ErrorNetwork, 0, "the provider could not be reached: connection refused; no such host; timeout; the call deadline passed"),
				failed(operation.ErrorTSP, 500, "the provider answered 500 Internal Server Error: upstream connect error; gave up after attempt 12"),
				failed(operation.ErrorTSP, 503, "the provider answered 503 Service Unavailable: temporarily unavailable, try again later"),
				failed(operation.ErrorTSP, 429, "the provider answered 429 Too Many Requests: rate limit exceeded"),
				failed(operation.ErrorAuth, 401, "the provider answered 401 Unauthorized: the credential was refused"),
				failed(operation.ErrorValidation, 400, "the provider answered 400 Bad Request: invalid value of field is not valid"),
				failed(operation.ErrorValidation, 404, "the provider answered 404 Not Found: the driver does not exist"))
		}
		add(p, operation.Changes{
			operation.FieldFirstName: operation.Text("First"), operation.FieldLastName: operation.Text("Last"),
			operation.FieldIsActive: operation.Flag(true), operation.FieldLicenseCountry: operation.Text("USA"),
			operation.FieldLicenseNumber: operation.Text("D"),
		}, operation.Attempt{Status: operation.AttemptSucceeded, StatusCode: 200, Header: headers})
	}
	return out
}

func TestPage_GivesBackWhatWasPut(t *testing.T) {
	t.Parallel()
	op := wholeOperation()
	b := encodePage(op)
	rec, err := decodePage(b)
	require.NoError(t, err)
	op.Key = nil // lives by itself
	require.Equal(t, op, rec.Operation)
	require.True(t, rec.Final)
	for _, broken := range [][]byte{nil, {0}, {pageVersion}, b[:len(b)/2], append([]byte{9}, b[1:]...)} {
		_, err := decodePage(broken)
		require.Error(t, err)
	}
}

// A field that is added to the domain must be added to the codec: no field of the
// sample is zero, and what is read is the sample.
func TestPage_TheSampleHasEveryField(t *testing.T) {
	t.Parallel()
	op := wholeOperation()
	for _, v := range []any{op.Accepted, op.Place, op.Attempts[0], op.Attempts[1]} {
		value := reflect.ValueOf(v)
		for i := range value.NumField() {
			name := value.Type().Field(i).Name
			if name == "Unknown" || name == "Unapplied" || name == "ErrorType" || name == "Detail" || name == "StatusCode" || name == "TraceID" {
				continue // of one row or the other, see below
			}
			require.False(t, value.Field(i).IsZero(), "%T.%s", v, name)
		}
	}
	require.Equal(t, 12, reflect.TypeFor[operation.Attempt]().NumField(), "a new field of an attempt: add it to row and to the sample")
}

func TestDoc_GivesBackWhatWasPut(t *testing.T) {
	t.Parallel()
	for _, trace := range []string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "01-0AF7-x"} {
		a := wholeOperation().Accepted
		a.TraceParent = trace
		got, err := decodeDoc(string(encodeDoc(a)))
		require.NoError(t, err)
		require.Equal(t, a, got)
	}
}

// FuzzDecodePage: a record that cannot be read is an error and nothing else.
func FuzzDecodePage(f *testing.F) {
	f.Add(encodePage(wholeOperation()))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := decodePage(b)
		if err != nil {
			return
		}
		_, err = decodePage(encodePage(rec.Operation))
		require.NoError(t, err)
	})
}

func wholeOperation() operation.Operation {
	of := uuid.Must(uuid.NewV7())
	seq := time.Date(2026, 11, 24, 12, 0, 0, 123_000, time.UTC)
	id := uuid.Must(uuid.NewV7())
	row := func(n int, status operation.AttemptStatus) operation.Attempt {
		return operation.Attempt{
			ID: uuid.Must(uuid.NewV7()), OperationID: id, Status: status,
			StartedAt: seq.Add(time.Duration(n) * time.Second), EndedAt: seq.Add(time.Duration(n)*time.Second + 180*time.Millisecond),
			StatusCode: 200, Header: map[string]string{"X-Request-Id": strconv.Itoa(n)},
		}
	}
	failed := row(1, operation.AttemptFailed)
	failed.ErrorType, failed.Detail, failed.StatusCode, failed.Unknown = operation.ErrorNetwork, "lost", 0, true
	done := row(2, operation.AttemptSucceeded)
	done.TraceID = "0af7651916cd43dd8448eb211c80319c"
	done.Unapplied = []operation.Field{operation.FieldNotes}
	return operation.Operation{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: id, PartnerID: uuid.New(), ConnectionID: uuid.New(), FleetRef: "f", Provider: "samsara",
			Resource: operation.ResourceUser, ResourceID: uuid.New(), SourceID: "7", Type: operation.Update,
			Changes: operation.Changes{
				operation.FieldFirstName: operation.Text("Ada"), operation.FieldIsActive: operation.Flag(false), operation.FieldNotes: operation.Null(),
			},
			MaxAttempts: 3, RetryOf: &of, Origin: &of, Sync: true, Key: &operation.Key{Scope: "s", Fingerprint: "f"},
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b",
		},
		Place:     operation.Place{Seq: seq.UnixMicro(), Deadline: seq.Add(24 * time.Hour).Truncate(time.Millisecond)},
		UpdatedAt: seq.Add(3 * time.Second), Status: operation.Succeeded, Attempted: 1, Attempts: []operation.Attempt{failed, done},
	}
}
