package httpcall_test

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

func TestHide(t *testing.T) {
	t.Parallel()
	h := httpcall.Hide(tsp.Credentials{"access_token": "planted-token", "short": "abc", "shortest": "wxyz"}, operation.Changes{
		operation.FieldUserEmail:   operation.Text("Ann@Example.com"),
		operation.FieldUsername:    operation.Text("ann@example.com.au"),
		operation.FieldPhoneNumber: operation.Text("+1 (555) 010-0144"),
		operation.FieldFirstName:   operation.Null(),
		operation.FieldDOTID:       operation.Text("77123"),
	}, "5550100144", "generated")
	for text, want := range map[string]string{
		"no Ann@Example.com":          "no [hidden]",
		"no ann@example.com":          "no [hidden]",
		"no aNN@eXAMPLE.cOM":          "no [hidden]",
		"not wxyz":                    "not [hidden]",
		"no ann@example.com.au":       "no [hidden]", // the longer value first
		"call 15550100144":            "call [hidden]",
		"call +1 (555) 010-0144":      "call [hidden]",
		"call 5550100144":             "call [hidden]",
		"planted-token and generated": "[hidden] and [hidden]",
		"abc, 77123":                  "abc, 77123", // too short, and about nobody
		"":                            "",
	} {
		require.Equal(t, want, h.In(text))
	}
	h = httpcall.Hide(tsp.Credentials{"password": `p<l+a n/t"é`, "account": "Ämter & Co"}, nil)
	for _, text := range []string{
		`p<l+a n/t"é`, "p%3Cl%2Ba+n%2Ft%22%C3%A9", "p%3cl%2ba+n%2ft%22%c3%a9", "p%3Cl%2Ba%20n%2Ft%22%C3%A9", `p\u003cl+a n/t\"é`, `p<l+a n/t\"é`,
		"ÄMTER & CO", "ämter & co", "p<l+\x00a n\xff/\u200bt\"é",
	} {
		require.Equal(t, "GET [hidden]!", h.In("GET "+text+"!"), text)
	}
	require.Equal(t, "as it is", httpcall.Hidden(nil).In("as it is"))
	require.Equal(t, "as it is", httpcall.Hide(nil, nil).In("as it is"))
}

