package main

import (
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
)

// banner says where everything is and what to try first.
func banner(out io.Writer, s *devstack.Stack, o devstack.Options) {
	u := s.URLs()
	_, _ = fmt.Fprint(out, "Writeback is up. Ctrl-C stops it.\n\n")
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"API", u.API},
		{"API document", u.Docs + " and " + u.API + "/openapi.json"},
		{"Health, metrics", u.Admin + "/readyz, /metrics, /debug/pprof/"},
		{"Provider sandbox", u.Sandbox + "/_control/requests shows what the providers received"},
		{"NATS", shown(u.NATS) + natsNote(o)},
		{"Redis", shown(u.Redis) + ", " + s.Redis()},
		{"Data", dataNote(o)},
		{"Workers", fmt.Sprint(max(1, o.Workers))},
		{"Operator's command", "bin/writeback --config " + s.ToolConfig() + " doctor (after make build)"},
	} {
		_, _ = fmt.Fprintf(tw, "  %s\t%s\n", row[0], row[1])
	}
	_ = tw.Flush()
	_, _ = fmt.Fprintf(out, `
Get a token (it lives five minutes; a second partner is %[5]s / %[6]s):

  TOKEN=$(curl -s %[1]s \
    -d grant_type=client_credentials -d client_id=%[3]s -d client_secret=%[4]s \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

Write to a driver at Samsara (c1; c2 is Motive, c3 Geotab, c4 the simulator):

  curl -s -X PATCH %[2]s/v2/telematics/users/%[7]s \
    -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
    -d '{"connection_id":"%[8]s","notes":"hello"}'

Read the operations of the last day with their attempts:

  curl -s %[2]s/v2/integrations/connections/resource-operations -H "Authorization: Bearer $TOKEN"

`, u.Token, u.API, devstack.DemoClient, devstack.DemoSecret, devstack.OtherClient, devstack.OtherSecret,
		sandbox.UserID(1, 5), sandbox.ConnectionID(1))
}

func natsNote(o devstack.Options) string {
	if o.NATSURL != "" {
		return ", the given one"
	}
	return ", in this process"
}

func dataNote(o devstack.Options) string {
	if o.DataDir != "" {
		return "kept in " + o.DataDir
	}
	return "in a temporary folder, removed at the end; -data-dir keeps it"
}

// shown is a URL without its credentials.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(a URL that cannot be shown)"
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}
