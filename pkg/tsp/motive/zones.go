package motive

// zones are Motive's Rails names of the contract's time zones. Zones that only
// share an offset with one of them today are left out: they would drift.
var zones = map[string]string{
	"America/Halifax":                "Atlantic Time (Canada)",
	"America/Moncton":                "Atlantic Time (Canada)",
	"America/Glace_Bay":              "Atlantic Time (Canada)",
	"America/Goose_Bay":              "Atlantic Time (Canada)",
	"America/New_York":               "Eastern Time (US & Canada)",
	"America/Toronto":                "Eastern Time (US & Canada)",
	"America/Detroit":                "Eastern Time (US & Canada)",
	"America/Nipigon":                "Eastern Time (US & Canada)",
	"America/Thunder_Bay":            "Eastern Time (US & Canada)",
	"America/Iqaluit":                "Eastern Time (US & Canada)",
	"America/Pangnirtung":            "Eastern Time (US & Canada)",
	"America/Kentucky/Louisville":    "Eastern Time (US & Canada)",
	"America/Kentucky/Monticello":    "Eastern Time (US & Canada)",
	"America/Indiana/Indianapolis":   "Indiana (East)",
	"America/Indiana/Marengo":        "Indiana (East)",
	"America/Indiana/Petersburg":     "Indiana (East)",
	"America/Indiana/Vevay":          "Indiana (East)",
	"America/Indiana/Vincennes":      "Indiana (East)",
	"America/Indiana/Winamac":        "Indiana (East)",
	"America/Chicago":                "Central Time (US & Canada)",
	"America/Winnipeg":               "Central Time (US & Canada)",
	"America/Menominee":              "Central Time (US & Canada)",
	"America/Indiana/Knox":           "Central Time (US & Canada)",
	"America/Indiana/Tell_City":      "Central Time (US & Canada)",
	"America/North_Dakota/Beulah":    "Central Time (US & Canada)",
	"America/North_Dakota/Center":    "Central Time (US & Canada)",
	"America/North_Dakota/New_Salem": "Central Time (US & Canada)",
	"America/Rainy_River":            "Central Time (US & Canada)",
	"America/Rankin_Inlet":           "Central Time (US & Canada)",
	"America/Resolute":               "Central Time (US & Canada)",
	"America/Regina":                 "Saskatchewan",
	"America/Swift_Current":          "Saskatchewan",
	"America/Denver":                 "Mountain Time (US & Canada)",
	"America/Edmonton":               "Mountain Time (US & Canada)",
	"America/Boise":                  "Mountain Time (US & Canada)",
	"America/Cambridge_Bay":          "Mountain Time (US & Canada)",
	"America/Inuvik":                 "Mountain Time (US & Canada)",
	"America/Yellowknife":            "Mountain Time (US & Canada)",
	"America/Phoenix":                "Arizona",
	"America/Los_Angeles":            "Pacific Time (US & Canada)",
	"America/Vancouver":              "Pacific Time (US & Canada)",
	"America/Anchorage":              "Alaska",
	"America/Juneau":                 "Alaska",
	"America/Nome":                   "Alaska",
	"America/Sitka":                  "Alaska",
	"America/Metlakatla":             "Alaska",
}

// extraZones are Rails names that the documented list does not have.
var extraZones = map[string]string{
	"Pacific/Honolulu": "Hawaii",
	"America/St_Johns": "Newfoundland",
}

// ianaZones are the zones that Motive's names stand for; others of ours become the
// same name.
var ianaZones = map[string]string{
	"Atlantic Time (Canada)":      "America/Halifax",
	"Eastern Time (US & Canada)":  "America/New_York",
	"Indiana (East)":              "America/Indiana/Indianapolis",
	"Central Time (US & Canada)":  "America/Chicago",
	"Saskatchewan":                "America/Regina",
	"Mountain Time (US & Canada)": "America/Denver",
	"Arizona":                     "America/Phoenix",
	"Pacific Time (US & Canada)":  "America/Los_Angeles",
	"Alaska":                      "America/Juneau",
	"Hawaii":                      "Pacific/Honolulu",
	"Newfoundland":                "America/St_Johns",
}
