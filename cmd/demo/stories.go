package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	simulator "writeback/pkg/tsp/simulator/box"
)

// providers sends one and the same update to a user at each provider.
func (d *demo) providers(ctx context.Context) error {
	asked := values{
		"first_name": "Ada", "last_name": "Byrd", "phone_country_code": "+1", "phone_number": "6145550142",
		"license_region": "OH", "default_time_zone": "America/Chicago", "allow_yard_move": true,
	}
	for _, one := range []struct {
		name string
		user user
		want values
	}{
		{"Samsara", user{sandbox.Samsara, 1, 5}, values{
			"name": "Ada Byrd", "phone": "+1 6145550142", "licenseState": "OH", "timezone": "America/Chicago", "eldYmEnabled": true,
		}},
		{"Motive", user{sandbox.Motive, 2, 5}, values{
			"first_name": "Ada", "last_name": "Byrd", "phone_country_code": "+1", "phone": "6145550142",
			"drivers_license_state": "OH", "time_zone": "Central Time (US & Canada)", "yard_moves_enabled": true,
		}},
		{"Geotab", user{sandbox.Geotab, 3, 5}, values{
			"firstName": "Ada", "lastName": "Byrd", "phoneNumber": "+1 6145550142",
			"licenseProvince": "OH", "timeZoneId": "America/Chicago", "isYardMoveEnabled": true,
		}},
	} {
		d.p.sub(one.name)
		w, err := d.async(ctx, one.user, asked)
		if err != nil {
			return err
		}
		if err := d.atProvider(ctx, w, []int{http.StatusOK}, one.want); err != nil {
			return err
		}
	}
	return d.simulator(ctx, asked)
}

// simulator has no wire: what it holds is read from the worker in this process.
func (d *demo) simulator(ctx context.Context, asked values) error {
	d.p.sub("Simulator (in the worker, no HTTP)")
	w, err := d.async(ctx, user{sandbox.Simulator, 4, 5}, asked)
	if err != nil {
		return err
	}
	connection, err := uuid.Parse(w.user.connection())
	if err != nil {
		return err
	}
	held := make(map[string]any)
	for field, v := range d.stack.SimulatorUser(connection, simulator.UserID(5)) {
		held[string(field)] = v.Text()
		if spec, _ := operation.SpecOf(field); spec.Kind == operation.KindBool {
			held[string(field)] = v.Flag()
		}
	}
	return d.holds(w, held, asked)
}

