package natsq

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// takingMsg is a message of which it is counted how often it was said to be taken still.
type takingMsg struct {
	jetstream.Msg
	said int
}

func (m *takingMsg) InProgress() error { m.said++; return nil }

// TestHold_SaysSoUntilItIsLetGo: a message that is being taken is not given out again, one that
// was taken is left alone.
func TestHold_SaysSoUntilItIsLetGo(t *testing.T) {
	t.Parallel()
	require.Less(t, 2*feedHold, WebhookConfig{}.withDefaults().AckWait, "one that gets lost does no harm")
	synctest.Test(t, func(t *testing.T) {
		said := func(msg *takingMsg, after time.Duration) int {
			time.Sleep(after)
			synctest.Wait()
			return msg.said
		}
		var quick, slow takingMsg
		letGo := hold(&quick)
		require.Zero(t, said(&quick, feedHold-1))
		letGo()
		require.Zero(t, said(&quick, 10*feedHold))

		letGo = hold(&slow)
		require.Equal(t, 3, said(&slow, 3*feedHold+1))
		letGo()
		require.Equal(t, 3, said(&slow, 10*feedHold))
	})
}

// TestResults_FailingIsWhenNothingIsTaken: what fails alone comes again by itself and slows
// nothing else.
func TestResults_FailingIsWhenNothingIsTaken(t *testing.T) {
	t.Parallel()
	fault := errors.New("not now")
	for name, row := range map[string]struct {
		noted []error
		want  error
	}{
		"nothing came": {nil, nil},
		"all taken":    {[]error{nil, nil}, nil},
		"all failed":   {[]error{fault, fault}, fault},
		"one failed":   {[]error{nil, fault}, nil},
		"one taken":    {[]error{fault, nil}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r results
			for _, before := range []error{nil, fault} { // what was before counts no more
				r.note(before)
				require.ErrorIs(t, r.failing(), before)
				for _, err := range row.noted {
					r.note(err)
				}
				require.ErrorIs(t, r.failing(), row.want)
			}
		})
	}
}
