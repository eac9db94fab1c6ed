package seal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func fresh(t *testing.T) []byte {
	t.Helper()
	k, err := Generate()
	require.NoError(t, err)
	return k
}

func sealer(t *testing.T, k []byte) *Sealer {
	t.Helper()
	s, err := New(k)
	require.NoError(t, err)
	return s
}

func TestSeal_OpensOnlyWhatItIsBoundTo(t *testing.T) {
	t.Parallel()
	s := sealer(t, fresh(t))
	sealed, err := s.Seal([]byte("secret"), []byte("id-1"))
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "secret")
	again, err := s.Seal([]byte("secret"), []byte("id-1"))
	require.NoError(t, err)
	require.NotEqual(t, sealed, again)

	plain, err := s.Open(sealed, []byte("id-1"))
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	_, err = s.Open(sealed, []byte("id-2"))
	require.ErrorIs(t, err, ErrOpen)
	sealed[len(sealed)-1] ^= 1
	_, err = s.Open(sealed, []byte("id-1"))
	require.ErrorIs(t, err, ErrOpen)
	_, err = sealer(t, fresh(t)).Open(again, []byte("id-1"))
	require.ErrorIs(t, err, ErrOpen)
}

func TestRotation_EveryStepOpensWhatTheOthersSealed(t *testing.T) {
	t.Parallel()
	old := fresh(t)
	added, err := AddKey(old)
	require.NoError(t, err)
	promoted, err := Promote(added)
	require.NoError(t, err)
	before, between, after := sealer(t, old), sealer(t, added), sealer(t, promoted)

	aad := []byte("id")
	sealed, err := between.Seal([]byte("x"), aad)
	require.NoError(t, err)
	_, err = before.Open(sealed, aad)
	require.NoError(t, err, "a process with the old keyset opens what one with the added key seals")
	sealed, err = after.Seal([]byte("x"), aad)
	require.NoError(t, err)
	_, err = between.Open(sealed, aad)
	require.NoError(t, err)
	_, err = before.Open(sealed, aad)
	require.ErrorIs(t, err, ErrOpen)

	sealed, err = before.Seal([]byte("x"), aad)
	require.NoError(t, err)
	_, changed, err := before.Reseal(sealed, aad)
	require.NoError(t, err)
	require.False(t, changed)
	moved, changed, err := after.Reseal(sealed, aad)
	require.NoError(t, err)
	require.True(t, changed)
	plain, err := after.Open(moved, aad)
	require.NoError(t, err)
	require.Equal(t, "x", string(plain))
	_, _, err = after.Reseal(sealed, []byte("other"))
	require.ErrorIs(t, err, ErrOpen)
}

// TestRemoveOld_LeavesTheKeyThatSeals, and refuses in the middle of a change of keys.
func TestRemoveOld_LeavesTheKeyThatSeals(t *testing.T) {
	t.Parallel()
	old := fresh(t)
	_, err := RemoveOld(old)
	require.ErrorContains(t, err, "one key only")
	added, err := AddKey(old)
	require.NoError(t, err)
	_, err = RemoveOld(added)
	require.ErrorIs(t, err, ErrNotPromoted)
	promoted, err := Promote(added)
	require.NoError(t, err)
	alone, err := RemoveOld(promoted)
	require.NoError(t, err)
	aad := []byte("id")
	was, err := sealer(t, old).Seal([]byte("x"), aad)
	require.NoError(t, err)
	is, err := sealer(t, promoted).Seal([]byte("x"), aad)
	require.NoError(t, err)
	_, err = sealer(t, alone).Open(was, aad)
	require.ErrorIs(t, err, ErrOpen)
	got, err := sealer(t, alone).Open(is, aad)
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	_, err = RemoveOld([]byte("none"))
	require.Error(t, err)
}

func TestNew_SaysNothingOfTheKeyset(t *testing.T) {
	t.Parallel()
	_, err := New([]byte(`{"key":"hidden-material"}`))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hidden")
	file := filepath.Join(t.TempDir(), "keyset.json")
	_, err = Load(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, fresh(t), 0o600))
	_, err = Load(file)
	require.NoError(t, err)
}