// retried orders two 500 before the write, and expects three attempts.
func (d *demo) retried(ctx context.Context) error {
	u := user{sandbox.Motive, 2, 6}
	d.p.row("ordered", "the next 2 writes to this user at Motive are answered with 500")
	if err := d.c.fault(ctx, sandbox.Fault{Provider: u.provider, User: u.id(), Status: http.StatusInternalServerError, Count: 2}); err != nil {
		return err
	}
	w, err := d.async(ctx, u, values{"employee_number": "E-77", "allow_personal_conveyance": true})
	if err != nil {
		return err
	}
	want := []operation.AttemptStatus{operation.AttemptFailed, operation.AttemptFailed, operation.AttemptSucceeded}
	var got []operation.AttemptStatus
	for _, l := range w.op.Logs {
		got = append(got, l.Status)
		if l.Status == operation.AttemptFailed && (l.ErrorType == nil || *l.ErrorType != operation.ErrorTSP) {
			return fmt.Errorf("an attempt that met a 500 is not of the type %s", operation.ErrorTSP)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the attempts were %v, not %v", got, want)
	}
	bad, good := http.StatusInternalServerError, http.StatusOK
	return d.atProvider(ctx, w, []int{bad, bad, good}, values{"driver_company_id": "E-77", "personal_conveyance_enabled": true})
}

// refused sends a body with five faults.
func (d *demo) refused(ctx context.Context) error {
	u := user{sandbox.Samsara, 1, 9}
	body := values{
		"connection_id": u.connection(), "status": "PAUSED", "is_driver": "yes", "country_code": "US",
		"license_expiration": "soon", "default_time_zone": "Mars/Olympus", "first_name": "Ada",
	}
	d.p.row("asked", "PATCH /v2/telematics/users/%s", u.id())
	d.p.row("", "%s", pairs(body))
	before := time.Now()
	var refusal wire.ValidationError
	status, err := d.c.call(ctx, http.MethodPatch, d.c.userURL(u), body, &refusal)
	if err != nil {
		return err
	}
	if status != http.StatusUnprocessableEntity {
		return fmt.Errorf("it was answered with %d, not 422", status)
	}
	d.p.row("answer", "%s %s in %s", d.p.code(status), refusal.Message, short(time.Since(before)))
	var paths []string
	for _, f := range refusal.Detail {
		paths = append(paths, f.Path)
		d.p.row("fault", "%-23s %-18q %s", f.Path, f.Input, clip(f.Message, 60))
	}
	slices.Sort(paths)
	want := []string{"body.country_code", "body.default_time_zone", "body.is_driver", "body.license_expiration", "body.status"}
	if !slices.Equal(paths, want) {
		return fmt.Errorf("the faults were about %v, not %v", paths, want)
	}
	return d.untouched(ctx, u)
}

// untouched checks that nothing was stored about a user and nothing sent.
func (d *demo) untouched(ctx context.Context, u user) error {
	records, err := d.c.received(ctx, u)
	if err != nil {
		return err
	}
	stored, err := d.stored(ctx, u)
	if err != nil {
		return err
	}
	if stored || len(records) > 0 {
		return fmt.Errorf("a refused update left an operation (%t) or %d calls to the provider", stored, len(records))
	}
	d.p.row("received", "nothing, and no operation of this user is listed")
	d.p.gap()
	return nil
}

// stored says whether an operation of the user is listed.
func (d *demo) stored(ctx context.Context, u user) (bool, error) {
	var page struct {
		Items []wire.ResourceOperationRead `json:"items"`
	}
	list := d.c.api + "/v2/integrations/connections/resource-operations?connection_id=" + u.connection()
	if err := d.c.must(ctx, http.StatusOK, http.MethodGet, list, nil, &page); err != nil {
		return false, err
	}
	return slices.ContainsFunc(page.Items, func(op wire.ResourceOperationRead) bool {
		return op.ResourceID != nil && op.ResourceID.String() == u.id()
	}), nil
}

// sync writes inside the request.
func (d *demo) sync(ctx context.Context) error {
	u, asked := user{sandbox.Geotab, 3, 7}, values{"user_designation": "Yard lead", "employee_number": "E-300"}
	op, err := d.write(ctx, u, asked, "?is_sync=true", http.StatusOK)
	if err != nil {
		return err
	}
	if op.Status != operation.Succeeded || len(op.Logs) != 1 {
		return fmt.Errorf("the answer has the status %s and %d attempts, not success and 1", op.Status, len(op.Logs))
	}
	w, err := d.end(ctx, u, asked, op.ID)
	if err != nil {
		return err
	}
	return d.atProvider(ctx, w, []int{http.StatusOK}, values{"designation": "Yard lead", "employeeNo": "E-300"})
}

// ordered slows the first of two updates down; the second must come after it.
func (d *demo) ordered(ctx context.Context) error {
	u := user{sandbox.Samsara, 1, 8}
	d.p.row("ordered", "the next write to this user at Samsara takes 400 ms longer")
	if err := d.c.fault(ctx, sandbox.Fault{Provider: u.provider, User: u.id(), LatencyMS: 400, Count: 1}); err != nil {
		return err
	}
	first, second := values{"notes": "first"}, values{"notes": "second"}
	a, err := d.write(ctx, u, first, "", http.StatusAccepted)
	if err != nil {
		return err
	}
	b, err := d.write(ctx, u, second, "", http.StatusAccepted)
	if err != nil {
		return err
	}
	d.p.row("the first", "operation %s", a.ID)
	if _, err := d.end(ctx, u, first, a.ID); err != nil {
		return err
	}
	d.p.row("the second", "operation %s", b.ID)
	w, err := d.end(ctx, u, second, b.ID)
	if err != nil {
		return err
	}
	if err := d.inOrder(ctx, u); err != nil {
		return err
	}
	ok := http.StatusOK
	return d.atProvider(ctx, w, []int{ok, ok}, second)
}

// inOrder checks by the provider's clock that the second call came after the
// first had ended.
func (d *demo) inOrder(ctx context.Context, u user) error {
	records, err := d.c.received(ctx, u)
	if err != nil {
		return err
	}
	if len(records) != 2 {
		return fmt.Errorf("the provider received %d calls, not 2", len(records))
	}
	end := records[0].Time.Add(records[0].Duration)
	apart := records[1].Time.Sub(end)
	if apart < 0 {
		return fmt.Errorf("the second call came %s before the first had ended", -apart)
	}
	if records[0].AppliedSeq != 1 || records[1].AppliedSeq != 2 {
		return fmt.Errorf("the provider applied them as %d and %d, not 1 and 2", records[0].AppliedSeq, records[1].AppliedSeq)
	}
	d.p.row("order", "the second call came %s after the first had ended", short(apart))
	return nil
}
