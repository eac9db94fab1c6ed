package work

import (
	"maps"

	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

// hide takes out of a failure's text and headers what the provider may have said about the
// user. An adapter hides what it sent; what the user had before is known here only.
func (a *Attempter) hide(op operation.Accepted, failure *operation.Failure) *operation.Failure {
	if failure == nil || failure.StatusCode == 0 {
		return failure // no answer, so the text is ours
	}
	conn, _ := a.parts.Directory.ConnectionByID(op.ConnectionID)
	user, _, _ := a.parts.Directory.User(op.PartnerID, op.ResourceID)
	hidden := *failure
	in := func(text string) string {
		text = httpcall.Hide(conn.TSP().Credentials, op.Changes).In(text)
		return httpcall.Hide(nil, user.Fields.Changes()).In(text)
	}
	hidden.Detail, hidden.Header = in(hidden.Detail), maps.Clone(hidden.Header)
	for name, value := range hidden.Header {
		hidden.Header[name] = in(value)
	}
	return &hidden
}
