package wire

import (
	"time"

	"github.com/google/uuid"
)

// ConnectionRead is a fleet's connection to one provider.
type ConnectionRead struct {
	ID         uuid.UUID  `json:"id"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	FleetID    *uuid.UUID `json:"fleet_id"`
	FleetRef   *string    `json:"fleet_ref"`
	TSPID      uuid.UUID  `json:"tsp_id"`
	SourceName string     `json:"source_name"`
	// Credentials are masked by whoever fills this in. It must not be nil.
	Credentials map[string]any `json:"credentials"`
	// Status is one of ConnectionStatuses.
	Status      string  `json:"status"`
	Description *string `json:"description"`
}

// UserRead is a user as the provider last showed it. Nil fields are null on the
// wire, but for SourceData, which is left out unless it was asked for.
type UserRead struct {
	FleetID                 *uuid.UUID     `json:"fleet_id"`
	FleetRef                *string        `json:"fleet_ref"`
	ID                      uuid.UUID      `json:"id"`
	CreatedAt               time.Time      `json:"created_at"`
	UpdatedAt               time.Time      `json:"updated_at"`
	DeletedAt               *time.Time     `json:"deleted_at"`
	ConnectionID            uuid.UUID      `json:"connection_id"`
	TSPID                   *uuid.UUID     `json:"tsp_id"`
	TSPSlug                 *string        `json:"tsp_slug"`
	SourceName              string         `json:"source_name"`
	SourceData              map[string]any `json:"source_data,omitempty"`
	SourceID                string         `json:"source_id"`
	SourceDataHash          string         `json:"source_data_hash"`
	OccurredAt              *time.Time     `json:"occurred_at"`
	ExecutionID             *uuid.UUID     `json:"execution_id"`
	ScheduleID              *uuid.UUID     `json:"schedule_id"`
	Extras                  map[string]any `json:"extras"`
	Username                *string        `json:"username"`
	StartedAt               *time.Time     `json:"started_at"`
	EndedAt                 *time.Time     `json:"ended_at"`
	IsActive                *bool          `json:"is_active"`
	Status                  *string        `json:"status"`
	IsDriver                *bool          `json:"is_driver"`
	UserDesignation         *string        `json:"user_designation"`
	UserEmail               *string        `json:"user_email"`
	FirstName               *string        `json:"first_name"`
	LastName                *string        `json:"last_name"`
	PhoneNumber             *string        `json:"phone_number"`
	CountryCode             *string        `json:"country_code"`
	LicenseCountry          *string        `json:"license_country"`
	LicenseRegion           *string        `json:"license_region"`
	LicenseNumber           *string        `json:"license_number"`
	LicenseExpiration       *string        `json:"license_expiration"`
	EmployeeNumber          *string        `json:"employee_number"`
	CompanyGroups           map[string]any `json:"company_groups"`
	PrivateUserGroups       map[string]any `json:"private_user_groups"`
	ReportGroups            map[string]any `json:"report_groups"`
	SecurityGroups          map[string]any `json:"security_groups"`
	AuthorityName           *string        `json:"authority_name"`
	AuthorityAddress        *string        `json:"authority_address"`
	CompanyName             *string        `json:"company_name"`
	CompanyAddress          *string        `json:"company_address"`
	CarrierNumber           *string        `json:"carrier_number"`
	LastTSPLogin            *time.Time     `json:"last_tsp_login"`
	Notes                   *string        `json:"notes"`
	HOSRulesetCode          *string        `json:"hos_ruleset_code"`
	AllowYardMove           *bool          `json:"allow_yard_move"`
	AllowPersonalConveyance *bool          `json:"allow_personal_conveyance"`
	AllowAdverseDriving     *bool          `json:"allow_adverse_driving"`
	DefaultTimeZone         *string        `json:"default_time_zone"`
}

// TSPIntegrationsRead says which resources of a provider are supported.
type TSPIntegrationsRead struct {
	TSPID      uuid.UUID `json:"tsp_id"`
	Slug       *string   `json:"slug"`
	SourceName *string   `json:"source_name"`
	// Integrations maps a resource to one of IntegrationStatuses. Not nil.
	Integrations        map[string]string `json:"integrations"`
	ImplementedCount    int               `json:"implemented_count"`
	NotImplementedCount int               `json:"not_implemented_count"`
	NotSupportedCount   int               `json:"not_supported_count"`

	// WriteSupport is ours and not the contract's. Nil: nothing can be written.
	WriteSupport *WriteSupport `json:"write_support,omitempty"`
}
