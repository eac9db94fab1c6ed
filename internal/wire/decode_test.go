package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const connection = "00000000-0000-7000-8000-0000000000c1"

// withConnection is a body with a good connection_id and these members.
func withConnection(members string) string {
	return `{"connection_id":"` + connection + `",` + members + `}`
}

func asError(t *testing.T, err error) *operation.Error {
	t.Helper()
	var e *operation.Error
	require.ErrorAs(t, err, &e)
	for _, f := range e.Faults {
		require.Regexp(t, `\b`+f.Type+`\b`, faultTypes(), "the document has all types of faults")
	}
	return e
}

// faultTypes is what the document says of them.
var faultTypes = sync.OnceValue(func() string {
	var doc struct {
		Components struct {
			Schemas struct {
				ValidationErrorDetail struct {
					Properties struct {
						Type struct{ Description string } `json:"error_type"`
					}
				}
			}
		}
	}
	_ = json.Unmarshal(wire.OpenAPI(), &doc) // without it no type is found
	return doc.Components.Schemas.ValidationErrorDetail.Properties.Type.Description
})

func TestDecodeUserUpdate_Accepts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		members string
		want    operation.Changes
	}{
		"text":                 {`"username":"kim"`, operation.Changes{operation.FieldUsername: operation.Text("kim")}},
		"empty text":           {`"notes":""`, operation.Changes{operation.FieldNotes: operation.Text("")}},
		"escapes":              {`"notes":"a\n\u00e9\ud83d\ude00"`, operation.Changes{operation.FieldNotes: operation.Text("a\né😀")}},
		"escaped key":          {`"note\u0073":"a"`, operation.Changes{operation.FieldNotes: operation.Text("a")}},
		"null clears":          {`"notes":null`, operation.Changes{operation.FieldNotes: operation.Null()}},
		"bool":                 {`"is_driver":false`, operation.Changes{operation.FieldIsDriver: operation.Flag(false)}},
		"first date":           {`"license_expiration":"0001-01-01"`, operation.Changes{operation.FieldLicenseExpiration: operation.Text("0001-01-01")}},
		"date":                 {`"license_expiration":"2028-02-29"`, operation.Changes{operation.FieldLicenseExpiration: operation.Text("2028-02-29")}},
		"alpha3":               {`"country_code":"usa"`, operation.Changes{operation.FieldCountryCode: operation.Text("usa")}},
		"alpha3 odd":           {`"country_code":"12_"`, operation.Changes{operation.FieldCountryCode: operation.Text("12_")}},
		"enum":                 {`"default_time_zone":"UTC"`, operation.Changes{operation.FieldDefaultTimeZone: operation.Text("UTC")}},
		"prefix passes":        {`"phone_country_code":"0049"`, operation.Changes{operation.FieldPhoneCountryCode: operation.Text("0049")}},
		"unknown key ignored":  {`"notes":"a","x":{"y":[1e999]}`, operation.Changes{operation.FieldNotes: operation.Text("a")}},
		"active and status":    {`"is_active":true,"status":"ACTIVE"`, operation.Changes{operation.FieldIsActive: operation.Flag(true), operation.FieldStatus: operation.Text("ACTIVE")}},
		"inactive and status":  {`"is_active":false,"status":"INACTIVE"`, operation.Changes{operation.FieldIsActive: operation.Flag(false), operation.FieldStatus: operation.Text("INACTIVE")}},
		"null and status":      {`"is_active":null,"status":"ACTIVE"`, operation.Changes{operation.FieldIsActive: operation.Null(), operation.FieldStatus: operation.Text("ACTIVE")}},
		"nested":               {`"hos_tracking":{"hos_compliance_type":"exempt"}`, operation.Changes{operation.FieldHOSComplianceType: operation.Text("exempt")}},
		"nested unknown":       {`"hos_tracking":{"hos_tracking_method":null,"x":1}`, operation.Changes{operation.FieldHOSTrackingMethod: operation.Null()}},
		"nested null":          {`"hos_tracking":null`, operation.Changes{operation.FieldHOSComplianceType: operation.Null(), operation.FieldHOSTrackingMethod: operation.Null()}},
		"nested empty":         {`"hos_tracking":{},"notes":"a"`, operation.Changes{operation.FieldNotes: operation.Text("a")}},
		"flat":                 {`"hos_tracking_method":"manual"`, operation.Changes{operation.FieldHOSTrackingMethod: operation.Text("manual")}},
		"both agree":           {`"hos_tracking_method":"manual","hos_tracking":{"hos_tracking_method":"manual"}`, operation.Changes{operation.FieldHOSTrackingMethod: operation.Text("manual")}},
		"both, different ones": {`"hos_tracking_method":"manual","hos_tracking":{"hos_compliance_type":"non_exempt"}`, operation.Changes{operation.FieldHOSTrackingMethod: operation.Text("manual"), operation.FieldHOSComplianceType: operation.Text("non_exempt")}},
		"both null":            {`"hos_tracking":null,"hos_compliance_type":null`, operation.Changes{operation.FieldHOSComplianceType: operation.Null(), operation.FieldHOSTrackingMethod: operation.Null()}},
		"32 levels":            {`"notes":"a","x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31), operation.Changes{operation.FieldNotes: operation.Text("a")}},
		"brackets in a string": {`"notes":"` + strings.Repeat("[", 40) + `"`, operation.Changes{operation.FieldNotes: operation.Text(strings.Repeat("[", 40))}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.DecodeUserUpdate([]byte(withConnection(c.members)), wire.DecodeOptions{})
			require.NoError(t, err)
			require.Equal(t, c.want, got.Changes)
			require.Equal(t, uuid.MustParse(connection), got.ConnectionID)
		})
	}
}

func TestDecodeUserUpdate_Faults(t *testing.T) {
	t.Parallel()
	strict := wire.DecodeOptions{Strict: true}
	long := strings.Repeat("é", 101)
	cases := map[string]struct {
		body string
		opt  wire.DecodeOptions
		// want are "path|type|input".
		want []string
	}{
		"no connection":        {`{"notes":"a"}`, wire.DecodeOptions{}, []string{"body.connection_id|missing|"}},
		"nothing at all":       {`{}`, wire.DecodeOptions{}, []string{"body.connection_id|missing|"}},
		"connection null":      {`{"connection_id":null}`, wire.DecodeOptions{}, []string{"body.connection_id|uuid_parsing|null"}},
		"connection number":    {`{"connection_id":7}`, wire.DecodeOptions{}, []string{"body.connection_id|uuid_parsing|7"}},
		"connection bare hex":  {`{"connection_id":"000000000000700080000000000000c1"}`, wire.DecodeOptions{}, []string{"body.connection_id|uuid_parsing|000000000000700080000000000000c1"}},
		"connection braces":    {`{"connection_id":"{` + connection + `}"}`, wire.DecodeOptions{}, []string{"body.connection_id|uuid_parsing|{" + connection + "}"}},
		"bool as text":         {withConnection(`"is_active":"true"`), wire.DecodeOptions{}, []string{"body.is_active|bool_parsing|true"}},
		"bool as number":       {withConnection(`"is_active":1`), wire.DecodeOptions{}, []string{"body.is_active|bool_parsing|1"}},
		"text as number":       {withConnection(`"username":12`), wire.DecodeOptions{}, []string{"body.username|string_type|12"}},
		"text as bool":         {withConnection(`"username":true`), wire.DecodeOptions{}, []string{"body.username|string_type|true"}},
		"text as object":       {withConnection(`"username":{"a":1}`), wire.DecodeOptions{}, []string{`body.username|string_type|{"a":1}`}},
		"date as number":       {withConnection(`"license_expiration":20280101`), wire.DecodeOptions{}, []string{"body.license_expiration|string_type|20280101"}},
		"no such day":          {withConnection(`"license_expiration":"2027-02-29"`), wire.DecodeOptions{}, []string{"body.license_expiration|date_parsing|2027-02-29"}},
		"date with time":       {withConnection(`"license_expiration":"2027-02-01T00:00:00Z"`), wire.DecodeOptions{}, []string{"body.license_expiration|date_parsing|2027-02-01T00:00:00Z"}},
		"year 0":               {withConnection(`"license_expiration":"0000-01-01"`), wire.DecodeOptions{}, []string{"body.license_expiration|date_parsing|0000-01-01"}},
		"short day":            {withConnection(`"license_expiration":"2027-2-1"`), wire.DecodeOptions{}, []string{"body.license_expiration|date_parsing|2027-2-1"}},
		"alpha2":               {withConnection(`"country_code":"US"`), wire.DecodeOptions{}, []string{"body.country_code|string_pattern_mismatch|US"}},
		"alpha4":               {withConnection(`"license_country":"USAX"`), wire.DecodeOptions{}, []string{"body.license_country|string_pattern_mismatch|USAX"}},
		"alpha3 beside":        {withConnection(`"country_code":"A@Z","license_country":"a{0"`), wire.DecodeOptions{}, []string{"body.country_code|string_pattern_mismatch|A@Z", "body.license_country|string_pattern_mismatch|a{0"}},
		"alpha3 beside too":    {withConnection("\"country_code\":\"A[Z\",\"license_country\":\"a`0\""), wire.DecodeOptions{}, []string{"body.country_code|string_pattern_mismatch|A[Z", "body.license_country|string_pattern_mismatch|a`0"}},
		"alpha3 newline":       {withConnection(`"country_code":"USA\n"`), wire.DecodeOptions{}, []string{"body.country_code|string_pattern_mismatch|USA\n"}},
		"alpha3 other script":  {withConnection(`"country_code":"ééé"`), wire.DecodeOptions{}, []string{"body.country_code|string_pattern_mismatch|ééé"}},
		"status":               {withConnection(`"status":"SUSPENDED"`), wire.DecodeOptions{}, []string{"body.status|enum|SUSPENDED"}},
		"enum case":            {withConnection(`"default_time_zone":"utc"`), wire.DecodeOptions{}, []string{"body.default_time_zone|enum|utc"}},
		"nested not an object": {withConnection(`"hos_tracking":"exempt"`), wire.DecodeOptions{}, []string{"body.hos_tracking|object_type|exempt"}},
		"nested list":          {withConnection(`"hos_tracking":[]`), wire.DecodeOptions{}, []string{"body.hos_tracking|object_type|[]"}},
		"nested value":         {withConnection(`"hos_tracking":{"hos_compliance_type":"no"}`), wire.DecodeOptions{}, []string{"body.hos_tracking.hos_compliance_type|enum|no"}},
		"flat value":           {withConnection(`"hos_compliance_type":"no"`), wire.DecodeOptions{}, []string{"body.hos_compliance_type|enum|no"}},
		"spellings differ":     {withConnection(`"hos_compliance_type":"exempt","hos_tracking":{"hos_compliance_type":"non_exempt"}`), wire.DecodeOptions{}, []string{"body.hos_compliance_type|conflict|exempt"}},
		"spelling and null":    {withConnection(`"hos_tracking":null,"hos_tracking_method":"manual"`), wire.DecodeOptions{}, []string{"body.hos_tracking_method|conflict|manual"}},
		"null and spelling":    {withConnection(`"hos_tracking":{"hos_tracking_method":"manual"},"hos_tracking_method":null`), wire.DecodeOptions{}, []string{"body.hos_tracking_method|conflict|null"}},
		"active contradicts":   {withConnection(`"is_active":true,"status":"INACTIVE"`), wire.DecodeOptions{}, []string{"body.status|conflict|INACTIVE"}},
		"status contradicts":   {withConnection(`"status":"ACTIVE","is_active":false`), wire.DecodeOptions{}, []string{"body.status|conflict|ACTIVE"}},
		"input is cut":         {withConnection(`"status":"` + long + `"`), wire.DecodeOptions{}, []string{"body.status|enum|" + strings.Repeat("é", 100)}},
		"all at once": {
			`{"is_active":"x","country_code":"US","status":3,"hos_tracking":{"hos_tracking_method":"x"}}`, wire.DecodeOptions{},
			[]string{
				"body.is_active|bool_parsing|x", "body.country_code|string_pattern_mismatch|US", "body.status|string_type|3",
				"body.hos_tracking.hos_tracking_method|enum|x", "body.connection_id|missing|",
			},
		},
		"strict unknown": {
			withConnection(`"notes":"a","x":1,"hos_tracking":{"y":2,"notes":"b"}`), strict,
			[]string{"body.x|extra_forbidden|1", "body.hos_tracking.y|extra_forbidden|2", "body.hos_tracking.notes|extra_forbidden|b"},
		},
		"strict case":    {withConnection(`"Notes":"a"`), strict, []string{"body.Notes|extra_forbidden|a"}},
		"strict prefix":  {withConnection(`"phone_country_code":"0049"`), strict, []string{"body.phone_country_code|string_pattern_mismatch|0049"}},
		"strict prefix0": {withConnection(`"phone_country_code":"+0"`), strict, []string{"body.phone_country_code|string_pattern_mismatch|+0"}},
		"strict prefixX": {withConnection(`"phone_country_code":"+1:"`), strict, []string{"body.phone_country_code|string_pattern_mismatch|+1:"}},
		"strict prefix/": {withConnection(`"phone_country_code":"+1/"`), strict, []string{"body.phone_country_code|string_pattern_mismatch|+1/"}},
		"strict prefix5": {withConnection(`"phone_country_code":"+12345"`), strict, []string{"body.phone_country_code|string_pattern_mismatch|+12345"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := wire.DecodeUserUpdate([]byte(c.body), c.opt)
			e := asError(t, err)
			require.Equal(t, operation.CodeInvalid, e.Code)
			var got []string
			for _, f := range e.Faults {
				require.NotEmpty(t, f.Message)
				got = append(got, f.Path+"|"+f.Type+"|"+f.Input)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestDecodeUserUpdate_BadRequests(t *testing.T) {
	t.Parallel()
	good := withConnection(`"notes":"a"`)
	cases := map[string]struct{ body, want string }{
		"empty":               {"", "the body is empty"},
		"blank":               {" \n", "the body is empty"},
		"not JSON":            {"hello", "the body is not valid JSON at byte 0"},
		"cut":                 {good[:len(good)-1], "the body is not valid JSON"},
		"single quotes":       {`{'a':1}`, "the body is not valid JSON"},
		"comma at the end":    {`{"a":1,}`, "the body is not valid JSON"},
		"NaN":                 {withConnection(`"x":NaN`), "the body is not valid JSON"},
		"byte order mark":     {"\ufeff" + good, "the body is not valid JSON"},
		"list":                {"[" + good + "]", "the body is not a JSON object"},
		"text":                {`"a"`, "the body is not a JSON object"},
		"null":                {"null", "the body is not a JSON object"},
		"trailing object":     {good + "{}", "there is something after the JSON object"},
		"trailing letters":    {good + " x", "there is something after the JSON object"},
		"twice":               {withConnection(`"notes":"a","notes":"a"`), `an object has the same key twice, "notes", at byte`},
		"twice by escape":     {withConnection(`"notes":"a","note\u0073":"b"`), `an object has the same key twice, "notes", at byte`},
		"twice inside":        {withConnection(`"notes":"a","hos_tracking":{"x":1,"x":1}`), `an object has the same key twice, "x", at byte`},
		"twice in an unknown": {withConnection(`"notes":"a","x":[{"y":1,"y":1}]`), `an object has the same key twice, "y", at byte`},
		"twice and long":      {withConnection(`"` + strings.Repeat("é", 150) + `":1,"` + strings.Repeat("é", 150) + `":2`), `twice, "` + strings.Repeat("é", 100) + `", at`},
		"33 levels":           {withConnection(`"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32)), "the body nests deeper than 32 levels"},
		"very deep":           {strings.Repeat("[", 60_000), "the body nests deeper than 32 levels"},
		"invalid UTF-8":       {withConnection("\"notes\":\"\xff\""), "the body is not valid UTF-8"},
		"half a surrogate":    {withConnection(`"notes":"\ud800"`), `the body is not valid JSON: half of a surrogate pair stands alone in a text at byte`},
		"no field":            {`{"connection_id":"` + connection + `"}`, "no fields to update"},
		"unknown field only":  {withConnection(`"x":1`), `no fields to update; unknown, and ignored: "x"`},
		"three unknown ones":  {withConnection(`"a":1,"b":1,"c":1`), `no fields to update; unknown, and ignored: "a", "b", "c"`},
		"more unknown ones":   {withConnection(`"a":1,"hos_tracking":{"b":1},"c":1,"d":1,"e":1`), `no fields to update; unknown, and ignored: "a", "hos_tracking.b", "c" and others`},
		"empty nested only":   {withConnection(`"hos_tracking":{}`), "no fields to update"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := wire.DecodeUserUpdate([]byte(c.body), wire.DecodeOptions{})
			e := asError(t, err)
			require.Equal(t, operation.CodeBadRequest, e.Code)
			require.Contains(t, e.Message, c.want)
			require.Equal(t, strings.Contains(c.want, "others"), strings.Contains(e.Message, "others"))
			require.Empty(t, e.Faults)
		})
	}
}

func TestDecodeUserUpdate_StrictTakesWhatIsRight(t *testing.T) {
	t.Parallel()
	body := withConnection(`"phone_country_code":"+44","hos_tracking":{"hos_tracking_method":"manual"}`)
	got, err := wire.DecodeUserUpdate([]byte(body), wire.DecodeOptions{Strict: true})
	require.NoError(t, err)
	require.Equal(t, operation.Text("+44"), got.Changes[operation.FieldPhoneCountryCode])
}

func TestDecodeUserUpdate_UnknownKeysDoNotMultiply(t *testing.T) {
	t.Parallel()
	var members []string
	for i := range 500 {
		members = append(members, fmt.Sprintf(`"x%d":0`, i))
	}
	_, err := wire.DecodeUserUpdate([]byte(withConnection(strings.Join(members, ","))), wire.DecodeOptions{Strict: true})
	require.Len(t, asError(t, err).Faults, 100)
}

func TestDecodeUserUpdate_TakesEveryFieldOfTheTable(t *testing.T) {
	t.Parallel()
	for _, spec := range operation.UserFields {
		for _, value := range append(spec.Enum, "USA", "2026-01-31") {
			body := fmt.Sprintf(`{"connection_id":%q,%q:%q}`, connection, spec.Name, value)
			if spec.Kind == operation.KindBool {
				body = fmt.Sprintf(`{"connection_id":%q,%q:true}`, connection, spec.Name)
			}
			got, err := wire.DecodeUserUpdate([]byte(body), wire.DecodeOptions{})
			if err != nil {
				var e *operation.Error
				require.True(t, errors.As(err, &e) && len(e.Faults) == 1 && e.Faults[0].Path == "body."+string(spec.Name), body)
				continue
			}
			require.Len(t, got.Changes, 1)
			require.True(t, got.Changes.Has(spec.Name))
		}
	}
}

var benchBody = []byte(withConnection(`"first_name":"Kim","last_name":"Example","user_email":"kim@example.com","phone_number":"5550100",
	"is_active":true,"status":"ACTIVE","license_expiration":"2028-01-31","hos_ruleset_code":"US_INT_PROP_70_8",
	"default_time_zone":"America/Chicago","hos_tracking":{"hos_compliance_type":"non_exempt","hos_tracking_method":"automatic"}`))

func BenchmarkDecodeUserUpdate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeUserUpdate(benchBody, wire.DecodeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecodeUserUpdate(f *testing.F) {
	for _, seed := range []string{
		string(benchBody), "", "{}", "null", "[[[[", `{"connection_id":"` + connection + `"}`, withConnection(`"notes":"\ud800"`),
		withConnection(`"hos_tracking":null,"hos_tracking_method":"manual"`), withConnection(`"x":{"y":[1e999]},"notes":""`),
		withConnection(`"notes":"a","notes":"b"`), withConnection(`"status":"ACTIVE","is_active":false`), "\"\\",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, strict bool) {
		got, err := wire.DecodeUserUpdate(body, wire.DecodeOptions{Strict: strict})
		if err != nil {
			e := asError(t, err)
			require.Contains(t, []operation.Code{operation.CodeBadRequest, operation.CodeInvalid}, e.Code)
			require.Equal(t, e.Code == operation.CodeInvalid, len(e.Faults) > 0)
			return
		}
		// What was taken and shown again is the same write.
		payload := wire.Payload(got.Changes)
		again, err := wire.DecodeUserUpdate([]byte(withConnection(strings.TrimPrefix(string(payload), "{")[:len(payload)-2])), wire.DecodeOptions{})
		require.NoError(t, err)
		require.Equal(t, got.Changes, again.Changes)
	})
}
