package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/internal/appendjson"
	"writeback/pkg/operation"
)

// AppendJSON appends the value as JSON on one line, without the escapes meant for HTML
// pages: the bytes that encoding/json gives. Views of operations, and pages of them, are
// written field by field, since they are what the API answers most, and objects into one
// buffer: encoding/json would read again, at each level, all that is below. The error is that
// of encoding/json, and leaves b as it was.
func AppendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case ResourceOperation:
		if v.DryRun == nil {
			return v.append(b), nil
		}
	case ResourceOperationRead:
		return v.append(b), nil
	case Page[ResourceOperationRead]:
		return appendPage(b, v), nil
	case object:
		return v.append(b), nil
	case []object:
		return appendjson.List(b, v, func(b []byte, o *object) []byte { return o.append(b) }), nil
	}
	out := bytes.NewBuffer(b)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return b, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func (v *ResourceOperation) append(b []byte) []byte {
	b = idMember(b, `{"partner_id":`, v.PartnerID)
	b = idMember(b, `,"connection_id":`, v.ConnectionID)
	b = textMember(b, `,"resource":`, v.Resource)
	b = textMember(b, `,"operation_type":`, string(v.OperationType))
	b = append(append(b, `,"payload":`...), v.Payload...)
	b = idMember(b, `,"id":`, v.ID)
	b = timeMember(b, `,"created_at":`, &v.CreatedAt)
	b = timeMember(b, `,"updated_at":`, &v.UpdatedAt)
	b = timeMember(b, `,"deleted_at":`, v.DeletedAt)
	b = orNull(b, `,"resource_id":`, v.ResourceID, appendjson.ID)
	b = orNull(b, `,"source_id":`, v.SourceID, appendjson.PlainText)
	b = textMember(b, `,"status":`, string(v.Status))
	return append(appendLogs(b, v.Logs), '}')
}

func (v *ResourceOperationRead) append(b []byte) []byte {
	b = idMember(b, `{"id":`, v.ID)
	b = timeMember(b, `,"created_at":`, &v.CreatedAt)
	b = timeMember(b, `,"updated_at":`, &v.UpdatedAt)
	b = idMember(b, `,"partner_id":`, v.PartnerID)
	b = idMember(b, `,"connection_id":`, v.ConnectionID)
	b = orNull(b, `,"fleet_ref":`, v.FleetRef, appendjson.PlainText)
	b = textMember(b, `,"source_name":`, v.SourceName)
	b = textMember(b, `,"resource":`, v.Resource)
	b = orNull(b, `,"resource_id":`, v.ResourceID, appendjson.ID)
	b = orNull(b, `,"source_id":`, v.SourceID, appendjson.PlainText)
	b = textMember(b, `,"operation_type":`, string(v.OperationType))
	b = textMember(b, `,"status":`, string(v.Status))
	b = append(append(b, `,"payload":`...), v.Payload...)
	b = appendLogs(b, v.Logs)
	if w := v.Waiting; w != nil {
		b = textMember(b, `,"waiting":{"reason":`, string(w.Reason))
		if w.Behind != nil {
			b = idMember(b, `,"behind":`, *w.Behind)
		}
		if w.Until != nil {
			b = timeMember(b, `,"until":`, w.Until)
		}
		b = append(b, '}')
	}
	if v.Attempt != nil {
		b = numberMember(b, `,"attempt":`, *v.Attempt)
	}
	if v.MaxAttempts != nil {
		b = numberMember(b, `,"max_attempts":`, *v.MaxAttempts)
	}
	if v.NextAttemptAt != nil {
		b = timeMember(b, `,"next_attempt_at":`, v.NextAttemptAt)
	}
	if v.ExpiresAt != nil {
		b = timeMember(b, `,"expires_at":`, v.ExpiresAt)
	}
	if v.CancelRequested {
		b = append(b, `,"cancel_requested":true`...)
	}
	if v.RetryOf != nil {
		b = idMember(b, `,"retry_of":`, *v.RetryOf)
	}
	return append(b, '}')
}

func appendLogs(b []byte, logs []Log) []byte {
	return appendjson.List(append(b, `,"logs":`...), logs, appendLog)
}

func appendLog(b []byte, l *Log) []byte {
	b = idMember(b, `{"id":`, l.ID)
	b = timeMember(b, `,"created_at":`, &l.CreatedAt)
	b = timeMember(b, `,"updated_at":`, &l.UpdatedAt)
	b = idMember(b, `,"resource_operation_id":`, l.ResourceOperationID)
	b = textMember(b, `,"status":`, string(l.Status))
	b = orNull(b, `,"error_type":`, l.ErrorType, appendjson.PlainText)
	b = orNull(b, `,"error_details":`, l.ErrorDetails, appendjson.PlainText)
	b = orNull(b, `,"response_status_code":`, l.ResponseStatusCode, appendNumber)
	b = append(b, `,"response_headers":`...)
	b = appendjson.Map(b, l.ResponseHeaders, appendjson.PlainText, appendjson.PlainText)
	if len(l.UnappliedFields) > 0 {
		b = append(b, `,"unapplied_fields":`...)
		b = appendjson.List(b, l.UnappliedFields, func(b []byte, f *operation.Field) []byte { return appendjson.PlainText(b, *f) })
	}
	if l.TraceID != "" {
		b = textMember(b, `,"trace_id":`, l.TraceID)
	}
	return append(b, '}')
}

func appendPage(b []byte, p Page[ResourceOperationRead]) []byte {
	b = append(b, `{"items":`...)
	b = appendjson.List(b, p.Items, func(b []byte, v *ResourceOperationRead) []byte { return v.append(b) })
	b = orNull(b, `,"current_page":`, p.CurrentPage, appendjson.PlainText)
	b = orNull(b, `,"current_page_backwards":`, p.CurrentPageBackwards, appendjson.PlainText)
	b = orNull(b, `,"previous_page":`, p.PreviousPage, appendjson.PlainText)
	b = orNull(b, `,"next_page":`, p.NextPage, appendjson.PlainText)
	return append(b, '}')
}

func idMember(b []byte, name string, id uuid.UUID) []byte {
	return appendjson.ID(append(b, name...), id)
}

func textMember(b []byte, name, text string) []byte {
	return appendjson.PlainText(append(b, name...), text)
}

func numberMember(b []byte, name string, n int) []byte { return appendNumber(append(b, name...), n) }

func timeMember(b []byte, name string, t *time.Time) []byte { return orNull(b, name, t, appendTime) }

func orNull[T any](b []byte, name string, v *T, add func([]byte, T) []byte) []byte {
	if b = append(b, name...); v == nil {
		return append(b, "null"...)
	}
	return add(b, *v)
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendNumber(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }
