package operation

// Field names one field of a unified user, as the contract spells it.
type Field string

// The fields of a user.
const (
	FieldUsername                Field = "username"
	FieldIsActive                Field = "is_active"
	FieldStatus                  Field = "status"
	FieldIsDriver                Field = "is_driver"
	FieldUserDesignation         Field = "user_designation"
	FieldUserEmail               Field = "user_email"
	FieldFirstName               Field = "first_name"
	FieldLastName                Field = "last_name"
	FieldPhoneNumber             Field = "phone_number"
	FieldCountryCode             Field = "country_code"
	FieldLicenseCountry          Field = "license_country"
	FieldLicenseRegion           Field = "license_region"
	FieldLicenseNumber           Field = "license_number"
	FieldLicenseExpiration       Field = "license_expiration"
	FieldEmployeeNumber          Field = "employee_number"
	FieldCarrierNumber           Field = "carrier_number"
	FieldNotes                   Field = "notes"
	FieldHOSRulesetCode          Field = "hos_ruleset_code"
	FieldAllowYardMove           Field = "allow_yard_move"
	FieldAllowPersonalConveyance Field = "allow_personal_conveyance"
	FieldAllowAdverseDriving     Field = "allow_adverse_driving"
	FieldDefaultTimeZone         Field = "default_time_zone"
	FieldDOTID                   Field = "dot_id"
	FieldPhoneCountryCode        Field = "phone_country_code"
	FieldHOSComplianceType       Field = "hos_compliance_type"
	FieldHOSTrackingMethod       Field = "hos_tracking_method"
)

// Kind says what a field's value looks like.
type Kind uint8

// The kinds. A KindAlpha3 value matches ^\w{3}$; a KindDate value is a calendar
// day written YYYY-MM-DD; a KindEnum value is one of Spec.Enum.
const (
	KindString Kind = iota
	KindBool
	KindDate
	KindAlpha3
	KindEnum
)

// Spec is the contract of one field. Every field is optional and nullable.
type Spec struct {
	Name Field
	Kind Kind
	// Enum are the allowed values of a KindEnum field.
	Enum []string
	// Parent is the object that holds the field on the wire. Empty: top level.
	Parent string
	// Personal marks data about a person that must not reach logs or traces.
	Personal bool
	// Meaning is one sentence for the API document.
	Meaning string
}

// HOSTracking is the wire object that holds the two hours-of-service settings.
const HOSTracking = "hos_tracking"

// Values of the small enums.
var (
	UserStatuses    = []string{StatusActive, StatusInactive}
	ComplianceTypes = []string{Exempt, NonExempt}
	TrackingMethods = []string{Manual, Automatic}
)

// Members of the small enums.
const (
	StatusActive   = "ACTIVE"
	StatusInactive = "INACTIVE"
	Exempt         = "exempt"
	NonExempt      = "non_exempt"
	Manual         = "manual"
	Automatic      = "automatic"
)

// UserFields is the field table, in the contract's order. It is the one source:
// the request decoder and the OpenAPI document are both driven by it.
var UserFields = []Spec{
	{Name: FieldUsername, Kind: KindString, Personal: true, Meaning: "Login name."},
	{Name: FieldIsActive, Kind: KindBool, Meaning: "Whether the user is currently active."},
	{Name: FieldStatus, Kind: KindEnum, Enum: UserStatuses, Meaning: "Account status; must agree with is_active where both are given."},
	{Name: FieldIsDriver, Kind: KindBool, Meaning: "Driver or office user."},
	{Name: FieldUserDesignation, Kind: KindString, Meaning: "Role or title."},
	{Name: FieldUserEmail, Kind: KindString, Personal: true, Meaning: "E-mail address."},
	{Name: FieldFirstName, Kind: KindString, Personal: true, Meaning: "First name."},
	{Name: FieldLastName, Kind: KindString, Personal: true, Meaning: "Last name."},
	{Name: FieldPhoneNumber, Kind: KindString, Personal: true, Meaning: "Phone number."},
	{Name: FieldCountryCode, Kind: KindAlpha3, Meaning: "Country, ISO 3166-1 alpha-3."},
	{Name: FieldLicenseCountry, Kind: KindAlpha3, Personal: true, Meaning: "Country of the driving licence, ISO 3166-1 alpha-3."},
	{Name: FieldLicenseRegion, Kind: KindString, Personal: true, Meaning: "State or province of the driving licence."},
	{Name: FieldLicenseNumber, Kind: KindString, Personal: true, Meaning: "Driving licence number."},
	{Name: FieldLicenseExpiration, Kind: KindDate, Personal: true, Meaning: "Last day of validity of the driving licence."},
	{Name: FieldEmployeeNumber, Kind: KindString, Personal: true, Meaning: "Number in HR or payroll."},
	{Name: FieldCarrierNumber, Kind: KindString, Meaning: "Carrier number as the provider gives it."},
	{Name: FieldNotes, Kind: KindString, Personal: true, Meaning: "Free text."},
	{Name: FieldHOSRulesetCode, Kind: KindEnum, Enum: RulesetCodes, Meaning: "Hours-of-service ruleset."},
	{Name: FieldAllowYardMove, Kind: KindBool, Meaning: "Whether yard moves are allowed."},
	{Name: FieldAllowPersonalConveyance, Kind: KindBool, Meaning: "Whether personal conveyance is allowed."},
	{Name: FieldAllowAdverseDriving, Kind: KindBool, Meaning: "Whether the adverse driving exception is allowed."},
	{Name: FieldDefaultTimeZone, Kind: KindEnum, Enum: TimeZones, Meaning: "Home time zone, an IANA name."},
	{Name: FieldDOTID, Kind: KindString, Meaning: "DOT identifier of the user or carrier."},
	{Name: FieldPhoneCountryCode, Kind: KindString, Personal: true, Meaning: "Dialling prefix with a plus sign, for example +1."},
	{Name: FieldHOSComplianceType, Kind: KindEnum, Enum: ComplianceTypes, Parent: HOSTracking, Meaning: "Whether the driver is exempt from hours of service."},
	{Name: FieldHOSTrackingMethod, Kind: KindEnum, Enum: TrackingMethods, Parent: HOSTracking, Meaning: "How hours of service are recorded; meaningful for non-exempt drivers."},
}

// SpecOf gives the spec of a field and whether there is one.
func SpecOf(f Field) (Spec, bool) {
	s, ok := specs[f]
	return s, ok
}

var specs = func() map[Field]Spec {
	m := make(map[Field]Spec, len(UserFields))
	for _, s := range UserFields {
		m[s.Name] = s
	}
	return m
}()
