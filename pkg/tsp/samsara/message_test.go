package samsara

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

func FuzzErrorBody(f *testing.F) {
	for _, seed := range []string{
		`{"message":"An error has occurred.","requestId":"8916e1c1"}`, `{"message":5}`, `{"message":"\ud800"}`,
		"rpc error: code = InvalidArgument desc = bad id", "", "null", "[]", `{"message":"` + "\xff" + `"}`,
	} {
		f.Add([]byte(seed), 400)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		failure := httpcall.Answer{Status: status, Body: body}.Classify("samsara: patch driver", message(body))
		if !failure.Type.Valid() {
			t.Errorf("type %q is not published", failure.Type)
		}
		if !utf8.ValidString(failure.Detail) || len(failure.Detail) > 400 {
			t.Errorf("detail is not fit for a log: %q", failure.Detail)
		}
	})
}

func TestMessage(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"message":"no","requestId":"r1"}`: "no (request r1)",
		`{"message":"no"}`:                  "no",
		`{"requestId":"r1"}`:                "",
		`<html>down</html>`:                 "",
		``:                                  "",
	} {
		if got := message([]byte(body)); got != want {
			t.Errorf("message of %s: got %q, want %q", body, got, want)
		}
	}
}

func FuzzDriver(f *testing.F) {
	for _, seed := range []string{
		`{"id":"1","name":"Ann Lee","phone":"+1 555","carrierSettings":{"dotNumber":7},"usDriverRulesetOverride":{"cycle":"x"}}`,
		`{"name":" ","phone":"+1 ","carrierSettings":{"dotNumber":"7"},"usDriverRulesetOverride":null}`, `{"phone":"+1  "}`, `null`,
	} {
		f.Add([]byte(seed))
	}
	p := New(nil, Config{})
	f.Fuzz(func(t *testing.T, body []byte) {
		var d driver
		if json.Unmarshal(body, &d) != nil {
			return
		}
		fields := p.fields(d, map[string]string{"employee_external_id": "k", "write_locale": "true", "weak_rulesets": "true"})
		for name, v := range fields {
			spec, ok := operation.SpecOf(name)
			if !ok || !v.IsNull() && spec.Kind != operation.KindBool && v.Text() == "" {
				t.Errorf("%s: %v is no value of a field", name, v.Any())
			}
		}
	})
}
