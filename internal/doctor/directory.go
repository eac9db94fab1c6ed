package doctor

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/seal"
	"writeback/internal/webhook/registry"
)

// lookAtDirectory looks at the connections and whether their credentials open.
func lookAtDirectory(ctx context.Context, r *report, s settings, js jetstream.JetStream) {
	const check = "directory"
	if _, err := js.KeyValue(ctx, directory.Bucket); err != nil {
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			r.warn(check, "start an api or worker with WRITEBACK_REGISTRY_FILE, or run `writeback connection import FILE`", "there is none yet")
			return
		}
		r.fail(check, "see the log of nats-server", "%s", err)
		return
	}
	lookForDevelopmentKeys(ctx, r, s, js)
	cfg := directory.Config{AsItIs: true, NoUsers: true}
	if sealer, err := seal.Load(s.KeysetFile); s.KeysetFile != "" && err == nil {
		cfg.Sealer = sealer
	}
	d, err := directory.Open(ctx, js, cfg)
	if err != nil {
		r.fail(check, "see the log of nats-server; the bucket is "+directory.Bucket, "%s", err)
		return
	}
	all, locked, failed := d.All(), 0, 0
	for _, c := range all {
		if c.Locked {
			locked++
		}
		if c.Status == directory.ConnectionFailed {
			failed++
		}
	}
	switch {
	case locked > 0:
		r.fail("credentials", "set WRITEBACK_KEYSET_FILE to the keyset that sealed them, the same file for all",
			"those of %d of %d connections are sealed and do not open", locked, len(all))
	case len(all) == 0:
		r.warn(check, "run `writeback connection import FILE`", "it has no connection")
	default:
		r.ok(check, "%d connections", len(all))
	}
	if failed > 0 {
		r.warn("connections", "see `writeback connection list`; give new credentials, or `writeback connection activate`", "%d are failed: their provider refused the credentials", failed)
	}
}

func lookForDevelopmentKeys(ctx context.Context, r *report, s settings, js jetstream.JetStream) {
	if !s.production() {
		return
	}
	if _, err := js.KeyValue(ctx, seal.DevelopmentBucket); err == nil {
		r.warn("development key", "once webhook secrets are sealed under the keyset, delete the bucket: `nats kv del "+seal.DevelopmentBucket+"`",
			"a key for development lies in NATS; what was sealed with it is not protected")
	}
}

// lookAtWebhooks says whether the secrets of webhooks open.
func lookAtWebhooks(ctx context.Context, r *report, s settings, js jetstream.JetStream) {
	const check = "webhook secrets"
	_, err := js.KeyValue(ctx, registry.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return
	}
	sealer, err2 := webhookSealer(ctx, s, js)
	if err = errors.Join(err, err2); err == nil && sealer == nil {
		return // the keyset cannot be read, which is said, or there never was a key
	}
	locked, all := 0, 0
	if err == nil {
		locked, all, err = registry.Locked(ctx, js, sealer)
	}
	switch {
	case err != nil:
		r.fail(check, "see the log of nats-server", "%s", err)
	case locked > 0:
		r.fail(check, "set WRITEBACK_KEYSET_FILE to the keyset that sealed them, the same file for all; if its key is lost, their partners give them new secrets",
			"those of %d of %d webhooks do not open: nothing is sent to them", locked, all)
	case all > 0:
		r.ok(check, "those of %d webhooks open", all)
	}
}

// webhookSealer opens what programs with these settings seal. Nil: nothing does.
func webhookSealer(ctx context.Context, s settings, js jetstream.JetStream) (*seal.Sealer, error) {
	generated, err := natsq.ReadKey(ctx, js, seal.DevelopmentBucket, seal.DevelopmentKey)
	switch {
	case err != nil:
		return nil, err
	case s.KeysetFile != "":
		keyset, err := seal.Load(s.KeysetFile)
		if err != nil {
			return nil, nil //nolint:nilerr // said by the check of the keyset
		}
		return keyset.After(generated)
	case generated == nil:
		return nil, nil //nolint:nilnil // nothing was ever sealed
	}
	return seal.New(generated)
}
