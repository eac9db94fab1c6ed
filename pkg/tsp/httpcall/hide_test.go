package httpcall_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

func TestHide(t *testing.T) {
	t.Parallel()
	h := httpcall.Hide(tsp.Credentials{"access_token": "planted-token", "short": "abc"}, operation.Changes{
		operation.FieldUserEmail:   operation.Text("Ann@Example.com"),
		operation.FieldUsername:    operation.Text("ann@example.com.au"),
		operation.FieldPhoneNumber: operation.Text("+1 (555) 010-0144"),
		operation.FieldFirstName:   operation.Null(),
		operation.FieldDOTID:       operation.Text("77123"),
	}, "5550100144", "generated")
	for text, want := range map[string]string{
		"no Ann@Example.com":          "no [hidden]",
		"no ann@example.com":          "no [hidden]",
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
	require.Equal(t, "as it is", httpcall.Hidden(nil).In("as it is"))
	require.Equal(t, "as it is", httpcall.Hide(nil, nil).In("as it is"))
}
