package sandbox

import (
	"fmt"
	"time"
)

// Seed is one connection with its users, as the dev registry needs it.
type Seed struct {
	// Connection is the connection's id.
	Connection string
	// Digit is that of the dev ids. Zero: the connection has none.
	Digit    int
	Provider string
	// Credentials by the contract's names: access_token, or database, username and
	// password. Empty for the simulator.
	Credentials map[string]string
	// Settings of the connection. Nil: none.
	Settings map[string]string
	Users    []SeedUser
}

// SeedUser is one made-up person.
type SeedUser struct {
	// CatenaID is the user's id in Writeback. Empty from user 100 on.
	CatenaID string
	// SourceID is the provider's id.
	SourceID  string
	FirstName string
	LastName  string
	// Username is the login without a domain.
	Username string
	Email    string
	// Phone has national digits only; the country code is +1.
	Phone          string
	EmployeeNumber string
	LicenseNumber  string
	// LicenseRegion is the two-letter code of a US state.
	LicenseRegion string
	// TimeZone is an IANA name.
	TimeZone string
	// Role is "driver", unless the part says otherwise.
	Role string
}

// SeedTime is when the seeded records were made.
var SeedTime = time.Date(2020, 11, 20, 17, 5, 22, 587_000_000, time.UTC)

// ConnectionID is the dev id of a connection by its digit, 1 to 15.
func ConnectionID(digit int) string {
	return fmt.Sprintf("00000000-0000-7000-8000-0000000000c%x", digit)
}

// UserID is the dev id of user n (0 to 99) of a connection, or "".
func UserID(digit, n int) string {
	if n < 0 || n > 99 {
		return ""
	}
	return fmt.Sprintf("00000000-0000-7000-8000-00000000a%x%02d", digit, n)
}

var (
	firstNames = []string{
		"Dana", "Marcus", "Elena", "Trevor", "Priya", "Luis", "Ingrid", "Caleb", "Naomi", "Viktor",
		"Rosa", "Desmond", "Hana", "Gareth", "Amara", "Joel", "Sofia", "Emmett", "Leila", "Bruno",
	}
	lastNames = []string{
		"Whitfield", "Okafor", "Marchetti", "Lindqvist", "Delgado", "Harlow", "Nakamura", "Brandt", "Osei", "Kowalski", "Ferreira",
	}
	regions = []struct{ state, zone string }{
		{"OH", "America/New_York"}, {"TX", "America/Chicago"}, {"CO", "America/Denver"}, {"WA", "America/Los_Angeles"},
	}
)

// person makes up user n of a connection. 20 first and 11 last names have no
// common factor, so the first 100 differ.
func person(digit, n int) SeedUser {
	first, last := firstNames[n%len(firstNames)], lastNames[n%len(lastNames)]
	region := regions[n%len(regions)]
	login := fmt.Sprintf("%s.%s.%d%02d", lower(first), lower(last), digit, n)
	return SeedUser{
		CatenaID:  UserID(digit, n),
		FirstName: first, LastName: last,
		Username: login, Email: login + "@northwind.example",
		// Measured numbers end in such digits as 559000000002; a phone that does not is told from them.
		Phone:          fmt.Sprintf("%04d%06d", 5550+digit, 418273+n),
		EmployeeNumber: fmt.Sprintf("E%d%04d", digit, n),
		LicenseNumber:  fmt.Sprintf("W%d%06d", digit, 100000+n),
		LicenseRegion:  region.state, TimeZone: region.zone, Role: "driver",
	}
}

func lower(s string) string { return string(s[0]|0x20) + s[1:] }
