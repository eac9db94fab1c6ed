package work

import (
	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

// hide takes out of a failure's text what the provider may have said about the
// user. An adapter hides what it sent; what the user had before is known here only.
func (a *Attempter) hide(op operation.Accepted, failure *operation.Failure) *operation.Failure {
	if failure == nil || failure.StatusCode == 0 {
		return failure // no answer, so the text is ours
	}
	conn, _ := a.parts.Directory.ConnectionByID(op.ConnectionID)
	user, _, _ := a.parts.Directory.User(op.PartnerID, op.ResourceID)
	hidden := *failure
	hidden.Detail = httpcall.Hide(conn.TSP().Credentials, op.Changes).In(hidden.Detail)
	hidden.Detail = httpcall.Hide(nil, user.Fields).In(hidden.Detail)
	return &hidden
}
