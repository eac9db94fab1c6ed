package natsq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ProvisionVersion is the form of streams and consumers that this program makes. It
// is written into their metadata; raise it with every change of what Ensure asks
// for beside the sizes that are configured.
const ProvisionVersion = 2

// ProvisionKey is the metadata key of ProvisionVersion.
const ProvisionKey = "writeback_version"

// provision brings streams and consumers to at least what is wanted.
//
// It never narrows: an age, size or number of replicas that an operator has raised
// stays, so does everything that is not named here (placement, mirrors, direct
// reads). What is narrower is widened; where the servers have no room for that, it is
// reported and the program starts all the same. What a newer program has made is
// left alone, so that old and new run side by side during an upgrade. What would lose
// messages is an error.
type provision struct {
	js  jetstream.JetStream
	log *slog.Logger
}

func (p provision) stream(ctx context.Context, want jetstream.StreamConfig) error {
	s, err := p.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		want.Metadata = marked(nil)
		_, err = p.js.CreateStream(ctx, want)
		if noRoom(err) {
			err = fmt.Errorf("%d bytes in %d copies were asked for: %w", want.MaxBytes, want.Replicas, err)
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return wrap("stream", want.Name, err)
		}
		s, err = p.js.Stream(ctx, want.Name) // another process was first, with other sizes
	}
	if err != nil {
		return wrap("stream", want.Name, err)
	}
	have := s.CachedInfo().Config
	if err := fit(have, want); err != nil {
		return wrap("stream", want.Name, err)
	}
	return wrap("stream", want.Name, p.widen(ctx, have, widened(have, want)))
}

func (p provision) widen(ctx context.Context, have, wide jetstream.StreamConfig) error {
	if versionOf(have.Metadata) > ProvisionVersion || reflect.DeepEqual(have, wide) {
		return nil
	}
	_, err := p.js.UpdateStream(ctx, wide)
	if noRoom(err) {
		p.log.WarnContext(ctx, "a stream is narrower than the configuration and cannot be widened", "stream", have.Name,
			"error", err, "replicas", have.Replicas, "want_replicas", wide.Replicas,
			"max_bytes", have.MaxBytes, "want_max_bytes", wide.MaxBytes)
		// The rest of it needs no room.
		wide.Replicas, wide.MaxBytes = have.Replicas, have.MaxBytes
		if err = nil; !reflect.DeepEqual(have, wide) {
			_, err = p.js.UpdateStream(ctx, wide)
		}
	}
	return err
}

func wrap(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("natsq: %s %s: %w", what, name, err)
}

// fit says what of a stream would lose messages and cannot be changed.
func fit(have, want jetstream.StreamConfig) error {
	switch {
	case have.Retention != want.Retention:
		return fmt.Errorf("its retention is %s and must be %s", have.Retention, want.Retention)
	case have.Storage != want.Storage:
		return fmt.Errorf("its storage is %s and must be %s", have.Storage, want.Storage)
	case have.Mirror != nil:
		return errors.New("it is a mirror")
	case have.Sealed:
		return errors.New("it is sealed")
	}
	return nil
}

// widened is what there is, with everything that is narrower than wanted raised.
func widened(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	wide := have
	wide.Description, wide.Discard = want.Description, want.Discard
	wide.DiscardNewPerSubject = wide.DiscardNewPerSubject && wide.Discard == jetstream.DiscardNew
	wide.Subjects = union(have.Subjects, want.Subjects)
	wide.MaxAge = time.Duration(wider(int64(have.MaxAge), int64(want.MaxAge)))
	wide.MaxBytes = wider(have.MaxBytes, want.MaxBytes)
	// These are never bounded: one of them would drop or refuse messages unseen.
	wide.MaxMsgs, wide.MaxMsgsPerSubject, wide.MaxMsgSize = -1, -1, -1
	wide.Replicas = max(have.Replicas, want.Replicas)
	wide.Duplicates = max(have.Duplicates, want.Duplicates)
	wide.NoAck = false
	wide.Metadata = marked(have.Metadata)
	return wide
}

// union joins two lists of subjects, without those that another one covers: a server
// refuses them.
func union(have, want []string) []string {
	all := slices.Clone(have)
	for _, subject := range want {
		if slices.ContainsFunc(all, func(s string) bool { return covers(s, subject) }) {
			continue
		}
		all = append(slices.DeleteFunc(all, func(s string) bool { return covers(subject, s) }), subject)
	}
	return all
}

// covers reports whether all that the second subject takes, the first takes.
func covers(pattern, subject string) bool {
	wild, tokens := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, w := range wild {
		switch {
		case w == ">":
			return len(tokens) > i
		case i >= len(tokens) || tokens[i] == ">" || (w != "*" && w != tokens[i]):
			return false
		}
	}
	return len(wild) == len(tokens)
}

// wider gives the larger of two bounds; none is the largest.
func wider(a, b int64) int64 {
	switch {
	case a <= 0:
		return a
	case b <= 0:
		return b
	}
	return max(a, b)
}

func marked(metadata map[string]string) map[string]string {
	m := maps.Clone(metadata)
	if m == nil {
		m = map[string]string{}
	}
	m[ProvisionKey] = strconv.Itoa(ProvisionVersion)
	return m
}

func versionOf(metadata map[string]string) int {
	v, _ := strconv.Atoi(metadata[ProvisionKey])
	return v
}

// Codes by which a server says that it cannot hold what it was asked for.
const (
	codeNoPeers        jetstream.ErrorCode = 10005
	codeNoResources    jetstream.ErrorCode = 10023
	codeNoMemory       jetstream.ErrorCode = 10028
	codeNoStorage      jetstream.ErrorCode = 10047
	codeNoReplicas     jetstream.ErrorCode = 10074
	codeStreamMaxBytes jetstream.ErrorCode = 10122
)

func noRoom(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains([]jetstream.ErrorCode{
		codeNoPeers, codeNoResources, codeNoMemory, codeNoStorage, codeNoReplicas, codeStreamMaxBytes,
	}, api.ErrorCode)
}

func (p provision) consumer(ctx context.Context, stream string, want jetstream.ConsumerConfig) error {
	c, err := p.js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		want.Metadata = marked(nil)
		_, err = p.js.CreateConsumer(ctx, stream, want)
		if !errors.Is(err, jetstream.ErrConsumerExists) {
			return wrap("consumer", want.Durable, err)
		}
		c, err = p.js.Consumer(ctx, stream, want.Durable)
	}
	if err != nil {
		return wrap("consumer", want.Durable, err)
	}
	have := c.CachedInfo().Config
	if have.AckPolicy != want.AckPolicy {
		return wrap("consumer", want.Durable, fmt.Errorf("its ack policy is %s and must be %s", have.AckPolicy, want.AckPolicy))
	}
	wide := have
	wide.Description, wide.FilterSubject, wide.FilterSubjects = want.Description, want.FilterSubject, want.FilterSubjects
	wide.AckWait = max(have.AckWait, want.AckWait)
	wide.MaxDeliver = -1
	wide.MaxAckPending = int(wider(int64(have.MaxAckPending), int64(want.MaxAckPending)))
	wide.InactiveThreshold = 0
	wide.Metadata = marked(have.Metadata)
	if versionOf(have.Metadata) > ProvisionVersion || reflect.DeepEqual(have, wide) {
		return nil
	}
	_, err = p.js.UpdateConsumer(ctx, stream, wide)
	return wrap("consumer", want.Durable, err)
}
