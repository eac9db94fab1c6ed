package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
)

// clientName is how the servers list doctor.
const clientName = "writeback-doctor"

// lookAtNATS looks at the server, the streams and what lies in them.
func lookAtNATS(ctx context.Context, r *report, s settings, now func() time.Time) {
	if s.anyBroken("WRITEBACK_NATS_URL", "WRITEBACK_NATS_CREDS_FILE", "WRITEBACK_TLS_CERT_FILE", "WRITEBACK_TLS_KEY_FILE") {
		return
	}
	nc, err := nats.Connect(s.NATSURL, append(natsq.Identity(s.NATSCredsFile, s.TLSCertFile, s.TLSKeyFile),
		nats.Name(clientName), nats.Timeout(2*time.Second), nats.NoReconnect())...)
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		r.fail("nats", "give a user that may use JetStream: in WRITEBACK_NATS_URL or WRITEBACK_NATS_CREDS_FILE", "refuses us: %s", err)
		return
	case err != nil:
		r.fail("nats", whyNATSAway(err, s.NATSCredsFile)+"; meanwhile accepts go on up to the outbox's bound", "not reached: %s", err)
		return
	}
	defer nc.Close()
	r.ok("nats", "reached, version %s", nc.ConnectedServerVersion())
	needVersion(r, "nats version", nc.ConnectedServerVersion(), 2, 12, "nats-server")
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	switch last := nc.LastError(); {
	case err == nil:
	case errors.Is(last, nats.ErrPermissionViolation):
		r.fail("jetstream", "let the user of WRITEBACK_NATS_URL publish and subscribe to what docs/operations.md lists", "refuses us: %s", last)
		return
	default:
		r.fail("jetstream", "start nats-server with JetStream (`-js`, or a jetstream block with a store_dir) and let the account use it",
			"cannot be used: %s", err)
		return
	}
	r.ok("jetstream", "on")
	clocked := false
	streams := natsq.Streams(natsq.Config{
		Replicas: s.Replicas, OperationsMaxBytes: int64(s.OperationsMaxBytes), EventsMaxBytes: int64(s.EventsMaxBytes),
	})
	for _, want := range append(streams, natsq.WebhookStreams(natsq.WebhookConfig{Replicas: s.Replicas})...) {
		before := now()
		info := lookAtStream(ctx, r, js, want)
		if info != nil && !clocked && !info.TimeStamp.IsZero() {
			clocked = true
			compareClock(r, "nats", info.TimeStamp, before, now(), 0)
		}
	}
	for _, stream := range []string{natsq.StreamOperations, natsq.StreamEvents} {
		for _, name := range natsq.Consumers()[stream] {
			lookAtConsumer(ctx, r, js, stream, name)
		}
	}
	lookAtDirectory(ctx, r, s, js)
	lookAtWebhooks(ctx, r, s, js)
}

// whyNATSAway tells one that hangs, and credentials that are none, from one that is not there.
func whyNATSAway(err error, creds string) string {
	var failed net.Error
	var dial *net.OpError
	switch {
	case whyNoTLS(err) != "":
		return whyNoTLS(err)
	case errors.As(err, &dial) && dial.Op == "dial":
	case errors.As(err, &failed) && failed.Timeout(), errors.Is(err, nats.ErrTimeout):
		return "it takes connections and answers nothing: see whether its process is stopped or its disk hangs (its log, `top`), and whether WRITEBACK_NATS_URL is the port of NATS"
	case creds != "":
		return "start nats-server, or correct WRITEBACK_NATS_URL or WRITEBACK_NATS_CREDS_FILE"
	}
	return "start nats-server, or correct WRITEBACK_NATS_URL"
}

const restart = "restart an api or worker, which makes it anew as far as it can; else `nats stream edit`"

