package samsara

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// referenceKey is the external id under which a new driver carries the operation
// that made it.
const referenceKey = "writeback"

var requiredToCreate = []operation.Field{operation.FieldUsername, operation.FieldFirstName, operation.FieldLastName}

// reference is the value of that external id: hex digits only, since Samsara limits
// the length and the characters of it.
func reference(operationID uuid.UUID) string { return hex.EncodeToString(operationID[:]) }

// CreateUser makes an active driver. With Repeat it looks by the operation's
// external id first. Every error is an *operation.Failure.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, user tsp.UserCreate) (tsp.Created, error) {
	password := tsp.NewPassword()
	s := p.session(conn, user.Changes, password)
	if f := s.check(); f != nil {
		return tsp.Created{}, f
	}
	body, f := p.newDriver(conn, user)
	if f != nil {
		return tsp.Created{}, f
	}
	if user.Repeat {
		d, result, err := s.get(ctx, referenceKey+":"+reference(user.OperationID))
		if !isNotFound(err) {
			return s.created(d, result, err)
		}
	}
	return s.create(ctx, body, password)
}

func isNotFound(err error) bool {
	var f *operation.Failure
	return errors.As(err, &f) && f.StatusCode == http.StatusNotFound
}

// newDriver is the body of the new driver without its password, or every reason
// why it cannot be made.
func (p *Provider) newDriver(conn tsp.Connection, user tsp.UserCreate) (map[string]any, *operation.Failure) {
	refused := tsp.NewRefusals(Name)
	w := p.write(conn, settled(user.Changes, refused), refused)
	w.beforeRead()
	w.afterRead(driver{}) // a new driver has nothing yet
	if f := refused.Failure(); f != nil {
		return nil, f
	}
	delete(w.patch, keyTags)
	tags := strings.FieldsFunc(conn.Settings["create_tags"], func(r rune) bool { return r == ',' || r == ' ' })
	if len(tags) > 0 {
		w.patch[keyTags] = tags
	} else if on(conn.Settings, "tag_scoped") {
		return nil, operation.Refuse("samsara: the token is scoped by tags, and the setting create_tags names none for a new driver")
	}
	ids, _ := w.patch[keyExternal].(map[string]string)
	if ids == nil {
		ids = make(map[string]string, 1)
	}
	ids[referenceKey] = reference(user.OperationID)
	w.patch[keyExternal] = ids
	return w.patch, nil
}

// settled are the changes that a new driver needs a key for: a null has nothing to
// clear, and a new driver is active. It notes what is missing and what only a
// driver that is there can get.
func settled(changes operation.Changes, refused *tsp.Refusals) operation.Changes {
	out := make(operation.Changes, len(changes))
	for f, v := range changes {
		if !v.IsNull() {
			out[f] = v
		}
	}
	for _, f := range requiredToCreate {
		if !out.Has(f) {
			refused.Add(f, "it is needed to create a user")
		}
	}
	if v, ok := out.Get(operation.FieldIsActive); ok && !v.Flag() {
		refused.Add(operation.FieldIsActive, "a new driver is active; deactivate it with an update")
	}
	if v, ok := out.Get(operation.FieldStatus); ok && v.Text() != operation.StatusActive {
		refused.Add(operation.FieldStatus, "a new driver is active; deactivate it with an update")
	}
	if v, ok := out.Get(operation.FieldIsDriver); ok && !v.Flag() {
		refused.Add(operation.FieldIsDriver, "only drivers can be created, not office users")
	}
	delete(out, operation.FieldIsActive)
	delete(out, operation.FieldStatus)
	delete(out, operation.FieldIsDriver)
	return out
}

// create makes the driver, with a password that is forgotten at once.
func (s session) create(ctx context.Context, body map[string]any, password string) (tsp.Created, error) {
	const what = "samsara: create driver"
	body["password"] = password
	r := httpcall.Request{
		What: what, Method: http.MethodPost, URL: "/fleet/drivers", Write: true, Hidden: []string{password},
	}
	if f := setBody(&r, body); f != nil {
		return tsp.Created{}, f
	}
	return s.created(s.driver(ctx, r, func(d driver) bool { return d.ID != "" }))
}

// created is the outcome of a driver that is there now.
func (s session) created(d driver, result tsp.Result, err error) (tsp.Created, error) {
	if err != nil {
		return tsp.Created{}, err
	}
	if !s.tookEmail(d.Email) {
		return tsp.Created{}, refuseAfter(result, "samsara: create driver: the driver was created with the id %s, but the provider did not apply %s",
			d.ID, operation.FieldUserEmail)
	}
	return tsp.Created{Result: result, SourceID: d.ID}, nil
}
