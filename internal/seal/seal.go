// Package seal encrypts small secrets for storage: webhook secrets, credentials.
//
// A sealed value is bound to its associated data, the id of what it belongs to, so
// that it cannot be moved to another record. Keys come as a Tink keyset in JSON:
// several keys, one of them primary. The package refuses to invent a format or a
// cipher of its own, and its errors hold nothing of what is sealed.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/core/cryptofmt"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrOpen says that a value cannot be opened: another keyset, other associated
// data, or not a sealed value.
var ErrOpen = errors.New("seal: the value cannot be opened with this keyset")

// Where programs without a keyset keep the key that they have generated: a bucket of NATS,
// and its key.
const (
	DevelopmentBucket = "writeback-development-keys"
	DevelopmentKey    = "keyset"
)

// Sealer seals and opens. Safe for concurrent use.
type Sealer struct {
	aead tink.AEAD
	// primary is what starts every value sealed under the primary key.
	primary []byte
	// before opens what does not open otherwise. Nil: nothing does.
	before *Sealer
}

// After gives a sealer that also opens what was sealed under a keyset of before, in Tink's
// JSON form, and seals it anew in Reseal. Nil: there was none.
func (s *Sealer) After(keysetJSON []byte) (*Sealer, error) {
	if keysetJSON == nil {
		return s, nil
	}
	before, err := New(keysetJSON)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead: s.aead, primary: s.primary, before: before}, nil
}

// New makes a sealer from a keyset in Tink's JSON form.
func New(keysetJSON []byte) (*Sealer, error) {
	handle, err := read(keysetJSON)
	if err != nil {
		return nil, err
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("seal: keyset: %w", err)
	}
	primary, err := handle.Primary()
	if err != nil {
		return nil, fmt.Errorf("seal: keyset: %w", err)
	}
	id := primary.KeyID()
	start := []byte{cryptofmt.TinkStartByte, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
	return &Sealer{aead: a, primary: start}, nil
}

// Load makes a sealer from a keyset file.
func Load(file string) (*Sealer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("seal: keyset: %w", err)
	}
	return New(text)
}

func read(keysetJSON []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(keysetJSON)))
	if err != nil {
		// The cause may quote the file.
		return nil, errors.New("seal: keyset: not a Tink keyset in JSON")
	}
	return handle, nil
}

// Seal encrypts plain under the primary key. aad is not stored; Open needs it.
func (s *Sealer) Seal(plain, aad []byte) ([]byte, error) {
	sealed, err := s.aead.Encrypt(plain, aad)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open gives back what was sealed with the same associated data. The error is
// ErrOpen.
func (s *Sealer) Open(sealed, aad []byte) ([]byte, error) {
	plain, err := s.aead.Decrypt(sealed, aad)
	switch {
	case err == nil:
		return plain, nil
	case s.before != nil:
		return s.before.Open(sealed, aad)
	}
	return nil, ErrOpen
}

// Reseal gives the value under the primary key, and whether that is a change. It
// is how stored values leave a key that is to be removed. The error is ErrOpen, or
// that of sealing.
func (s *Sealer) Reseal(sealed, aad []byte) (value []byte, changed bool, err error) {
	if bytes.HasPrefix(sealed, s.primary) {
		return sealed, false, nil
	}
	plain, err := s.Open(sealed, aad)
	if err != nil {
		return nil, false, err
	}
	value, err = s.Seal(plain, aad)
	return value, err == nil, err
}
