package redisstore

import (
	"encoding/hex"
	"strings"

	"github.com/google/uuid"

	"writeback/internal/cborlite"
	"writeback/pkg/operation"
)

// The fixed part of an operation, as the record holds it: a CBOR map with numbers for
// names, since there is one an operation. A number is never used again.
const (
	docVersion     = 1
	docID          = 2
	docPartner     = 3
	docConnection  = 4
	docFleet       = 5
	docProvider    = 6
	docResource    = 7
	docResourceID  = 8
	docSourceID    = 9
	docType        = 10
	docChanges     = 11 // names and values in turn
	docSync        = 12
	docMaxAttempts = 13
	docRetryOf     = 14
	docScope       = 15
	docFingerprint = 16
	docTrace       = 17 // the traceparent in bytes
	docTraceText   = 18 // or as it came, where it has another form
	docTraceState  = 19
	docOrigin      = 20
)

func encodeDoc(a operation.Accepted) []byte { return appendDoc(make([]byte, 0, docRoom), &a, a.Key) }

// docRoom is enough for most.
const docRoom = 512

// appendDoc writes the fixed part, with this key.
func appendDoc(b []byte, a *operation.Accepted, key *operation.Key) []byte {
	f := begin(b)
	f.someNumber(docVersion, a.Version)
	f.bytes(docID, a.ID[:])
	f.bytes(docPartner, a.PartnerID[:])
	f.bytes(docConnection, a.ConnectionID[:])
	f.someText(docFleet, a.FleetRef)
	f.someText(docProvider, a.Provider)
	f.someText(docResource, a.Resource)
	if a.ResourceID != uuid.Nil {
		f.bytes(docResourceID, a.ResourceID[:])
	}
	f.someText(docSourceID, a.SourceID)
	f.someText(docType, string(a.Type))
	f.changes(docChanges, a.Changes)
	f.someFlag(docSync, a.Sync)
	f.someNumber(docMaxAttempts, a.MaxAttempts)
	f.someID(docRetryOf, a.RetryOf)
	if key != nil {
		f.someText(docScope, key.Scope)
		f.someText(docFingerprint, key.Fingerprint)
	}
	if trace := traceBytes(a.TraceParent); trace != nil {
		f.bytes(docTrace, trace)
	} else {
		f.someText(docTraceText, a.TraceParent)
	}
	f.someText(docTraceState, a.TraceState)
	f.someID(docOrigin, a.Origin)
	return f.end()
}

func decodeDoc(s string) (operation.Accepted, error) {
	d := cborlite.NewDecoder(s)
	a, _ := readDoc(&d)
	return a, d.Close()
}

// readDoc reads the fixed part, and gives the bytes of the traceparent too.
func readDoc(d *cborlite.Decoder) (a operation.Accepted, trace string) {
	var scope, fingerprint string
	packed := false
	for name := range d.Fields() {
		switch name {
		case docVersion:
			a.Version = int(d.Int())
		case docID:
			d.Fill(a.ID[:])
		case docPartner:
			d.Fill(a.PartnerID[:])
		case docConnection:
			d.Fill(a.ConnectionID[:])
		case docFleet:
			a.FleetRef = d.Text()
		case docProvider:
			a.Provider = d.Text()
		case docResource:
			a.Resource = d.Text()
		case docResourceID:
			copy(a.ResourceID[:], d.Bytes())
		case docSourceID:
			a.SourceID = d.Text()
		case docType:
			a.Type = operation.Type(d.Text())
		case docChanges:
			a.Changes = readChanges(d)
		case docSync:
			a.Sync = d.Bool()
		case docMaxAttempts:
			a.MaxAttempts = int(d.Int())
		case docRetryOf:
			a.RetryOf = someID(d.Bytes())
		case docScope:
			scope = d.Text()
		case docFingerprint:
			fingerprint = d.Text()
		case docTrace:
			trace, packed = d.Bytes(), true
		case docTraceText:
			a.TraceParent = d.Text()
		case docTraceState:
			a.TraceState = d.Text()
		case docOrigin:
			a.Origin = someID(d.Bytes())
		default:
			d.Skip()
		}
	}
	if a.Changes == nil {
		a.Changes = operation.Changes{}
	}
	if scope != "" {
		a.Key = &operation.Key{Scope: scope, Fingerprint: fingerprint}
	}
	if packed {
		a.TraceParent = traceText([]byte(trace))
	}
	return a, trace
}

func readChanges(d *cborlite.Decoder) operation.Changes {
	n := d.Array()
	changes := make(operation.Changes, min(n/2, len(operation.UserFields)))
	for range n / 2 {
		name := operation.Field(d.Text())
		switch {
		case d.Null():
			changes[name] = operation.Null()
		case d.IsBool():
			changes[name] = operation.Flag(d.Bool())
		default:
			changes[name] = operation.Text(d.Text())
		}
	}
	if n%2 != 0 {
		d.Skip()
	}
	return changes
}

func someID(s string) *uuid.UUID {
	if len(s) != len(uuid.UUID{}) {
		return nil
	}
	id := uuid.UUID([]byte(s))
	return &id
}

// The packed form is version, trace id, span id, flags.
const traceSize, traceTextSize = 26, 55

// traceBytes packs a traceparent (https://www.w3.org/TR/trace-context/); nil if it
// does not have the form of version 00.
func traceBytes(s string) []byte {
	if len(s) != traceTextSize || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.ToLower(s) != s {
		return nil
	}
	b := make([]byte, 0, traceSize)
	for _, part := range [...]string{s[:2], s[3:35], s[36:52], s[53:]} {
		var err error
		if b, err = hex.AppendDecode(b, []byte(part)); err != nil {
			return nil
		}
	}
	return b
}

func traceText(b []byte) string {
	if len(b) != traceSize {
		return ""
	}
	s := hex.AppendEncode(make([]byte, 0, traceTextSize), b[:1])
	s = hex.AppendEncode(append(s, '-'), b[1:17])
	s = hex.AppendEncode(append(s, '-'), b[17:25])
	return string(hex.AppendEncode(append(s, '-'), b[25:]))
}
