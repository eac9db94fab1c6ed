package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	gojson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Bounds of a webhook.
const (
	// MinWebhookSecret and MaxWebhookSecret bound the length of a secret, in characters.
	MinWebhookSecret = 12
	MaxWebhookSecret = 256
	// MaxWebhookURL is the most characters of a URL.
	MaxWebhookURL = 2083
)

// MaskedSecret stands for every secret that is not shown.
const MaskedSecret = "*****"

// WebhookCreate is the body of a new webhook. Empty texts were not given.
type WebhookCreate struct {
	URL, EventName   string
	Filters          WebhookFilters
	Secret, Schedule string
}

// WebhookUpdate is the body of a change. Nil leaves as it is.
type WebhookUpdate struct {
	URL              *string
	Filters          *WebhookFilters
	Secret, Schedule *string
}

// DecodeWebhookCreate reads the body of a new webhook. The error is an
// *operation.Error with every fault of the body; what could be read is given
// with it, so that the address can be judged along. Whether an address may be called
// and an event is ever sent is not looked at here.
func DecodeWebhookCreate(body []byte, opt DecodeOptions) (WebhookCreate, error) {
	d, err := newBody(body)
	if err != nil {
		return WebhookCreate{}, err
	}
	var in WebhookCreate
	if url := d.text("url", true); url != nil {
		in.URL = *url
		d.length("url", in.URL)
	}
	if f := d.filters(); f != nil {
		in.Filters = *f
	}
	if s := d.secret(); s != nil {
		in.Secret = *s
	}
	if name := d.text("event_name", true); name != nil {
		in.EventName = *name
		if !slices.Contains(WebhookEventNames, in.EventName) && !slices.Contains(webhookFamilies, in.EventName) {
			d.faults = append(d.faults, UnsentEvent(in.EventName))
		}
	}
	if s := d.schedule(); s != nil {
		in.Schedule = *s
	}
	d.rest(opt)
	return in, d.err()
}

// DecodeWebhookUpdate reads the body of a change, by the same rules. Null filters
// select all fleets; any other null leaves as it is. What a webhook has and a change cannot
// give is a fault: ignored, it would look like done.
func DecodeWebhookUpdate(body []byte, opt DecodeOptions) (WebhookUpdate, error) {
	d, err := newBody(body)
	if err != nil {
		return WebhookUpdate{}, err
	}
	in := WebhookUpdate{URL: d.text("url", false), Filters: d.filters(), Secret: d.secret(), Schedule: d.schedule()}
	if in.URL != nil {
		d.length("url", *in.URL)
	}
	d.fixed("status", "cannot be changed here; use the webhook's activate or pause")
	d.fixed("event_name", "cannot be changed; create another webhook")
	d.rest(opt)
	if err := d.err(); err != nil {
		return in, err
	}
	if in == (WebhookUpdate{}) {
		return in, badRequest("nothing to update")
	}
	return in, nil
}

// body is a small JSON object that is read field by field.
type body struct {
	fields map[string]jsontext.Value
	known  map[string]bool
	faults []operation.Fault
}

func newBody(text []byte) (*body, error) {
	if err := precheck(text); err != nil {
		return nil, err
	}
	d := &body{known: map[string]bool{}}
	if first := jsontext.Value(text).Kind(); first != jsontext.KindBeginObject {
		if !json.Valid(text) {
			return nil, badRequest("the body is not valid JSON")
		}
		return nil, badRequest("the body is not a JSON object")
	}
	if err := gojson.Unmarshal(text, &d.fields); err != nil {
		return nil, syntaxError(err)
	}
	return d, nil
}

// fixed makes a fault of a field that is there and not null.
func (d *body) fixed(name, why string) {
	if v, given := d.get(name, false); given {
		d.fault(name, inputOf(v), why, "frozen_field")
	}
}

func (d *body) err() error {
	if len(d.faults) == 0 {
		return nil
	}
	return invalid(d.faults)
}

func (d *body) fault(name, input, message, slug string) {
	d.faults = append(d.faults, operation.Fault{Path: "body." + name, Input: input, Message: message, Type: slug})
}

// get gives a field that is there and not null.
func (d *body) get(name string, required bool) (jsontext.Value, bool) {
	d.known[name] = true
	v, ok := d.fields[name]
	switch {
	case !ok && required:
		d.fault(name, "", "is required", typeMissing)
	case ok && v.Kind() != jsontext.KindNull:
		return v, true
	case ok && required:
		d.fault(name, "null", "must be a string", typeString)
	}
	return nil, false
}

// text gives a string; nil for none. A URL or a secret is never repeated in a fault.
func (d *body) text(name string, required bool) *string {
	v, ok := d.get(name, required)
	if !ok {
		return nil
	}
	s, ok := unquote(v)
	if !ok {
		shown := inputOf(v)
		if name == "url" || name == "secret" {
			shown = ""
		}
		d.fault(name, shown, "must be a string", typeString)
		return nil
	}
	return &s
}

