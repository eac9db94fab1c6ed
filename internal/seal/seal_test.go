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

// TestAfter_OpensWhatTheKeysetBeforeSealed, for as long as Reseal has not moved it.
func TestAfter_OpensWhatTheKeysetBeforeSealed(t *testing.T) {
	t.Parallel()
	before, aad := fresh(t), []byte("id")
	alone := sealer(t, fresh(t))
	sealed, err := sealer(t, before).Seal([]byte("x"), aad)
	require.NoError(t, err)
	same, err := alone.After(nil)
	require.NoError(t, err)
	_, err = same.Open(sealed, aad)
	require.ErrorIs(t, err, ErrOpen, "there was none before")
	_, err = alone.After([]byte("{}"))
	require.Error(t, err)

	after, err := alone.After(before)
	require.NoError(t, err)
	plain, err := after.Open(sealed, aad)
	require.NoError(t, err)
	require.Equal(t, "x", string(plain))
	_, err = after.Open(sealed, []byte("other"))
	require.ErrorIs(t, err, ErrOpen)
	moved, changed, err := after.Reseal(sealed, aad)
	require.NoError(t, err)
	require.True(t, changed)
	plain, err = alone.Open(moved, aad)
	require.NoError(t, err)
	require.Equal(t, "x", string(plain))
	again, changed, err := after.Reseal(moved, aad)
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, moved, again)
}

// TestRemoveOld_OfSeveral changes leaves one key, too.
func TestRemoveOld_OfSeveral(t *testing.T) {
	t.Parallel()
	aad, now := []byte("id"), fresh(t)
	var was [][]byte
	for range 3 {
		sealed, err := sealer(t, now).Seal([]byte("x"), aad)
		require.NoError(t, err)
		was = append(was, sealed)
		added, err := AddKey(now)
		require.NoError(t, err)
		now, err = Promote(added)
		require.NoError(t, err)
	}
	for _, sealed := range was {
		_, err := sealer(t, now).Open(sealed, aad)
		require.NoError(t, err, "no change of keys takes one away")
	}
	alone, err := RemoveOld(now)
	require.NoError(t, err)
	for _, sealed := range was {
		_, err := sealer(t, alone).Open(sealed, aad)
		require.ErrorIs(t, err, ErrOpen)
	}
}
