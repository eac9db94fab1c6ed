package samsara

import (
	_ "embed"
	"encoding/json"
	"errors"

	"writeback/pkg/operation"
)

//go:embed rulesets.json
var rulesetFile []byte

// ruleset is what one ruleset code is at Samsara.
type ruleset struct {
	// Confidence is "strong" where the names line up one to one, else "weak".
	Confidence string `json:"confidence"`
	// Set are the driver's keys to write. The override has always all four members.
	Set map[string]json.RawMessage `json:"set"`
}

// rulesets are the codes that can be written; the others are refused, since
// Samsara publishes no mapping and a wrong ruleset is a wrong log.
type rulesets map[string]ruleset

// loadRulesets reads the embedded table. A table that cannot be read refuses
// every code; a test guards it.
func loadRulesets() rulesets {
	r := rulesets{}
	if err := json.Unmarshal(rulesetFile, &r); err != nil {
		return rulesets{}
	}
	return r
}

func (r rulesets) convert(v operation.Value) (any, error) {
	if _, ok := r[v.Text()]; !ok {
		return nil, errors.New("this ruleset cannot be written to Samsara")
	}
	return v.Text(), nil
}

func (r rulesets) copyTo(patch map[string]any, code string) {
	for key, value := range r[code].Set {
		patch[key] = value
	}
}
