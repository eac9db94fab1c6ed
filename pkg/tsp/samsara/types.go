package samsara

import (
	"encoding/json"
	"slices"
	"strings"

	"writeback/pkg/tsp"
)

// named is what tells one driver from another.
type named struct {
	ID          string            `json:"id"`
	ExternalIDs map[string]string `json:"externalIds"`
}

// driver is what we read of a driver. Missing values are absent keys, and unknown
// keys are no fault.
type driver struct {
	named
	Name         string `json:"name"`
	Username     string `json:"username"`
	Email        string `json:"email"`
	Phone        string `json:"phone"`
	Notes        string `json:"notes"`
	License      string `json:"licenseNumber"`
	LicenseState string `json:"licenseState"`
	Timezone     string `json:"timezone"`
	Locale       string `json:"locale"`
	Activation   string `json:"driverActivationStatus"`
	Exempt       *bool  `json:"eldExempt"`
	Conveyance   *bool  `json:"eldPcEnabled"`
	YardMove     *bool  `json:"eldYmEnabled"`
	Adverse      *bool  `json:"eldAdverseWeatherExemptionEnabled"`
	// What a ruleset is made of; compared with the table as it is.
	Ruleset json.RawMessage `json:"usDriverRulesetOverride"`
	BigDay  json.RawMessage `json:"eldBigDayExemptionEnabled"`
	Waiting json.RawMessage `json:"waitingTimeDutyStatusEnabled"`
	// CarrierSettings stays raw, so that members that we do not know survive.
	CarrierSettings map[string]json.RawMessage `json:"carrierSettings"`
	Tags            []struct {
		ID string `json:"id"`
	} `json:"tags"`
}

// is reports whether the driver is the one that a source id names: by its own
// id, or by an external id in the form key:value.
func (d named) is(sourceID string) bool {
	if !tsp.IsSourceID(d.ID) {
		return false
	}
	if d.ID == sourceID {
		return true
	}
	key, value, external := strings.Cut(sourceID, ":")
	return external && value != "" && d.ExternalIDs[key] == value
}

// aliases are the external ids in the form in which a call takes them.
func (d named) aliases() []string {
	out := make([]string, 0, len(d.ExternalIDs))
	for key, value := range d.ExternalIDs {
		if value != "" {
			out = append(out, key+":"+value)
		}
	}
	slices.Sort(out)
	return out
}

// driverAnswer is the envelope of a driver.
type driverAnswer struct {
	Data driver `json:"data"`
}

// listAnswer is the envelope of a page of drivers. They stay raw until they are counted:
// read, an empty one takes a hundred times the memory.
type listAnswer struct {
	Data       []json.RawMessage `json:"data"`
	Pagination *struct {
		EndCursor   string `json:"endCursor"`
		HasNextPage bool   `json:"hasNextPage"`
	} `json:"pagination"`
}

// errorBody is an error of the API. 5xx answers are plain text instead.
type errorBody struct {
	Message   string `json:"message"`
	RequestID string `json:"requestId"`
}

// message gives the text of an error body, or "" for anything else: a page of a
// proxy does not belong in an attempt log.
func message(body []byte) string {
	var e errorBody
	if json.Unmarshal(body, &e) != nil || e.Message == "" {
		return ""
	}
	if e.RequestID != "" {
		return e.Message + " (request " + e.RequestID + ")"
	}
	return e.Message
}
