// Package natsq is Writeback's use of NATS JetStream: the streams of operations and of
// webhook deliveries, what is published to them and read back, the consumers that wake
// workers and feed webhooks, and the key-value buckets that processes follow.
//
// Streams carry and remember; they schedule nothing. No subject holds an id.
package natsq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names of what operations use. Those of webhook deliveries are in webhooks.go.
const (
	StreamOperations = "OPERATIONS"
	StreamEvents     = "OPERATION_EVENTS"
	StreamDead       = "OPERATION_DEAD"

	SubjectQuiet     = "operation.accepted.quiet"
	SubjectBusy      = "operation.accepted.busy"
	SubjectAttempted = "operation.attempted"
	SubjectSucceeded = "operation.succeeded"
	SubjectFailed    = "operation.failed"
	SubjectDead      = "operation.dead"

	// SubjectAgain is of operations whose message a stream has lost: nobody is told of them.
	SubjectAgain = "operation.accepted.again"

	// Of messages of many.
	SubjectAgainBatch     = SubjectAgain + manySuffix
	SubjectBatch          = "operation.accepted.batch"
	SubjectQuietBatch     = SubjectQuiet + manySuffix
	SubjectAttemptedBatch = SubjectAttempted + manySuffix
	SubjectSucceededBatch = SubjectSucceeded + manySuffix
	SubjectFailedBatch    = SubjectFailed + manySuffix
	manySuffix            = ".batch"

	ConsumerQuiet = "workers-quiet"
)

