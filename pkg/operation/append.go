package operation

import (
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/internal/appendjson"
)

// AppendJSON appends the message as JSON: the bytes that json.Marshal gives. It is
// written field by field, since there is one for every accepted operation. The error is
// that of a time which JSON cannot hold, and leaves b as it was.
func (m *Message) AppendJSON(b []byte) ([]byte, error) {
	w := writer{b: b}
	w.accepted(&m.Accepted)
	w.place(&m.Place)
	return w.end(b)
}

// AppendJSON appends the event as JSON, by the same rules.
func (e *Event) AppendJSON(b []byte) ([]byte, error) {
	w := writer{b: b}
	w.number(`{"v":`, int64(e.Version))
	w.id(`,"event_id":`, e.ID)
	w.text(`,"kind":`, string(e.Kind))
	w.raw(`,"operation":`)
	w.operation(&e.Operation)
	w.someNumber(`,"first_row":`, e.FirstRow)
	w.someTime(`,"next_at":`, e.NextAt)
	w.someTime(`,"blocked":`, e.Blocked)
	return w.end(b)
}

// writer appends members one after the other, each with its name and what is before
// it. Its methods that begin with some leave a member out that has no value.
type writer struct {
	b   []byte
	err error // the first
}

// end closes the object that was begun after before.
func (w *writer) end(before []byte) ([]byte, error) {
	if w.err != nil {
		return before, w.err
	}
	return append(w.b, '}'), nil
}

// operation writes the whole object.
func (w *writer) operation(o *Operation) {
	w.accepted(&o.Accepted)
	w.place(&o.Place)
	w.time(`,"updated_at":`, o.UpdatedAt)
	w.text(`,"status":`, string(o.Status))
	w.attempts(o.Attempts)
	w.number(`,"attempted":`, int64(o.Attempted))
	w.raw("}")
}

// accepted begins an object.
func (w *writer) accepted(a *Accepted) {
	w.number(`{"v":`, int64(a.Version))
	w.id(`,"id":`, a.ID)
	w.id(`,"partner_id":`, a.PartnerID)
	w.id(`,"connection_id":`, a.ConnectionID)
	w.someText(`,"fleet_ref":`, a.FleetRef)
	w.text(`,"provider":`, a.Provider)
	w.text(`,"resource":`, a.Resource)
	w.id(`,"resource_id":`, a.ResourceID)
	w.someText(`,"source_id":`, a.SourceID)
	w.text(`,"type":`, string(a.Type))
	w.raw(`,"changes":`)
	w.b = appendjson.Map(w.b, a.Changes, appendjson.Text, appendValue)
	w.someFlag(`,"sync":`, a.Sync)
	w.someNumber(`,"max_attempts":`, a.MaxAttempts)
	w.someID(`,"retry_of":`, a.RetryOf)
	w.someID(`,"origin":`, a.Origin)
	if a.Key != nil {
		w.text(`,"key":{"scope":`, a.Key.Scope)
		w.text(`,"fingerprint":`, a.Key.Fingerprint)
		w.raw("}")
	}
	w.someText(`,"traceparent":`, a.TraceParent)
	w.someText(`,"tracestate":`, a.TraceState)
}

func (w *writer) place(p *Place) {
	w.number(`,"seq":`, p.Seq)
	w.time(`,"deadline":`, p.Deadline)
}

func (w *writer) attempts(all []Attempt) {
	if all == nil {
		w.raw(`,"attempts":null`)
		return
	}
	w.raw(`,"attempts":[`)
	for i := range all {
		if i > 0 {
			w.raw(",")
		}
		w.attempt(&all[i])
	}
	w.raw("]")
}

// attempt writes the whole object.
func (w *writer) attempt(a *Attempt) {
	w.id(`{"id":`, a.ID)
	w.id(`,"operation_id":`, a.OperationID)
	w.time(`,"started_at":`, a.StartedAt)
	w.time(`,"ended_at":`, a.EndedAt)
	w.text(`,"status":`, string(a.Status))
	w.someText(`,"error_type":`, string(a.ErrorType))
	w.someText(`,"detail":`, a.Detail)
	w.someNumber(`,"status_code":`, a.StatusCode)
	if len(a.Header) > 0 {
		w.raw(`,"header":`)
		w.b = appendjson.Map(w.b, a.Header, appendjson.Text, appendjson.Text)
	}
	w.someFlag(`,"unknown":`, a.Unknown)
	w.unapplied(a.Unapplied)
	w.someText(`,"trace_id":`, a.TraceID)
	w.raw("}")
}

func (w *writer) unapplied(fields []Field) {
	for i, f := range fields {
		before := ","
		if i == 0 {
			before = `,"unapplied":[`
		}
		w.text(before, string(f))
	}
	if len(fields) > 0 {
		w.raw("]")
	}
}

func appendValue(b []byte, v Value) []byte {
	switch v.kind {
	case kindText:
		return appendjson.Text(b, v.text)
	case kindFlag:
		return strconv.AppendBool(b, v.flag)
	default:
		return append(b, "null"...)
	}
}

func (w *writer) raw(text string) { w.b = append(w.b, text...) }

func (w *writer) id(name string, id uuid.UUID) { w.b = appendjson.ID(append(w.b, name...), id) }

func (w *writer) someID(name string, id *uuid.UUID) {
	if id != nil {
		w.id(name, *id)
	}
}

func (w *writer) text(name, text string) { w.b = appendjson.Text(append(w.b, name...), text) }

func (w *writer) someText(name, text string) {
	if text != "" {
		w.text(name, text)
	}
}

func (w *writer) number(name string, n int64) {
	w.b = strconv.AppendInt(append(w.b, name...), n, 10)
}

func (w *writer) someNumber(name string, n int) {
	if n != 0 {
		w.number(name, int64(n))
	}
}

func (w *writer) someFlag(name string, flag bool) {
	if flag {
		w.raw(name)
		w.raw("true")
	}
}

func (w *writer) time(name string, t time.Time) {
	w.raw(name)
	b, err := t.AppendText(append(w.b, '"'))
	if err != nil {
		if w.err == nil {
			w.err = fmt.Errorf("operation: as JSON: %w", err)
		}
		return
	}
	w.b = append(b, '"')
}

func (w *writer) someTime(name string, t time.Time) {
	if !t.IsZero() {
		w.time(name, t)
	}
}