func (d *body) length(name, s string) {
	if n := len([]rune(s)); n < 1 || n > MaxWebhookURL {
		d.fault(name, "", fmt.Sprintf("must have 1 to %d characters", MaxWebhookURL), "url_parsing")
	}
}

func (d *body) enum(name, s string, values []string) {
	if !slices.Contains(values, s) {
		d.fault(name, clip(s), "must be "+oneOf(values), typeEnum)
	}
}

func (d *body) secret() *string {
	s := d.text("secret", false)
	if s == nil {
		return nil
	}
	switch n := utf8.RuneCountInString(*s); {
	case *s == MaskedSecret:
		d.fault("secret", "", "is the masked form that reads show; send a new secret, or leave it out", "value_error")
	case n < MinWebhookSecret:
		d.fault("secret", "", fmt.Sprintf("must have at least %d characters", MinWebhookSecret), "string_too_short")
	case n > MaxWebhookSecret:
		d.fault("secret", "", fmt.Sprintf("must have at most %d characters", MaxWebhookSecret), "string_too_long")
	case !standardSecret(*s):
		d.fault("secret", "", "must be base64 with its padding after "+standardPrefix+", as Standard Webhooks has it, or begin otherwise", "value_error")
	}
	return s
}

// standardPrefix begins a secret whose key is base64 in Standard Webhooks.
const standardPrefix = "whsec_"

// standardSecret says that a secret which claims to be a Standard Webhooks one is: from
// any other the receivers' libraries get no key, so they would refuse every delivery.
func standardSecret(s string) bool {
	rest, claims := strings.CutPrefix(s, standardPrefix)
	_, err := base64.StdEncoding.DecodeString(rest)
	return !claims || err == nil
}

func (d *body) schedule() *string {
	s := d.text("schedule", false)
	if s != nil {
		d.enum("schedule", *s, WebhookSchedules)
	}
	return s
}

// filters gives the filters; null is those that select everything, nil that there
// are none in the body. An unknown one is always a fault: left out, it would tell of more
// fleets than were meant.
func (d *body) filters() *WebhookFilters {
	v, ok := d.get("filters", false)
	if !ok {
		if _, there := d.fields["filters"]; there {
			return &WebhookFilters{}
		}
		return nil
	}
	var inner map[string]jsontext.Value
	if v.Kind() != jsontext.KindBeginObject || gojson.Unmarshal(v, &inner) != nil {
		d.fault("filters", inputOf(v), "must be an object or null", "object_type")
		return nil
	}
	d.unknown("filters.", inner, map[string]bool{"fleet_ids": true, "fleet_refs": true})
	out := &WebhookFilters{}
	for i, item := range d.list(inner, "fleet_ids") {
		path := "body.filters.fleet_ids." + strconv.Itoa(i)
		text, ok := unquote(item)
		id, fault := uuid.Nil, &operation.Fault{Path: path, Input: inputOf(item), Message: "must be a UUID", Type: typeUUID}
		if ok {
			id, fault = ParseUUID(path, text)
		}
		if fault != nil {
			d.faults = append(d.faults, *fault)
			continue
		}
		out.FleetIDs = append(out.FleetIDs, id)
	}
	for i, item := range d.list(inner, "fleet_refs") {
		name := "filters.fleet_refs." + strconv.Itoa(i)
		text, ok := unquote(item)
		switch {
		case !ok:
			d.fault(name, inputOf(item), "must be a string", typeString)
		case text == "":
			d.fault(name, "", "must not be empty", "string_too_short")
		default:
			out.FleetRefs = append(out.FleetRefs, text)
		}
	}
	return out
}

func (d *body) list(inner map[string]jsontext.Value, name string) []jsontext.Value {
	v, ok := inner[name]
	if !ok || v.Kind() == jsontext.KindNull {
		return nil
	}
	var items []jsontext.Value
	if v.Kind() != jsontext.KindBeginArray || gojson.Unmarshal(v, &items) != nil {
		d.fault("filters."+name, inputOf(v), "must be a list or null", "list_type")
		return nil
	}
	return items
}

// rest makes faults of unknown keys, if the options want that.
func (d *body) rest(opt DecodeOptions) {
	if opt.Strict {
		d.unknown("", d.fields, d.known)
	}
}

// unknown makes faults of the keys that are not known.
func (d *body) unknown(prefix string, fields map[string]jsontext.Value, known map[string]bool) {
	found := 0
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if known[name] {
			continue
		}
		if found++; found <= maxUnknown {
			d.fault(prefix+clip(name), "", "no such field", "extra_forbidden")
		}
	}
}