// lookAtStream compares a stream with what it should be and gives what it is.
func lookAtStream(ctx context.Context, r *report, js jetstream.JetStream, want jetstream.StreamConfig) *jetstream.StreamInfo {
	check := "stream " + want.Name
	stream, err := js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		r.fail(check, "if none ever ran here, start an api or worker, which creates it (if one runs, its /readyz says what hinders it); else its data is lost: restore its backup, and start nothing before, which would make an empty one", "missing")
		return nil
	case err != nil:
		r.fail(check, "see the log of nats-server", "%s", err)
		return nil
	}
	info := stream.CachedInfo()
	faults := narrower(info.Config, want)
	for _, fault := range faults {
		r.fail(check, restart, "%s", fault)
	}
	full := float64(info.State.Bytes) / float64(max(info.Config.MaxBytes, 1))
	switch {
	case info.Config.MaxBytes > 0 && full > 0.7 && want.Discard == jetstream.DiscardNew:
		r.warn(check, "raise WRITEBACK_OPERATIONS_MAX_BYTES or WRITEBACK_EVENTS_MAX_BYTES: a full stream takes nothing new", "%.0f %% of its bytes are used", 100*full)
	case want.Name == natsq.StreamDead && info.State.Msgs > 0:
		r.warn("dead letters", "look at `writeback deadletter list`; after an update, `writeback deadletter replay --all`", "%d messages could not be understood", info.State.Msgs)
	case want.Name == natsq.StreamDead:
		r.ok("dead letters", "none")
	case len(faults) == 0:
		r.ok(check, "%d messages", info.State.Msgs)
	}
	return info
}

// narrower says in what a stream promises less than it should.
func narrower(have, want jetstream.StreamConfig) []string {
	var out []string
	add := func(narrow bool, format string, args ...any) {
		if narrow {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	taken := map[string]bool{}
	for _, s := range have.Subjects {
		taken[s] = true
	}
	for _, s := range want.Subjects {
		add(!taken[s], "does not take the subject %s", s)
	}
	add(have.Retention != want.Retention, "retention is %s, not %s", have.Retention, want.Retention)
	add(have.Storage != want.Storage, "storage is %s, not %s", have.Storage, want.Storage)
	add(have.Discard != want.Discard, "a full stream discards %s, not %s", have.Discard, want.Discard)
	add(have.MaxAge > 0 && have.MaxAge < want.MaxAge, "keeps messages for %s, not %s", have.MaxAge, want.MaxAge)
	add(have.MaxBytes > 0 && have.MaxBytes < want.MaxBytes, "holds %d bytes, not %d", have.MaxBytes, want.MaxBytes)
	add(have.MaxMsgs > 0, "holds %d messages at most; it must have no such bound", have.MaxMsgs)
	add(have.MaxMsgsPerSubject > 0, "holds %d messages of a subject at most; it must have no such bound", have.MaxMsgsPerSubject)
	add(have.MaxMsgSize > 0, "takes messages up to %d bytes; it must have no such bound", have.MaxMsgSize)
	add(have.Replicas < want.Replicas, "has %d replicas, not %d", have.Replicas, want.Replicas)
	add(have.NoAck, "acks nothing")
	add(have.Sealed, "is sealed")
	return out
}

// lookAtConsumer looks at one that wakes workers, or feeds webhooks.
func lookAtConsumer(ctx context.Context, r *report, js jetstream.JetStream, stream, name string) {
	check, what, without := "consumer "+name, "events", "no webhook is told"
	if name == natsq.ConsumerQuiet {
		what, without = "wake-ups", "work starts up to a poll later"
	}
	c, err := js.Consumer(ctx, stream, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound): // said above
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		r.fail(check, "restart an api or worker, which creates it; without it "+without, "missing")
	case err != nil:
		r.fail(check, "see the log of nats-server", "%s", err)
	default:
		info := c.CachedInfo()
		if info.Paused {
			r.fail(check, "resume it: `nats consumer resume "+stream+" "+name+"`; until then "+without, "paused")
			return
		}
		if name == natsq.ConsumerQuiet && !asked(ctx, c) {
			r.warn(check, "start a worker with the role operations", "no worker asks for wake-ups; %d wait", info.NumPending)
			return
		}
		r.ok(check, "%d %s wait, %d are under way", info.NumPending, what, info.NumAckPending)
	}
}

// asked reports whether anybody takes from a consumer. Who does may be between two pulls,
// or have no room but for what is under way.
func asked(ctx context.Context, c jetstream.Consumer) bool {
	for look := range 3 {
		if look > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		if info, err := c.Info(ctx); err != nil || info.NumWaiting+info.NumAckPending > 0 {
			return true // or it cannot be told
		}
	}
	return false
}
