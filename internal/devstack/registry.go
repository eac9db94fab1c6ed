package devstack

import (
	"fmt"
	"maps"
	"net/url"
	"os"

	"go.yaml.in/yaml/v3"

	"writeback/internal/devissuer"
	"writeback/internal/sandbox"
	"writeback/pkg/operation"
)

// The registry file, as package directory reads it.
type (
	registryFile struct {
		Partners []registryPartner `yaml:"partners"`
	}
	registryPartner struct {
		ID          string               `yaml:"id"`
		Name        string               `yaml:"name"`
		Fleets      []registryFleet      `yaml:"fleets"`
		Connections []registryConnection `yaml:"connections"`
	}
	registryFleet struct {
		ID   string `yaml:"id"`
		Ref  string `yaml:"ref"`
		Name string `yaml:"name"`
	}
	registryConnection struct {
		ID          string            `yaml:"id"`
		Provider    string            `yaml:"provider"`
		Fleet       string            `yaml:"fleet"`
		Description string            `yaml:"description"`
		Credentials map[string]string `yaml:"credentials"`
		Settings    map[string]string `yaml:"settings,omitempty"`
		Users       []registryUser    `yaml:"users"`
	}
	registryUser struct {
		ID       string                  `yaml:"id"`
		SourceID string                  `yaml:"source_id"`
		Fields   map[operation.Field]any `yaml:"fields"`
	}
)

// otherConnection is the one connection that is the second partner's.
var otherConnection = sandbox.ConnectionID(9)

// writeRegistry writes the file with the two dev partners. sandboxURL is where
// the providers are.
func writeRegistry(path string, seeds []sandbox.Seed, sandboxURL string) error {
	clients := devissuer.DefaultClients()
	demo := registryPartner{
		ID: clients[0].PartnerID.String(), Name: "Demo Partner",
		Fleets: []registryFleet{{ID: "00000000-0000-7000-8000-0000000000f1", Ref: "northwind", Name: "Northwind Freight"}},
	}
	other := registryPartner{
		ID: clients[1].PartnerID.String(), Name: "Other Partner",
		Fleets: []registryFleet{{ID: "00000000-0000-7000-8000-0000000000f2", Ref: "southwind", Name: "Southwind Freight"}},
	}
	for _, seed := range seeds {
		partner := &demo
		if seed.Connection == otherConnection {
			partner = &other
		}
		partner.Connections = append(partner.Connections, connectionOf(seed, partner.Fleets[0], sandboxURL))
	}
	text, err := yaml.Marshal(registryFile{Partners: []registryPartner{demo, other}})
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

func connectionOf(seed sandbox.Seed, fleet registryFleet, sandboxURL string) registryConnection {
	c := registryConnection{
		ID: seed.Connection, Provider: seed.Provider, Fleet: fleet.Ref,
		Description: fleet.Name + " at " + seed.Provider, Credentials: seed.Credentials, Settings: seed.Settings,
	}
	if u, err := url.Parse(sandboxURL); err == nil && seed.Provider == sandbox.Geotab {
		// Where a kept session came from: on another port it is no longer good.
		c.Credentials = maps.Clone(seed.Credentials)
		c.Credentials["host"] = u.Host
	}
	for _, u := range seed.Users {
		if u.CatenaID != "" {
			c.Users = append(c.Users, userOf(seed.Provider, u))
		}
	}
	return c
}

func userOf(provider string, u sandbox.SeedUser) registryUser {
	username := u.Username
	if provider == sandbox.Geotab {
		username = u.Email // there the login name is the e-mail
	}
	return registryUser{ID: u.CatenaID, SourceID: u.SourceID, Fields: map[operation.Field]any{
		operation.FieldUsername: username, operation.FieldUserEmail: u.Email,
		operation.FieldFirstName: u.FirstName, operation.FieldLastName: u.LastName,
		operation.FieldPhoneCountryCode: "+1", operation.FieldPhoneNumber: u.Phone,
		operation.FieldEmployeeNumber: u.EmployeeNumber, operation.FieldLicenseCountry: "USA",
		operation.FieldLicenseRegion: u.LicenseRegion, operation.FieldLicenseNumber: u.LicenseNumber,
		operation.FieldDefaultTimeZone: u.TimeZone, operation.FieldIsDriver: u.Role == "driver",
		operation.FieldIsActive: true, operation.FieldStatus: operation.StatusActive,
	}}
}
