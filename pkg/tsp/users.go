package tsp

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Creator is implemented by providers that can create users.
type Creator interface {
	// CreateUser makes a user. With Repeat it first looks whether an earlier attempt
	// of the same operation has already made it. A returned error is always an
	// *operation.Failure.
	CreateUser(ctx context.Context, conn Connection, user UserCreate) (Created, error)
}

// UserCreate is one new user.
type UserCreate struct {
	// OperationID may be sent along as a reference by which a repeat finds what an
	// earlier attempt made. A retried create has that of the first.
	OperationID uuid.UUID
	Changes     operation.Changes
	// Repeat says that an earlier attempt may have reached the provider.
	Repeat bool
}

// Created is a user that now exists.
type Created struct {
	Result
	// SourceID is the provider's id of the new user.
	SourceID string
}

// CreateRules say what a provider needs to create a user.
type CreateRules struct {
	// Required fields; without one of them a create fails as validation.
	Required []operation.Field
	// Instead names, for a required field, the one that may stand for it.
	Instead map[operation.Field]operation.Field
	// Note is for the partner.
	Note string
}

// Reader is implemented by providers that can read one user back.
type Reader interface {
	// ReadUser gives what the provider holds, in unified fields; a field that is
	// absent cannot be read back, a null one is empty there. A returned error is
	// always an *operation.Failure.
	ReadUser(ctx context.Context, conn Connection, sourceID string) (operation.Changes, error)
}

// Lister is implemented by providers that can list a connection's users.
type Lister interface {
	// ListUsers gives one page; an empty cursor asks for the first. A cursor stays
	// good for hours, so that a walk can go on after a restart. A returned error is
	// always an *operation.Failure.
	ListUsers(ctx context.Context, conn Connection, cursor string) (UserPage, error)
}

// UserPage is one page of a connection's users.
type UserPage struct {
	Users []ListedUser
	// Next is the cursor of the next page. Empty: this was the last one.
	Next string
	// Total is how many users the provider says that there are on all pages. Zero: it
	// does not say.
	Total int
	// Result carries the rate-limit state of the call.
	Result Result
}

// ListedUser is a user as the provider lists it.
type ListedUser struct {
	SourceID string
	// Aliases are other ids by which the provider takes the user in a call: a registry
	// file may name the user by one.
	Aliases []string
	// Fields hold what is known, in unified fields; unknown ones are absent. A null one is
	// empty, or has a value that none of ours says; see Unsaid.
	Fields operation.Changes
}

// maxSourceID is longer than any provider's id of a user.
const maxSourceID = 200

// IsSourceID reports whether a provider's answer can be its id of a user: a text that is not
// long, and of which every character is seen. It is written into logs, as it is.
func IsSourceID(id string) bool {
	return id != "" && len(id) <= maxSourceID && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Unsaid adds a null for each shown field that is not among those told: the provider has a
// value, none of ours says it, and what was known before is known no more.
func Unsaid(told operation.Changes, shown map[operation.Field]bool) operation.Changes {
	for f, is := range shown {
		if is && !told.Has(f) {
			told[f] = operation.Null()
		}
	}
	return told
}
