package registry

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/internal/webhook"
)

func TestExisting_MakesNothing(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = Existing(t.Context(), js)
	require.ErrorIs(t, err, ErrNone)
	_, err = js.KeyValue(t.Context(), Bucket)
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
	nc.Close()
	_, err = Existing(t.Context(), js)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrNone, "nobody knows")
}

// A program that runs learns of a status that was changed from outside, and its secret
// stays what it was.
func TestExisting_ChangesAStatusForAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.create(t, webhook.New{URL: "https://example.com/hook", Secret: "my-own-secret"})
	gone := r.create(t, webhook.New{URL: "https://example.com/gone"})
	require.NoError(t, r.Delete(t.Context(), partner, gone.ID))
	e, err := Existing(t.Context(), r.js)
	require.NoError(t, err)
	require.Len(t, e.All(), 2)
	_, err = e.Pause(t.Context(), stranger, c.ID)
	require.Error(t, err)
	_, err = e.Pause(t.Context(), partner, c.ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool { s, _ := r.known(c.ID); return s.Status == webhook.Paused }, soon, time.Millisecond)
	s, err := e.Activate(t.Context(), partner, c.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, s.Status)
	require.Eventually(t, func() bool { s, _ := r.known(c.ID); return s.Status == webhook.Active }, soon, time.Millisecond)
	s, _ = r.known(c.ID)
	secrets, err := r.Secrets(s, r.clock.now())
	require.NoError(t, err)
	require.Equal(t, []string{"my-own-secret"}, secrets)
}
