package operation_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // the zones of the machine that runs the test do not count

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// contractValues reads one closed list as the contract states it.
func contractValues(t *testing.T, name string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "enums", name+".json"))
	require.NoError(t, err)
	var list struct{ Values []string }
	require.NoError(t, json.Unmarshal(raw, &list))
	require.NotEmpty(t, list.Values)
	return list.Values
}

func TestEnums_AreTheContracts(t *testing.T) {
	t.Parallel()
	for name, got := range map[string][]string{
		"hos_ruleset_codes":    operation.RulesetCodes,
		"time_zones":           operation.TimeZones,
		"user_statuses":        operation.UserStatuses,
		"hos_compliance_types": operation.ComplianceTypes,
		"hos_tracking_methods": operation.TrackingMethods,
		"operation_statuses":   texts(operation.Pending, operation.Succeeded, operation.Failed),
		"operation_types":      texts(operation.Create, operation.Update),
		"operation_error_types": texts(
			operation.ErrorAuth, operation.ErrorValidation, operation.ErrorNetwork, operation.ErrorTSP),
		"operation_log_statuses": texts(operation.AttemptSucceeded, operation.AttemptFailed),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, contractValues(t, name), got)
			seen := map[string]bool{}
			for _, v := range got {
				require.False(t, seen[v], "%s is there twice", v)
				seen[v] = true
			}
		})
	}
}

func texts[T ~string](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func TestEnums_ValidKnowsItsMembersOnly(t *testing.T) {
	t.Parallel()
	for _, v := range contractValues(t, "operation_statuses") {
		require.True(t, operation.Status(v).Valid(), v)
		require.Equal(t, v != "pending", operation.Status(v).Terminal(), v)
	}
	for _, v := range contractValues(t, "operation_types") {
		require.True(t, operation.Type(v).Valid(), v)
	}
	for _, v := range contractValues(t, "operation_error_types") {
		require.True(t, operation.ErrorType(v).Valid(), v)
	}
	for _, v := range []string{"", "Pending", "running", "cancelled", "succeeded", "delete", "timeout"} {
		require.False(t, operation.Status(v).Valid(), v)
		require.False(t, operation.Status(v).Terminal(), v)
		require.False(t, operation.Type(v).Valid(), v)
		require.False(t, operation.ErrorType(v).Valid(), v)
	}
}

func TestTimeZones_AllLoad(t *testing.T) {
	t.Parallel()
	require.Len(t, operation.TimeZones, 169)
	for _, name := range operation.TimeZones {
		_, err := time.LoadLocation(name)
		require.NoError(t, err)
	}
}

// TestUserFields_AreTheContracts compares the table with the contract's list of
// fields: names, order, types and where they are nested.
func TestUserFields_AreTheContracts(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("testdata", "user_fields.json"))
	require.NoError(t, err)
	var want []struct{ Name, Kind, Enum, Parent string }
	require.NoError(t, json.Unmarshal(raw, &want))
	kinds := map[string]operation.Kind{
		"string": operation.KindString, "bool": operation.KindBool, "date": operation.KindDate,
		"alpha3": operation.KindAlpha3, "enum": operation.KindEnum,
	}
	require.Len(t, operation.UserFields, len(want))
	for i, w := range want {
		got := operation.UserFields[i]
		require.Equal(t, operation.Field(w.Name), got.Name)
		kind, ok := kinds[w.Kind]
		require.True(t, ok, w.Kind)
		require.Equal(t, kind, got.Kind, w.Name)
		require.Equal(t, w.Parent, got.Parent, w.Name)
		require.NotEmpty(t, got.Meaning, w.Name)
		var values []string
		if w.Enum != "" {
			values = contractValues(t, w.Enum)
		}
		require.Equal(t, values, got.Enum, w.Name)
	}
}

// TestUserFields_PersonalDataIsMarked holds the fields that must reach no log.
func TestUserFields_PersonalDataIsMarked(t *testing.T) {
	t.Parallel()
	var personal []operation.Field
	for _, spec := range operation.UserFields {
		if spec.Personal {
			personal = append(personal, spec.Name)
		}
	}
	for _, f := range []operation.Field{
		operation.FieldUsername, operation.FieldUserEmail, operation.FieldFirstName, operation.FieldLastName,
		operation.FieldPhoneNumber, operation.FieldPhoneCountryCode, operation.FieldLicenseCountry,
		operation.FieldLicenseRegion, operation.FieldLicenseNumber, operation.FieldLicenseExpiration,
		operation.FieldEmployeeNumber, operation.FieldNotes,
	} {
		require.True(t, slices.Contains(personal, f), f)
	}
}

func TestSpecOf(t *testing.T) {
	t.Parallel()
	for _, want := range operation.UserFields {
		got, ok := operation.SpecOf(want.Name)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	for _, f := range []operation.Field{"", "Username", "hos_tracking", "connection_id"} {
		got, ok := operation.SpecOf(f)
		require.False(t, ok, f)
		require.Zero(t, got)
	}
}
