package natsq

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// entry is one of a bucket's.
type entry struct {
	jetstream.KeyValueEntry
	revision uint64
}

func (e entry) Key() string                     { return "other" }
func (e entry) Value() []byte                   { return nil }
func (e entry) Revision() uint64                { return e.revision }
func (e entry) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }

// TestFollower_ReadsForAsLongAsSomethingComes: a large bucket takes its time; one that has
// fallen silent is asked anew.
func TestFollower_ReadsForAsLongAsSomethingComes(t *testing.T) {
	for name, last := range map[string]error{"all": nil, "silence": errSilent} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 20
				updates := make(chan jetstream.KeyValueEntry)
				go func() {
					for i := range n {
						time.Sleep(silence - time.Second)
						updates <- entry{revision: uint64(i + 1)}
					}
					if last == nil {
						updates <- nil
					}
				}()
				var seen uint64
				f := &Follower{Take: func(e jetstream.KeyValueEntry) { seen = e.Revision() }}
				ctx, heard, stop := listening(context.Background())
				defer stop()
				require.ErrorIs(t, f.takeAll(ctx, updates, heard), last)
				require.EqualValues(t, n, seen)
			})
		})
	}
}
