package seal

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Generate makes a keyset with one key, AES-256-GCM, in Tink's JSON form.
func Generate() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("seal: new keyset: %w", err)
	}
	return write(handle)
}

// AddKey gives the keyset with one more key that only opens. It is the first half of
// a change of keys: once every process has it, Promote is the second.
func AddKey(keysetJSON []byte) ([]byte, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if _, err := manager.Add(aead.AES256GCMKeyTemplate()); err != nil {
		return nil, fmt.Errorf("seal: add a key: %w", err)
	}
	if handle, err = manager.Handle(); err != nil {
		return nil, fmt.Errorf("seal: add a key: %w", err)
	}
	return write(handle)
}

// Promote gives the keyset with its newest key as the primary one. The older keys
// stay, so that what they sealed can be opened; Reseal moves that.
func Promote(keysetJSON []byte) ([]byte, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return nil, err
	}
	newest, err := handle.Entry(handle.Len() - 1)
	if err != nil {
		return nil, fmt.Errorf("seal: promote: %w", err)
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := manager.SetPrimary(newest.KeyID()); err != nil {
		return nil, fmt.Errorf("seal: promote: %w", err)
	}
	if handle, err = manager.Handle(); err != nil {
		return nil, fmt.Errorf("seal: promote: %w", err)
	}
	return write(handle)
}

// ErrNotPromoted says that a keyset has a key that is newer than the primary one, so that
// a change of keys is under way.
var ErrNotPromoted = errors.New("seal: the newest key does not seal yet: promote it first")

// RemoveOld gives the keyset with its primary key alone. What the others have sealed can
// never be opened with it. The error is ErrNotPromoted, or says that there is no other
// key.
func RemoveOld(keysetJSON []byte) ([]byte, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return nil, err
	}
	primary, err := handle.Primary()
	if err != nil {
		return nil, fmt.Errorf("seal: remove: %w", err)
	}
	newest, err := handle.Entry(handle.Len() - 1)
	switch {
	case err != nil:
		return nil, fmt.Errorf("seal: remove: %w", err)
	case handle.Len() == 1:
		return nil, errors.New("seal: there is one key only")
	case newest.KeyID() != primary.KeyID():
		return nil, ErrNotPromoted
	}
	manager := keyset.NewManagerFromHandle(handle)
	for i := range handle.Len() - 1 {
		old, err := handle.Entry(i)
		if err == nil {
			err = manager.Delete(old.KeyID())
		}
		if err != nil {
			return nil, fmt.Errorf("seal: remove: %w", err)
		}
	}
	if handle, err = manager.Handle(); err != nil {
		return nil, fmt.Errorf("seal: remove: %w", err)
	}
	return write(handle)
}

func write(handle *keyset.Handle) ([]byte, error) {
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("seal: write keyset: %w", err)
	}
	return out.Bytes(), nil
}
