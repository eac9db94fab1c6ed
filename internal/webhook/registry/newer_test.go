package registry

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
)

// Two versions run side by side: what the newer one has stored of a webhook is still there after
// the older one has changed it, until it is deleted.
func TestChange_KeepsWhatANewerVersionHasStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made := r.create(t, webhook.New{URL: "https://example.com/a"})
	entry := func() map[string]any {
		e, err := r.kv.Get(t.Context(), keyOf(made.ID))
		require.NoError(t, err)
		var all map[string]any
		require.NoError(t, json.Unmarshal(e.Value(), &all))
		return all
	}
	now := entry()
	now["later"] = "kept"
	value, err := json.Marshal(now)
	require.NoError(t, err)
	_, err = r.kv.Put(t.Context(), keyOf(made.ID), value)
	require.NoError(t, err)

	for _, change := range []func() (webhook.Subscription, error){
		func() (webhook.Subscription, error) { return r.Pause(t.Context(), partner, made.ID) },
		func() (webhook.Subscription, error) { return r.Activate(t.Context(), partner, made.ID) },
	} {
		s, err := change()
		require.NoError(t, err)
		now = entry()
		require.Equal(t, "kept", now["later"])
		require.Equal(t, string(s.Status), now["status"])
	}
	require.NoError(t, r.Delete(t.Context(), partner, made.ID))
	require.NotContains(t, entry(), "later", "it may hold a secret")
}
