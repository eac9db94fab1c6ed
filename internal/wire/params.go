package wire

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Bounds of the list parameters.
const (
	DefaultSize = 300
	MaxSize     = 1000
	// MaxValues bounds the values of a repeated parameter.
	MaxValues = 100
	// MaxIdempotencyKey bounds an idempotency key, in characters.
	MaxIdempotencyKey = 255
)

// ParseUUID reads a UUID in its usual form of 36 characters, either case. The
// path is the fault's, for example "path.user_id".
func ParseUUID(path, input string) (uuid.UUID, *operation.Fault) {
	// uuid.Parse would also take braces, a URN and the bare hex.
	if len(input) == 36 {
		if id, err := uuid.Parse(input); err == nil {
			return id, nil
		}
	}
	return uuid.Nil, &operation.Fault{Path: path, Input: clip(input), Message: "must be a UUID", Type: typeUUID}
}

// Invalid is the CodeInvalid error of the faults that are not nil, and nil if
// there are none.
func Invalid(faults ...*operation.Fault) error {
	var all []operation.Fault
	for _, f := range faults {
		if f != nil {
			all = append(all, *f)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return invalid(all)
}

// params reads query parameters and collects their faults.
type params struct {
	q      url.Values
	faults []operation.Fault
}

func (p *params) err() error {
	if len(p.faults) == 0 {
		return nil
	}
	return invalid(p.faults)
}

func (p *params) fault(name, input, message, slug string) {
	p.faults = append(p.faults, operation.Fault{Path: "query." + name, Input: clip(input), Message: message, Type: slug})
}

// one gives a parameter that may be there once.
func (p *params) one(name string) (string, bool) {
	values := p.q[name]
	if len(values) > 1 {
		p.fault(name, strings.Join(values, ","), "may be given once only", "repeated")
		return "", false
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// text gives a filter's text. An empty one would select everything, which is not
// what an empty filter says, so it is a fault.
func (p *params) text(name string) string {
	s, ok := p.one(name)
	if ok && s == "" {
		p.fault(name, s, "must not be empty", "string_too_short")
	}
	return s
}

func (p *params) enum(name string, values []string) string {
	s, ok := p.one(name)
	if ok && !slices.Contains(values, s) {
		p.fault(name, s, "must be "+oneOf(values), typeEnum)
		return ""
	}
	return s
}

func (p *params) bool(name string) *bool {
	s, ok := p.one(name)
	if !ok {
		return nil
	}
	var v bool
	switch strings.ToLower(s) {
	case "true", "1":
		v = true
	case "false", "0":
	default:
		p.fault(name, s, "must be true or false", typeBool)
		return nil
	}
	return &v
}

func (p *params) flag(name string) bool {
	v := p.bool(name)
	return v != nil && *v
}

func (p *params) uuid(name string) uuid.UUID {
	s, ok := p.one(name)
	if !ok {
		return uuid.Nil
	}
	return p.parseUUID(name, s)
}

// parseUUID refuses the nil UUID: as a filter it would select everything.
func (p *params) parseUUID(name, s string) uuid.UUID {
	id, fault := ParseUUID("query."+name, s)
	if fault == nil && id == uuid.Nil {
		p.fault(name, s, "must not be the nil UUID", typeUUID)
	}
	if fault != nil {
		p.faults = append(p.faults, *fault)
	}
	return id
}

func (p *params) many(name string) []string {
	values := p.q[name]
	if len(values) > MaxValues {
		p.fault(name, strconv.Itoa(len(values))+" values", fmt.Sprintf("may be given %d times at most", MaxValues), "too_long")
		return nil
	}
	for _, s := range values {
		if s == "" {
			p.fault(name, s, "must not be empty", "string_too_short")
		}
	}
	return values
}

func (p *params) uuids(name string) []uuid.UUID {
	var out []uuid.UUID
	for _, s := range p.many(name) {
		if s != "" {
			out = append(out, p.parseUUID(name, s))
		}
	}
	return out
}

func (p *params) size() int {
	s, ok := p.one("size")
	if !ok {
		return DefaultSize
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		p.fault("size", s, "must be a whole number", "int_parsing")
	case n < 1:
		p.fault("size", s, "must be at least 1", "greater_than_equal")
	case n > MaxSize:
		p.fault("size", s, fmt.Sprintf("must be at most %d", MaxSize), "less_than_equal")
	}
	return n
}

// time reads an RFC 3339 time, rounded up to the microsecond: both bounds of a
// window select the same whole microseconds as the finer time would.
func (p *params) time(name string) time.Time {
	s, ok := p.one(name)
	if !ok {
		return time.Time{}
	}
	text := strings.ToUpper(s) // RFC 3339 lets T and Z be small
	// A plus sign that was not escaped in the URL arrives as a space.
	if i := len(text) - len(" 00:00"); i > 0 && text[i] == ' ' {
		text = text[:i] + "+" + text[i+1:]
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1970 {
		p.fault(name, s, "must be an RFC 3339 time of 1970 or later with an offset, like 2026-01-31T12:00:00Z", "datetime_parsing")
		return time.Time{}
	}
	return ceilMicro(t)
}

func ceilMicro(t time.Time) time.Time {
	return Stamp(t.Add(time.Microsecond - time.Nanosecond))
}