// Config of the streams. Every zero field takes the default given with it.
type Config struct {
	// Replicas of each stream. Default 1.
	Replicas int
	// OperationsMaxAge is how long accepted messages are kept; it must exceed the
	// longest deadline. Default 48 h.
	OperationsMaxAge time.Duration
	// EventsMaxAge is how long events are kept. Default 45 days.
	EventsMaxAge time.Duration
	// OperationsMaxBytes and EventsMaxBytes bound the streams; a full stream
	// refuses new messages. Default 4 GiB and 16 GiB.
	OperationsMaxBytes, EventsMaxBytes int64
	// AckWait is when an unacked wake-up is given to another worker. Default 30 s.
	AckWait time.Duration
	// After gives, for a consumer that has to be made, the message after which it begins.
	// One that is not in it takes all.
	After map[string]uint64
	// Log is told of a stream that is narrower than the configuration and cannot be
	// widened. Nil: nobody is.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Replicas <= 0 {
		c.Replicas = 1
	}
	if c.OperationsMaxAge <= 0 {
		c.OperationsMaxAge = 48 * time.Hour
	}
	if c.EventsMaxAge <= 0 {
		c.EventsMaxAge = 45 * 24 * time.Hour
	}
	if c.OperationsMaxBytes <= 0 {
		c.OperationsMaxBytes = 4 << 30
	}
	if c.EventsMaxBytes <= 0 {
		c.EventsMaxBytes = 16 << 30
	}
	if c.AckWait <= 0 {
		c.AckWait = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Identity is what a connection shows to a server that asks who it is: a .creds file, and a
// client certificate with its key, in PEM. The files are read anew for each connection. Empty:
// there is none.
func Identity(credsFile, certFile, keyFile string) (options []nats.Option) {
	if credsFile != "" {
		options = append(options, nats.UserCredentials(credsFile))
	}
	if certFile != "" {
		// nats.ClientCert would demand TLS, also where the certificate is for Redis alone.
		options = append(options, func(o *nats.Options) error {
			o.TLSCertCB = func() (tls.Certificate, error) { return tls.LoadX509KeyPair(certFile, keyFile) }
			return nil
		})
	}
	return options
}

// Connect opens a connection that reconnects for ever and buffers nothing while it
// is away: a publish that cannot go out now fails now, and the outbox repeats it. Nor does
// anything leave that waited while the process stood still.
// A server that is not there yet, or refuses our credentials for now, is no error.
// What the client ends for good all the same is logged, and shows as nats.CLOSED.
// more are options of the caller's own, for example credentials.
func Connect(url, name string, log *slog.Logger, more ...nats.Option) (*nats.Conn, error) {
	p := &pulse{began: time.Now()}
	nc, err := nats.Connect(url, append([]nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(), // credentials come and go while they are rotated
		nats.Timeout(3 * time.Second),
		leaving(p),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.NoCallbacksAfterClientClose(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { log.Warn("nats disconnected", "error", err) }),
		nats.ClosedHandler(func(nc *nats.Conn) { log.Error("nats connection closed for good", "error", nc.LastError()) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("nats reconnected", "server", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("nats", "error", err) }),
	}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("natsq: connect: %w", err)
	}
	p.beat(nc)
	return nc, nil
}

// Away has what hinders the connection while there is none logged apart: it comes several
// times a second, so the log should leave lines out. why is told the same: of a server that
// is not there the client does not keep it. Give it to Connect.
func Away(log *slog.Logger, why func(error)) nats.Option {
	away := func(err error) {
		why(err)
		log.Warn("nats not reached", "error", err)
	}
	return func(o *nats.Options) error {
		connected := o.AsyncErrorCB
		o.AsyncErrorCB = func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if nc.IsConnected() {
				connected(nc, sub, err)
				return
			}
			away(err)
		}
		o.ReconnectErrCB = func(_ *nats.Conn, err error) { away(err) }
		return nil
	}
}

// Explain gives an error that came of a call while NATS is not connected its name: it is
// ErrAway then, with the addresses and without their credentials, and with what a server
// that answered said: it may refuse us. Any other error, and nil, it gives back.
func Explain(nc *nats.Conn, err error) error {
	late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
	if !errors.Is(err, nats.ErrReconnectBufExceeded) && (!late || nc.IsConnected()) {
		return err
	}
	away := fmt.Errorf("%w (%s)", ErrAway, strings.Join(nc.Servers(), ", "))
	if said := nc.LastError(); said != nil {
		return fmt.Errorf("%w: %w", away, said)
	}
	return away
}

// Streams are the streams that Ensure makes, as the configuration wants them.
func Streams(cfg Config) []jetstream.StreamConfig {
	cfg = cfg.withDefaults()
	streams := []jetstream.StreamConfig{
		{
			Name: StreamOperations, Subjects: []string{"operation.accepted.>"},
			Description: "accepted operations", MaxAge: cfg.OperationsMaxAge, MaxBytes: cfg.OperationsMaxBytes,
		},
		{
			Name: StreamEvents,
			Subjects: []string{
				SubjectAttempted, SubjectSucceeded, SubjectFailed, SubjectAttemptedBatch, SubjectSucceededBatch, SubjectFailedBatch,
			},
			Description: "what happened to operations", MaxAge: cfg.EventsMaxAge, MaxBytes: cfg.EventsMaxBytes,
		},
		{
			Name: StreamDead, Subjects: []string{SubjectDead},
			Description: "messages that could not be understood", MaxAge: 30 * 24 * time.Hour, MaxBytes: 256 << 20,
		},
	}
	for i := range streams {
		s := &streams[i]
		s.Retention = jetstream.LimitsPolicy
		s.Storage = jetstream.FileStorage
		s.Compression = jetstream.S2Compression
		s.Discard = jetstream.DiscardNew
		s.Replicas = cfg.Replicas
		// The flow repeats publishes and tolerates duplicates; ids would cost memory.
		s.Duplicates = time.Second
		if s.Name == StreamDead {
			// A dead message comes back after AckWait if its end got lost.
			s.Duplicates = max(10*time.Minute, 2*cfg.AckWait)
		}
	}
	return streams
}

// Ensure creates the streams and the consumer, or brings them to at least the
// configuration; see provision. Several processes may do so at once.
func Ensure(ctx context.Context, js jetstream.JetStream, cfg Config) error {
	cfg = cfg.withDefaults()
	p := provision{js, cfg.Log}
	for _, s := range Streams(cfg) {
		if err := p.stream(ctx, s); err != nil {
			return err
		}
	}
	return p.consumer(ctx, StreamOperations, after(cfg.After, jetstream.ConsumerConfig{
		Durable: ConsumerQuiet, Description: "wakes workers", FilterSubjects: []string{SubjectQuiet, SubjectQuietBatch},
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxDeliver: -1, MaxAckPending: 20_000,
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}))
}

// after lets a consumer that is made begin where the last one was, if that is known.
func after(known map[string]uint64, c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	if seq, ok := known[c.Durable]; ok {
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, seq+1
	}
	return c
}
