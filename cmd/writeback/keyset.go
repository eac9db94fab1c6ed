package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"writeback/internal/seal"
)

func (c *ctl) keysetCommands() *cobra.Command {
	file := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return []cobra.Completion{"json"}, cobra.ShellCompDirectiveFilterFileExt
	}
	return c.group("keyset", "The keys that seal stored secrets (WRITEBACK_KEYSET_FILE)",
		c.command(spec{
			use: "create <file>", short: "A new keyset with one key", first: file,
			example: "writeback keyset create keyset.json", run: c.keysetCreate,
		}),
		c.command(spec{
			use: "add <file>", short: "Add a key that only opens: the first half of a change of keys", first: file,
			example: "writeback keyset add keyset.json", run: c.keysetAdd,
		}),
		c.command(spec{
			use: "promote <file>", short: "Seal with the newest key from now on: the second half", first: file,
			example: "writeback keyset promote keyset.json", run: c.keysetPromote,
		}),
		c.command(spec{
			use: "remove <file>", short: "Take out every key but the one that seals: the end of a change of keys", first: file,
			long: "What was sealed with the others cannot be opened any more: only after `writeback connection rotate-key`, a day after the promoted file went to all\n" +
				"processes, and with a copy of the file kept for as long as older backups may be restored. It refuses if the newest key is not promoted.",
			example: "writeback keyset remove keyset.json", run: c.keysetRemove,
		}),
	)
}

// keysetCreate makes a keyset file; it refuses to replace one.
func (c *ctl) keysetCreate(_ context.Context, args []string) error {
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

func (c *ctl) keysetAdd(_ context.Context, args []string) error {
	return c.rewrite("key added", args[0], seal.AddKey)
}

func (c *ctl) keysetPromote(_ context.Context, args []string) error {
	return c.rewrite("newest key is primary", args[0], seal.Promote)
}

func (c *ctl) keysetRemove(_ context.Context, args []string) error {
	return c.rewrite("old keys removed", args[0], seal.RemoveOld)
}

// rewrite replaces a keyset file in one step: half a file would lock everything, and so would
// one that the programs may not read any more.
func (c *ctl) rewrite(what, file string, change func([]byte) ([]byte, error)) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("keyset: %w", err)
	}
	info, err := os.Stat(file)
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
	if err = errors.Join(err, giveTo(f, info), f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()); err == nil {
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