// A provider may send a whole page of what looks like phone numbers.
func TestMask_OfALongTextTakesNoTime(t *testing.T) {
	t.Parallel()
	for name, mask := range map[string]func(string) string{"mask": httpcall.Mask, "short": httpcall.Short} {
		done := make(chan string, 1)
		go func() { done <- mask(strings.Repeat("1234567,", 1<<14) + " end") }()
		select {
		case got := <-done:
			require.NotContains(t, got, "1234567", name)
		case <-time.After(time.Minute): // it takes a tenth of a second
			t.Fatalf("%s takes minutes", name)
		}
	}
	long := httpcall.Short(strings.Repeat("word ", 1<<12) + "end")
	require.Len(t, long, 300)
	// Blanks are folded, so that what stands where a long text is cut off is seen.
	for _, cut := range []string{"ann.lee@example.com", "planted-token"} {
		for at := range len(cut) {
			text := strings.Repeat(" ", 16<<10-at) + cut + strings.Repeat(" and more", 1000)
			got := httpcall.Short(httpcall.Hide(tsp.Credentials{"token": "planted-token"}, nil).In(text))
			require.Empty(t, strings.TrimSpace(got), "%s, cut at %d", cut, at)
		}
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"taken by ann.lee+x@example.co.uk.":                   "taken by [hidden].",
		"taken by ann%40example.com":                          "taken by [hidden]",
		"got Basic YWxhZGRpbjpvcGVuc2VzYW1l== from":           "got Basic [hidden] from",
		"Authorization: bearer abc.DEF-0123_456789":           "Authorization: bearer [hidden]",
		"use basic authentication":                            "use basic authentication",
		"taken by <jörg@exämple.de>":                          "taken by <[hidden]>",
		`{"email":"a@b.io","ok":1}`:                           `{"email":"[hidden]","ok":1}`,
		"call +1 (555) 010-0144 now":                          "call [hidden] now",
		"phone 5550100144 is in use":                          "phone [hidden] is in use",
		"phone: 555-010-0144, or 555.010.0199":                "phone: [hidden], or [hidden]",
		"5550100":                                             "[hidden]",
		"Phone number 5550100144 is taken":                    "Phone number [hidden] is taken",
		"mobile no 5550100144, cell #5550100144":              "mobile no [hidden], cell #[hidden]",
		`{"phoneNumber":"5550100144","phone":5550100144}`:     `{"phoneNumber":"[hidden]","phone":[hidden]}`,
		"phone:5550100144, tel:+15550100144":                  "phone:[hidden], tel:[hidden]",
		"number +1 555 010 0144":                              "number [hidden]",
		"123456789012345 or 1234567890123456":                 "[hidden] or 1234567890123456",
		"driver number 5200000001, request:52000000001":       "driver number 5200000001, request:52000000001",
		"x5550100144, 5550100144x, /5550100144, a@5550100144": "x5550100144, 5550100144x, /5550100144, a@5550100144",
		"at 21:07:42.1234567, 2026.11.24 21:07":               "at 21:07:42.1234567, 2026.11.24 21:07",
		"10 - 20 - 30":                                        "10 - 20 - 30",
		"the limit is 600000 per minute":                      "the limit is 600000 per minute",
		"driver 494105 not found":                             "driver 494105 not found",
		"request id 20481234567 failed":                       "request id 20481234567 failed",
		`{"requestId": "52000000001"}`:                        `{"requestId": "52000000001"}`,
		"user_id=8000051234, driver #52000000001":             "user_id=8000051234, driver #52000000001",
		"request 4d0e5f2a-1234-7654-8899-112233445566":        "request 4d0e5f2a-1234-7654-8899-112233445566",
		"id b2F4A 8916e1c1 trace 0af7651916cd43dd8448":        "id b2F4A 8916e1c1 trace 0af7651916cd43dd8448",
		"retry at 2026-11-24T21:07:42Z":                       "retry at 2026-11-24T21:07:42Z",
		"since 2026-11-24":                                    "since 2026-11-24",
		"max is 9223372036854775807":                          "max is 9223372036854775807",
		"from 192.168.100.200":                                "from 192.168.100.200",
		"[hidden] and a@b":                                    "[hidden] and a@b",
		"":                                                    "",
	} {
		require.Equal(t, want, httpcall.Mask(text), text)
		require.Equal(t, want, httpcall.Mask(want), "twice is as once")
	}
}

// Whatever surrounds a secret, in whichever form, it is not in the text that is kept.
func FuzzHide(f *testing.F) {
	f.Add("key-123 ", "refused: ", " is over", byte(0))
	f.Add(`p<l+a n/t"é`, "GET /x?k=", "&a=b", byte(3))
	f.Add("hidden", "[", "]", byte(1))
	f.Fuzz(func(t *testing.T, secret, before, after string, form byte) {
		if len(secret) < 4 || strings.Contains("[hidden]", strings.ToLower(secret)) || strings.ContainsFunc(secret, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(secret) {
			return
		}
		query := url.QueryEscape(secret)
		forms := []string{secret, query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(secret), strings.ToUpper(secret), strings.ToLower(query)}
		shown := forms[int(form)%len(forms)]
		if utf8.RuneCountInString(shown) != len(shown) || len(before)+len(after) > 1<<10 {
			return
		}
		got := httpcall.Hide(tsp.Credentials{"secret": secret}, nil).In(before + shown + after)
		require.NotContains(t, strings.ReplaceAll(got, "[hidden]", "\n"), shown)
	})
}
