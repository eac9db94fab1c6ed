package httpapi

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

var (
	errNoConnection = &operation.Error{Code: operation.CodeNotFound, Message: "there is no such connection"}
	errNoTSP        = &operation.Error{Code: operation.CodeNotFound, Message: "there is no such provider"}
)

// The contract's words for how far a resource of a provider is supported.
const (
	implemented    = "implemented"
	notImplemented = "not_implemented"
)

// getConnection shows one connection, its credentials masked.
func (s *server) getConnection(w http.ResponseWriter, r *http.Request) error {
	id, bad := wire.ParseUUID("path.connection_id", r.PathValue("connection_id"))
	if err := wire.Invalid(bad); err != nil {
		return err
	}
	trailOf(r.Context()).connection = id
	conn, ok := s.deps.Directory.Connection(principalOf(r.Context()).PartnerID, id)
	if !ok {
		return errNoConnection
	}
	s.write(w, r, http.StatusOK, connectionView(conn))
	return nil
}

// listConnections shows a page of the partner's connections, by id.
func (s *server) listConnections(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	in, cursor, err := wire.ParseListConnections(values)
	if err != nil {
		return err
	}
	l, err := s.listing(wire.KindConnections, values, cursor)
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(s.deps.Directory.Connections(principalOf(r.Context()).PartnerID),
		func(c directory.Connection) bool {
			return in.TSPID != uuid.Nil && c.TSPID != in.TSPID ||
				len(in.FleetIDs) > 0 && !slices.Contains(in.FleetIDs, c.FleetID) ||
				len(in.FleetRefs) > 0 && !slices.Contains(in.FleetRefs, c.FleetRef)
		})
	at := func(c directory.Connection) place { return placeOfID(c.ID) }
	page, more := cut(l, all, at, in.Size)
	s.write(w, r, http.StatusOK, paged(l, page, at, connectionView, more))
	return nil
}

func connectionView(c directory.Connection) wire.ConnectionRead {
	return wire.ConnectionRead{
		ID:          c.ID,
		CreatedAt:   wire.Stamp(c.CreatedAt),
		UpdatedAt:   wire.Stamp(c.UpdatedAt),
		FleetID:     unlessZero(c.FleetID),
		FleetRef:    unlessZero(c.FleetRef),
		TSPID:       c.TSPID,
		SourceName:  c.Provider,
		Credentials: c.MaskedCredentials(),
		Status:      string(c.Status),
		Description: unlessZero(c.Description),
	}
}

// getTSP shows which resources of one provider are supported.
func (s *server) getTSP(w http.ResponseWriter, r *http.Request) error {
	id, bad := wire.ParseUUID("path.tsp_id", r.PathValue("tsp_id"))
	if err := wire.Invalid(bad); err != nil {
		return err
	}
	all := s.deps.Directory.TSPs()
	i := slices.IndexFunc(all, func(t directory.TSP) bool { return t.ID == id })
	if i < 0 {
		return errNoTSP
	}
	s.write(w, r, http.StatusOK, s.tspView(all[i]))
	return nil
}

// listTSPs shows a page of the providers, by id.
func (s *server) listTSPs(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	size, cursor, err := wire.ParsePage(values)
	if err != nil {
		return err
	}
	l, err := s.listing(wire.KindTSPs, values, cursor)
	if err != nil {
		return err
	}
	at := func(t directory.TSP) place { return placeOfID(t.ID) }
	page, more := cut(l, s.deps.Directory.TSPs(), at, size)
	s.write(w, r, http.StatusOK, paged(l, page, at, s.tspView, more))
	return nil
}

// tspView says that a provider's users are implemented if there is an adapter,
// and that no other resource is: this service writes users only.
func (s *server) tspView(t directory.TSP) wire.TSPIntegrationsRead {
	view := wire.TSPIntegrationsRead{
		TSPID: t.ID, Slug: unlessZero(t.Slug), SourceName: unlessZero(t.SourceName),
		Integrations: make(map[string]string, len(wire.Resources)),
	}
	provider, adapter := s.deps.Providers.Get(t.SourceName)
	for _, resource := range wire.Resources {
		if resource == operation.ResourceUser && adapter {
			view.WriteSupport = &wire.WriteSupport{User: userSupport(provider)}
			view.Integrations[resource] = implemented
			view.ImplementedCount++
			continue
		}
		view.Integrations[resource] = notImplemented
		view.NotImplementedCount++
	}
	return view
}

// userSupport says which fields of a user the provider's adapter can write.
func userSupport(p tsp.Provider) wire.UserWriteSupport {
	d := p.Describe()
	out := wire.UserWriteSupport{
		Update: true,
		Create: wire.CreateSupport{Required: []operation.Field{}},
		Fields: make(map[operation.Field]wire.FieldSupport, len(operation.UserFields)),
	}
	if rules := createRules(p); rules != nil {
		out.Create = wire.CreateSupport{
			Supported: true, Required: append(out.Create.Required, rules.Required...), Note: unlessZero(rules.Note),
		}
	}
	for _, spec := range operation.UserFields {
		rule := d.Users.Rule(spec.Name)
		out.Fields[spec.Name] = wire.FieldSupport{
			Writable: rule.Writable(), Clearable: rule.Clearable(), Note: unlessZero(rule.Note),
		}
	}
	return out
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
