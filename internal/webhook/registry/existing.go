package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
)

// ErrNone says that no program has made the bucket.
var ErrNone = errors.New("registry: there is no bucket of webhooks")

// Existing reads the bucket as it is now, for an operator: it makes none, and neither follows
// it nor opens a secret. Of what changes a subscription only Pause and Activate work. The
// error is ErrNone, or one of NATS.
func Existing(ctx context.Context, js jetstream.JetStream) (*Registry, error) {
	kv, err := js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("registry: bucket %s: %w", Bucket, err)
	}
	r, err := readOnce(ctx, js, nil)
	if err != nil {
		return nil, err
	}
	r.kv = kv
	return r, nil
}

// readOnce is a registry of what the bucket holds now.
func readOnce(ctx context.Context, js jetstream.JetStream, s sealer) (*Registry, error) {
	r := empty(js, s, nil, Config{})
	if err := natsq.ReadBucket(ctx, js, Bucket, 0, r.take); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return r, nil
}
