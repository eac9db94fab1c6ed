package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// kept writes one field to a provider that takes whole users only: what it held
// besides must be there afterwards, to the letter.
func (d *demo) kept(ctx context.Context) error {
	u, asked, want := user{sandbox.Geotab, 3, 8}, values{"notes": "night shift"}, values{"comment": "night shift"}
	// The sandbox drops what a write leaves out, as the provider does. These are
	// keys that no field of ours stands for.
	unknown := []string{"coachingPlan", "scoreTicks", "tags"}
	before, err := d.c.heldText(ctx, u)
	if err != nil {
		return err
	}
	for _, key := range unknown {
		d.p.row("held", "%s=%s", key, before[key])
	}
	w, err := d.async(ctx, u, asked)
	if err != nil {
		return err
	}
	after, err := d.c.heldText(ctx, u)
	if err != nil {
		return err
	}
	same := 0
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, changed := want[key]; changed {
			continue
		}
		if !bytes.Equal(before[key], after[key]) {
			return fmt.Errorf("the write changed %s from %s to %s", key, before[key], after[key])
		}
		same++
	}
	for _, key := range unknown {
		if len(after[key]) == 0 {
			return fmt.Errorf("the provider never held %s", key)
		}
	}
	d.p.row("kept", "%d other keys as they were, to the letter", same)
	return d.atProvider(ctx, w, []int{http.StatusOK}, want)
}

// created makes a user and reads it by the id that it got.
func (d *demo) created(ctx context.Context) error {
	connection := user{sandbox.Motive, 2, 0}.connection()
	asked := values{"user_email": "joan.new@fleet.example", "first_name": "Joan", "last_name": "New"}
	d.p.row("asked", "POST /v2/telematics/users")
	d.p.row("", "%s", pairs(asked))
	body := maps.Clone(asked)
	body["connection_id"] = connection
	var op wire.ResourceOperation
	if err := d.c.must(ctx, http.StatusAccepted, http.MethodPost, d.c.api+"/v2/telematics/users", body, &op); err != nil {
		return err
	}
	if op.ResourceID != nil || op.SourceID != nil {
		return errors.New("a user that is not made yet has an id")
	}
	d.p.row("answer", "%s, operation %s, no ids yet", d.p.code(http.StatusAccepted), op.ID)
	ended, err := d.c.ended(ctx, connection, op.ID)
	if err != nil {
		return err
	}
	for i := range ended.Logs {
		d.p.attempt(ended.Logs, i)
	}
	if ended.Status != operation.Succeeded || ended.ResourceID == nil || ended.SourceID == nil {
		return fmt.Errorf("operation %s ended %s%s", op.ID, ended.Status, lastError(ended.Logs))
	}
	d.p.row("ended", "%s: %s, at the provider %s", d.p.good(string(ended.Status)), *ended.ResourceID, *ended.SourceID)
	users, err := d.c.usersAt(ctx, connection)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(users, func(u heldUser) bool { return u.SourceID == *ended.SourceID })
	if i < 0 || string(users[i].Fields["email"]) != `"joan.new@fleet.example"` {
		return errors.New("the provider does not hold the new user")
	}
	d.p.row("now holds", "%s", pairs(values{"email": "joan.new@fleet.example", "role": string(users[i].Fields["role"])}))
	d.p.gap()
	return nil
}

// dryRun asks what an update would send, and then for one that the provider cannot
// take.
func (d *demo) dryRun(ctx context.Context) error {
	u := user{sandbox.Geotab, 3, 9}
	before, err := d.c.heldText(ctx, u)
	if err != nil {
		return err
	}
	op, err := d.write(ctx, u, values{"first_name": "Ada", "allow_yard_move": true}, "?dry_run=true", http.StatusOK)
	if err != nil {
		return err
	}
	if err := d.drafted(op, values{"firstName": "Ada", "isYardMoveEnabled": true}); err != nil {
		return err
	}
	op, err = d.write(ctx, u, values{"license_expiration": "2030-01-31"}, "?dry_run=true", http.StatusOK)
	if err != nil {
		return err
	}
	if op.Status != operation.Failed || len(op.Logs) != 1 || op.DryRun == nil || len(op.DryRun.Requests) != 0 {
		return fmt.Errorf("a dry run of what the provider cannot hold is %s with %d rows", op.Status, len(op.Logs))
	}
	d.p.row("would be", "failed%s", lastError(op.Logs))
	return d.unwritten(ctx, u, before)
}

// drafted tells the calls of a dry run; one of them must set the wanted fields.
func (d *demo) drafted(op wire.ResourceOperation, want values) error {
	if op.Status != operation.Succeeded || op.DryRun == nil || len(op.DryRun.Requests) != 1 {
		return fmt.Errorf("the dry run is %s and does not show one call", op.Status)
	}
	call := op.DryRun.Requests[0]
	shown, more := sent(call.Body, want)
	d.p.row("would send", "%s %s", call.Method, call.Path)
	d.p.row("", "%s  (and %d more keys)", pairs(shown), more)
	if !maps.Equal(shown, want) {
		return fmt.Errorf("the call would set %s, not %s", pairs(shown), pairs(want))
	}
	return nil
}

// unwritten checks that no operation of the user is stored, and that the provider
// was only read from and holds what it held.
func (d *demo) unwritten(ctx context.Context, u user, before map[string]json.RawMessage) error {
	records, err := d.c.received(ctx, u)
	if err != nil {
		return err
	}
	for _, r := range records {
		d.p.received(r, nil)
		if r.Write {
			return fmt.Errorf("a dry run called %s %s", r.Method, r.Call)
		}
	}
	after, err := d.c.heldText(ctx, u)
	if err != nil {
		return err
	}
	if !maps.EqualFunc(before, after, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		return errors.New("a dry run changed the user")
	}
	stored, err := d.stored(ctx, u)
	if err != nil {
		return err
	}
	if stored {
		return errors.New("a dry run left an operation")
	}
	d.p.row("stored", "nothing, and the provider was only read from")
	d.p.gap()
	return nil
}
