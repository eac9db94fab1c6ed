package sandbox

import (
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones must not depend on the host
)

// licenseRegions are the states, territories and provinces that issue licences.
var licenseRegions = strings.Fields(`AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE
NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY AS GU MP PR VI
AB BC MB NB NL NS NT NU ON PE QC SK YT`)

// IsLicenseRegion reports whether it is the code of one that issues licences.
func IsLicenseRegion(s string) bool { return slices.Contains(licenseRegions, s) }

// Zones remembers the IANA names that were found: looking one up reads a file.
type Zones struct{ known sync.Map }

// Valid reports whether it is an IANA name.
func (z *Zones) Valid(name string) bool {
	if name == "" || name == "Local" {
		return false
	}
	if _, ok := z.known.Load(name); ok {
		return true
	}
	if _, err := time.LoadLocation(name); err != nil {
		return false
	}
	z.known.Store(name, true)
	return true
}
