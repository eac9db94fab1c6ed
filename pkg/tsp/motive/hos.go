package motive

import (
	_ "embed" // the ruleset table
	"encoding/json"
	"errors"

	"writeback/pkg/operation"
)

//go:embed rulesets.json
var rulesetTable []byte

// ruleset is Motive's counterpart of a contract ruleset: the first cycle with
// every exception that belongs to it, so that no old exception stays on.
type ruleset struct {
	Value rulesetValue `json:"value"`
	// Weak marks a counterpart that is likely but not certain.
	Weak bool `json:"weak"`
}

type rulesetValue struct {
	Cycle           string `json:"cycle"`
	Restart24Hour   bool   `json:"exception_24_hour_restart"`
	Break8Hour      bool   `json:"exception_8_hour_break"`
	WaitTime        bool   `json:"exception_wait_time"`
	ShortHaul       bool   `json:"exception_short_haul"`
	CAFarmSchoolBus bool   `json:"exception_ca_farm_school_bus"`
}

// exceptionKeys go with keyCycle. The adverse driving exception is a field of its
// own and stays as it is.
var exceptionKeys = []string{
	"exception_24_hour_restart", "exception_8_hour_break", "exception_wait_time",
	"exception_short_haul", "exception_ca_farm_school_bus",
}

func (r ruleset) keys() map[string]any {
	return map[string]any{
		keyCycle:                       r.Value.Cycle,
		"exception_24_hour_restart":    r.Value.Restart24Hour,
		"exception_8_hour_break":       r.Value.Break8Hour,
		"exception_wait_time":          r.Value.WaitTime,
		"exception_short_haul":         r.Value.ShortHaul,
		"exception_ca_farm_school_bus": r.Value.CAFarmSchoolBus,
	}
}

// loadRulesets reads the embedded table; a damaged one refuses every ruleset.
func loadRulesets() map[string]ruleset {
	var table map[string]ruleset
	if json.Unmarshal(rulesetTable, &table) != nil {
		return nil
	}
	return table
}

// codesOf turns the table around. Each value is that of one ruleset.
func codesOf(table map[string]ruleset) map[rulesetValue]string {
	codes := make(map[rulesetValue]string, len(table))
	for code, rules := range table {
		codes[rules.Value] = code
	}
	return codes
}

// rulesetOf is the ruleset that a user has, and whether all of its keys are shown. Empty:
// they are those of none.
func (p *Provider) rulesetOf(user map[string]any) (string, bool) {
	v := rulesetValue{Cycle: text(user, keyCycle)}
	for key, into := range map[string]*bool{
		"exception_24_hour_restart": &v.Restart24Hour, "exception_8_hour_break": &v.Break8Hour,
		"exception_wait_time": &v.WaitTime, "exception_short_haul": &v.ShortHaul,
		"exception_ca_farm_school_bus": &v.CAFarmSchoolBus,
	} {
		shown := false
		if *into, shown = user[key].(bool); !shown {
			return "", false
		}
	}
	return p.codes[v], v.Cycle != ""
}

func (p *Provider) ruleset(code string, settings map[string]string) (ruleset, error) {
	rules, ok := p.rulesets[code]
	switch {
	case !ok:
		return ruleset{}, errors.New("the provider has no such ruleset")
	case rules.Weak && settings["weak_rulesets"] != "true":
		return ruleset{}, errors.New("the provider's counterpart is not certain; the connection's setting weak_rulesets allows it")
	}
	return rules, nil
}

func (p *Provider) rulesetBy(settings map[string]string) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) { return p.ruleset(v.Text(), settings) }
}

func isHOS(f operation.Field) bool {
	return f == operation.FieldHOSComplianceType || f == operation.FieldHOSTrackingMethod
}

// ELD and time tracking modes. Motive refuses every pair but logs or none with
// logs, and exempt with timecards or not_required; so both are always sent.
const (
	modeLogs        = "logs"
	modeNone        = "none"
	modeExempt      = "exempt"
	modeTimecards   = "timecards"
	modeNotRequired = "not_required"
)

// hosModes is the wish for the pair of modes.
type hosModes struct {
	// wanted is false if neither field is to be written, or one is refused.
	wanted             bool
	fields             []operation.Field
	compliance, method string
	timecards          bool
}

func newHOSModes(changes operation.Changes, settings map[string]string) hosModes {
	h := hosModes{timecards: settings["exempt_time_tracking"] == modeTimecards}
	for _, f := range changes.Fields() {
		if !isHOS(f) {
			continue
		}
		if changes[f].IsNull() {
			return hosModes{}
		}
		h.fields = append(h.fields, f)
	}
	h.wanted = len(h.fields) > 0
	h.compliance = changes[operation.FieldHOSComplianceType].Text()
	h.method = changes[operation.FieldHOSTrackingMethod].Text()
	return h
}

// needsUser reports whether the pair depends on the modes that the user has now.
func (h hosModes) needsUser() bool {
	switch {
	case !h.wanted:
		return false
	case h.compliance == operation.Exempt:
		return !h.timecards
	default:
		return h.compliance == "" || h.method == ""
	}
}

// resolve gives the pair to send, by the modes that the user has now ("" where
// not read or not shown).
func (h hosModes) resolve(eldNow, trackingNow string) (eld, tracking string, err error) {
	switch {
	case h.compliance == operation.Exempt && (h.timecards || trackingNow == modeTimecards):
		return modeExempt, modeTimecards, nil
	case h.compliance == operation.Exempt:
		return modeExempt, modeNotRequired, nil
	case h.compliance == "" && eldNow == modeExempt:
		return "", "", errors.New("the driver is exempt now; give hos_compliance_type non_exempt with it")
	case h.method == operation.Manual, h.method == "" && eldNow == modeNone:
		return modeNone, modeLogs, nil
	default:
		return modeLogs, modeLogs, nil
	}
}
