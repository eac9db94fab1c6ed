package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// maxSortKey is how many bytes of a text decide about the order, so that a
// cursor stays short.
const maxSortKey = 256

// getUser shows one user.
func (s *server) getUser(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	id, badUser := wire.ParseUUID("path.user_id", r.PathValue("user_id"))
	include, badQuery := wire.ParseGetUser(values)
	if err := join(wire.Invalid(badUser), badQuery); err != nil {
		return err
	}
	user, conn, ok := s.deps.Directory.User(principalOf(r.Context()).PartnerID, id)
	if !ok || conn.Status == directory.ConnectionDeleted {
		return &operation.Error{Code: operation.CodeNotFound, Message: "there is no such user"}
	}
	trailOf(r.Context()).connection = conn.ID
	s.write(w, r, http.StatusOK, userView(user, conn, include))
	return nil
}

// listUsers shows a page of the partner's users.
func (s *server) listUsers(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	in, cursor, err := wire.ParseListUsers(values)
	if err != nil {
		return err
	}
	l, err := s.listing(wire.KindUsers, values, cursor)
	if err != nil {
		return err
	}
	l.down = in.Descending
	trailOf(r.Context()).connection = in.ConnectionID
	partner := principalOf(r.Context()).PartnerID
	page, at, more := s.selectUsers(l, partner, in)
	connections := make(map[uuid.UUID]directory.Connection)
	view := func(u directory.User) wire.UserRead {
		conn, ok := connections[u.ConnectionID]
		if !ok {
			conn, _ = s.deps.Directory.Connection(partner, u.ConnectionID)
			connections[u.ConnectionID] = conn
		}
		return userView(u, conn, in.IncludeSourceData)
	}
	s.write(w, r, http.StatusOK, paged(l, page, at, view, more))
	return nil
}

// selectUsers gives one page of users. In the usual order it reads no more than
// the page; any other order, and the way back, sort all that the filter selects.
func (s *server) selectUsers(l listing, partner uuid.UUID, in wire.ListUsers) ([]directory.User, func(directory.User) place, bool) {
	filter := directory.UserFilter{
		ConnectionID: in.ConnectionID,
		IDs:          in.UserIDs,
		SourceIDs:    in.SourceIDs,
		Name:         in.Name,
		FleetIDs:     in.FleetIDs,
		FleetRefs:    in.FleetRefs,
		IsDriver:     in.IsDriver,
	}
	at := userPlace(in.SortBy)
	if in.SortBy == "id" && !l.down && !l.at.Backwards {
		users := s.deps.Directory.UsersPage(partner, l.at.Position.ID, in.Size+1, filter)
		if len(users) > in.Size {
			return users[:in.Size], at, true
		}
		return users, at, false
	}
	users := s.deps.Directory.UsersPage(partner, uuid.Nil, math.MaxInt, filter)
	slices.SortFunc(users, func(a, b directory.User) int {
		if l.down {
			a, b = b, a
		}
		return at(a).compare(at(b))
	})
	users, more := cut(l, users, at, in.Size)
	return users, at, more
}

// userPlace gives where a user stands in a list sorted by one of
// wire.UserSortKeys.
func userPlace(sortBy string) func(directory.User) place {
	return func(u directory.User) place {
		p := placeOfID(u.ID)
		switch sortBy {
		case "id":
		case "source_id":
			p.name = u.SourceID
		case "created_at":
			p.name = sortableTime(u.CreatedAt)
		case "updated_at":
			p.name = sortableTime(u.UpdatedAt)
		default:
			v, _ := u.Fields.Get(operation.Field(sortBy))
			p.name = v.Text()
		}
		// A cursor is JSON, which would not give half a character back as it was.
		p.name = strings.ToValidUTF8(p.name[:min(len(p.name), maxSortKey)], "")
		return p
	}
}

func sortableTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

func userView(u directory.User, c directory.Connection, includeSourceData bool) wire.UserRead {
	known := wire.Payload(u.Fields.Changes())
	hash := sha256.Sum256(known)
	text := func(f operation.Field) *string {
		if v, ok := u.Fields.Get(f); ok && !v.IsNull() {
			s := v.Text()
			return &s
		}
		return nil
	}
	flag := func(f operation.Field) *bool {
		if v, ok := u.Fields.Get(f); ok && !v.IsNull() {
			b := v.Flag()
			return &b
		}
		return nil
	}
	view := wire.UserRead{
		FleetID: unlessZero(c.FleetID), FleetRef: unlessZero(c.FleetRef),
		ID: u.ID, CreatedAt: wire.Stamp(u.CreatedAt), UpdatedAt: wire.Stamp(u.UpdatedAt), DeletedAt: u.DeletedAt,
		ConnectionID: u.ConnectionID, TSPID: unlessZero(c.TSPID), TSPSlug: unlessZero(directory.TSPSlug(c.Provider)), SourceName: c.Provider,
		SourceID: u.SourceID, SourceDataHash: hex.EncodeToString(hash[:]),
		Username: text(operation.FieldUsername), IsActive: flag(operation.FieldIsActive),
		Status: text(operation.FieldStatus), IsDriver: flag(operation.FieldIsDriver),
		UserDesignation: text(operation.FieldUserDesignation), UserEmail: text(operation.FieldUserEmail),
		FirstName: text(operation.FieldFirstName), LastName: text(operation.FieldLastName),
		PhoneNumber: text(operation.FieldPhoneNumber), CountryCode: text(operation.FieldCountryCode),
		LicenseCountry: text(operation.FieldLicenseCountry), LicenseRegion: text(operation.FieldLicenseRegion),
		LicenseNumber: text(operation.FieldLicenseNumber), LicenseExpiration: text(operation.FieldLicenseExpiration),
		EmployeeNumber: text(operation.FieldEmployeeNumber), CarrierNumber: text(operation.FieldCarrierNumber),
		Notes: text(operation.FieldNotes), HOSRulesetCode: text(operation.FieldHOSRulesetCode),
		AllowYardMove:           flag(operation.FieldAllowYardMove),
		AllowPersonalConveyance: flag(operation.FieldAllowPersonalConveyance),
		AllowAdverseDriving:     flag(operation.FieldAllowAdverseDriving),
		DefaultTimeZone:         text(operation.FieldDefaultTimeZone),
	}
	if includeSourceData {
		// What the connection's users were read as is all the source data there is.
		// The payload always parses.
		_ = json.Unmarshal(known, &view.SourceData)
	}
	return view
}
