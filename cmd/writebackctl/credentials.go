package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"writeback/internal/directory"
	"writeback/internal/seal"
)

// sealer is what seals credentials. Nil: they are in clear.
func (c *ctl) sealer() (directory.Sealer, error) {
	if c.settings.KeysetFile == "" {
		return nil, nil
	}
	s, err := seal.Load(c.settings.KeysetFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", directory.KeysetVariable, err)
	}
	return s, nil
}

func credentialsRotate(ctx context.Context, c *ctl, _ []string) error {
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	n, err := d.Reseal(ctx)
	if err != nil {
		return fmt.Errorf("%d connections were sealed, %d were already: %w", n.Updated, n.Unchanged, err)
	}
	return c.print(map[string]int{"sealed": n.Updated, "unchanged": n.Unchanged}, func(w io.Writer) {
		row(w, "sealed under the primary key", n.Updated)
		row(w, "were already", n.Unchanged)
	})
}

func connectionActivate(ctx context.Context, c *ctl, args []string) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	if err := d.Activate(ctx, connection); err != nil {
		return err
	}
	return c.print(map[string]any{"connection_id": connection, "status": directory.ConnectionActive},
		func(w io.Writer) { row(w, "active", connection) })
}

func connectionShow(ctx context.Context, c *ctl, args []string) error {
	connection, err := id("connection_id", args[0])
	if err != nil {
		return err
	}
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	conn, ok := d.ConnectionByID(connection)
	if !ok {
		return errors.New("not found")
	}
	v := map[string]any{
		"connection_id": conn.ID, "partner_id": conn.PartnerID, "provider": conn.Provider, "share": conn.Share,
		"status": conn.Status, "status_reason": conn.StatusReason, "locked": conn.Locked, "updated_at": conn.UpdatedAt,
	}
	return c.print(v, func(w io.Writer) {
		row(w, "connection", conn.ID)
		row(w, "partner", conn.PartnerID)
		row(w, "provider", conn.Provider)
		row(w, "share", conn.Share)
		row(w, "status", conn.Status)
		row(w, "reason", conn.StatusReason)
		row(w, "locked", yes(conn.Locked))
		row(w, "updated", when(conn.UpdatedAt))
	})
}

// keysetCreate makes a keyset file; it refuses to replace one.
func keysetCreate(_ context.Context, c *ctl, args []string) error {
	text, err := seal.Generate()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	return c.told("created", args[0])
}

func keysetAdd(_ context.Context, c *ctl, args []string) error {
	return c.rewrite("key added", args[0], seal.AddKey)
}

func keysetPromote(_ context.Context, c *ctl, args []string) error {
	return c.rewrite("newest key is primary", args[0], seal.Promote)
}

// rewrite replaces a keyset file in one step: half a file would lock everything.
func (c *ctl) rewrite(what, file string, change func([]byte) ([]byte, error)) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	if text, err = change(text); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".keyset-")
	if err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keyset: %w", err)
	}
	return c.told(what, file)
}

func (c *ctl) told(what, file string) error {
	return c.print(map[string]string{"done": what, "file": file}, func(w io.Writer) { row(w, what, file) })
}
