package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// KeysetVariable is the environment variable that names the keyset; errors say it,
// since it is what an operator has to set.
const KeysetVariable = "WRITEBACK_KEYSET_FILE"

// Sealer seals and opens what is secret in a record. The associated data binds a
// value to its record. *seal.Sealer is one.
type Sealer interface {
	Seal(plain, aad []byte) ([]byte, error)
	Open(sealed, aad []byte) ([]byte, error)
	// Reseal gives the value under the present key, and whether that is a change.
	Reseal(sealed, aad []byte) (value []byte, changed bool, err error)
}

// box is how credentials are stored: sealed if there is a sealer, as a JSON string,
// which an older process cannot take for credentials; else in clear, as a JSON
// object. Both forms are read.
type box struct{ sealer Sealer }

// bound is what the credentials of a connection are bound to.
func bound(connection uuid.UUID) []byte { return []byte(connectionKey(connection)) }

// put gives the stored form. Credentials that could not be opened stay as they are.
func (b box) put(c held) (json.RawMessage, error) {
	if c.Locked {
		return json.Marshal(c.sealed)
	}
	plain, err := json.Marshal(credentialSets{Current: c.Credentials, Given: c.given})
	if err != nil || b.sealer == nil {
		return plain, err
	}
	sealed, err := b.sealer.Seal(plain, bound(c.ID))
	if err != nil {
		return nil, err
	}
	return json.Marshal(sealed)
}

// get reads either form into the connection. Sealed ones that cannot be opened
// leave it locked.
func (b box) get(c *held, raw json.RawMessage) error {
	// The causes may quote what could not be read.
	unread := errors.New("credentials cannot be read")
	plain := []byte(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if json.Unmarshal(raw, &c.sealed) != nil {
			return unread
		}
		if b.sealer == nil {
			c.Locked = true
			return nil
		}
		var err error
		if plain, err = b.sealer.Open(c.sealed, bound(c.ID)); err != nil {
			c.Locked = true
			return nil
		}
	}
	var s credentialSets
	if json.Unmarshal(plain, &s) != nil {
		return unread
	}
	c.Credentials, c.given = s.Current, s.Given
	return nil
}

// ErrLocked says that a connection's credentials are sealed and cannot be opened
// in this process.
var ErrLocked = errors.New("directory: the credentials are sealed, and " + KeysetVariable + " does not name the keyset that opens them")

// locked says why the credentials of a locked connection cannot be used.
func (b box) locked(id uuid.UUID) error {
	if b.sealer == nil {
		return fmt.Errorf("directory: connection %s: its credentials are sealed, and %s is not set", id, KeysetVariable)
	}
	return fmt.Errorf("directory: connection %s: its credentials are sealed, and the keyset of %s does not open them", id, KeysetVariable)
}

// Reseal stores the credentials of every connection under the primary key of the
// keyset: those in clear too, and those of deleted connections. Updated counts
// what was written; what is under that key already is not. Connections that cannot
// be opened are in the error, after all others have been done.
func (d *Directory) Reseal(ctx context.Context) (Count, error) {
	if d.box.sealer == nil {
		return Count{}, fmt.Errorf("directory: %s is not set", KeysetVariable)
	}
	var total Count
	var faults []error
	for _, c := range d.All() {
		changed, err := d.reseal(ctx, c.ID)
		switch {
		case err != nil:
			faults = append(faults, err)
		case changed:
			total.Updated++
		default:
			total.Unchanged++
		}
	}
	return total, errors.Join(faults...)
}

func (d *Directory) reseal(ctx context.Context, id uuid.UUID) (bool, error) {
	return d.change(ctx, id, func(c *held) (bool, error) {
		switch {
		case c.Locked:
			return false, d.box.locked(id)
		case c.sealed == nil:
			return true, nil
		}
		_, changed, err := d.box.sealer.Reseal(c.sealed, bound(id))
		return changed, err
	})
}

// change alters a connection on top of its newest revision, and gives whether it
// was written.
func (d *Directory) change(ctx context.Context, id uuid.UUID, alter func(*held) (bool, error)) (bool, error) {
	for {
		c, ok := d.held(id)
		if !ok {
			return false, fmt.Errorf("directory: there is no connection %s", id)
		}
		changed, err := alter(&c)
		if err != nil || !changed {
			return false, err
		}
		if err := d.write(ctx, c); !errors.Is(err, errConflict) {
			return err == nil, err
		}
		if err := d.again(ctx, connectionKey(id)); err != nil {
			return false, err
		}
	}
}
