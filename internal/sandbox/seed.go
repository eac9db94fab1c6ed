package sandbox

import (
	"fmt"
	"time"
)

// Seed is one connection with its users, as the dev registry needs it.
type Seed struct {
	// Connection is the connection's id.
	Connection string
	Provider   string
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
	// Role is "driver", or for two users of Motive "admin" and "fleet_user".
	Role string
}

var seedTime = time.Date(2020, 11, 20, 17, 5, 22, 587_000_000, time.UTC)

// ConnectionID is the dev id of a connection by its digit.
func ConnectionID(digit int) string {
	return fmt.Sprintf("00000000-0000-7000-8000-0000000000c%d", digit)
}

// UserID is the dev id of user n (0 to 99) of a connection, or "".
func UserID(digit, n int) string {
	if n < 0 || n > 99 {
		return ""
	}
	return fmt.Sprintf("00000000-0000-7000-8000-00000000a%d%02d", digit, n)
}

// SamsaraUserID is the driver id of user n of a connection, for example 494105.
func SamsaraUserID(digit, n int) string {
	if n < 100 {
		return fmt.Sprintf("494%d%02d", digit, n)
	}
	return fmt.Sprintf("494%d%06d", digit, n)
}

// MotiveUserID is the user id of user n, for example 800005.
func MotiveUserID(n int) string { return fmt.Sprintf("%d", 800000+n) }

// GeotabUserID is the entity id of user n: "b1" for the first, "b6" for user 5.
func GeotabUserID(n int) string { return fmt.Sprintf("b%X", n+1) }

// SimulatorUserID is the simulator's id of user n, for example "sim-05".
func SimulatorUserID(n int) string { return fmt.Sprintf("sim-%02d", n) }

// Seeds are the dev connections c1 (Samsara), c2 (Motive), c3 (Geotab), c4 (the
// simulator), those of the parts, and c9 (Samsara, of the other partner), with 100
// users each. It is the same in every process.
func Seeds() []Seed { return seeds(DefaultUsers, false, false) }

// OAuthSeeds are the same with Samsara and Motive connections that have OAuth
// credentials: access_token, refresh_token, client_id and client_secret, and at
// Motive redirect_uri. They go with Config.SamsaraOAuth and Config.MotiveOAuth.
func OAuthSeeds() []Seed { return seeds(DefaultUsers, true, true) }

func seeds(users int, samsaraOAuth, motiveOAuth bool) []Seed {
	token := func(t string) map[string]string { return map[string]string{"access_token": t} }
	samsara := func(connection string) map[string]string {
		c := token("sandbox-samsara-" + connection)
		if samsaraOAuth {
			c["refresh_token"] = "sandbox-samsara-refresh-" + connection
			c["client_id"], c["client_secret"] = "sandbox-samsara-app", "sandbox-samsara-secret"
		}
		return c
	}
	motive := token("sandbox-motive-c2")
	if motiveOAuth {
		motive["refresh_token"], motive["redirect_uri"] = "sandbox-motive-refresh-c2", "https://partner.example/motive"
		motive["client_id"], motive["client_secret"] = "sandbox-motive-app", "sandbox-motive-secret"
	}
	list := []struct {
		digit       int
		provider    string
		credentials map[string]string
		sourceID    func(n int) string
	}{
		{1, Samsara, samsara("c1"), func(n int) string { return SamsaraUserID(1, n) }},
		{2, Motive, motive, MotiveUserID},
		{3, Geotab, map[string]string{
			"database": "sandbox_c3", "username": "service@northwind.example", "password": "sandbox-geotab-c3",
		}, GeotabUserID},
		{4, Simulator, map[string]string{}, SimulatorUserID},
		{9, Samsara, samsara("c9"), func(n int) string { return SamsaraUserID(9, n) }},
	}
	out := make([]Seed, 0, len(list)+len(parts()))
	for _, c := range list {
		seed := Seed{Connection: ConnectionID(c.digit), Provider: c.provider, Credentials: c.credentials}
		out = append(out, seed.with(users, c.digit, c.sourceID))
	}
	for _, p := range parts() {
		out = append(out, p.seed().with(users, p.digit, p.sourceID))
	}
	return out
}

// with gives the seed with its users.
func (s Seed) with(users, digit int, sourceID func(n int) string) Seed {
	for n := range users {
		u := person(digit, n)
		u.SourceID = sourceID(n)
		u.Role = role(s.Provider, n)
		s.Users = append(s.Users, u)
	}
	return s
}

// role gives Motive one admin and one fleet user, since its records differ.
func role(provider string, n int) string {
	switch {
	case provider == Motive && n == 98:
		return "admin"
	case provider == Motive && n == 99:
		return "fleet_user"
	default:
		return "driver"
	}
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
		Phone:          fmt.Sprintf("555%d%06d", digit, n),
		EmployeeNumber: fmt.Sprintf("E%d%04d", digit, n),
		LicenseNumber:  fmt.Sprintf("W%d%06d", digit, 100000+n),
		LicenseRegion:  region.state, TimeZone: region.zone,
	}
}

func lower(s string) string { return string(s[0]|0x20) + s[1:] }
