package doctor

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
)

func TestNeedVersion(t *testing.T) {
	t.Parallel()
	for have, want := range map[string]Status{
		"7.0.15": OK, "7.0": OK, "8.2.1": OK, "6.2.14": Fail, "": Fail, "2.12": Fail,
	} {
		r := &report{}
		needVersion(r, "redis version", have, 7, 0, "redis-server")
		require.Equal(t, want, r.findings[0].Status, have)
	}
	for have, want := range map[string]Status{"2.12.0": OK, "2.15.2": OK, "2.11.9": Fail, "3.0.0-beta": OK, "2.12.0-RC.1": OK} {
		r := &report{}
		needVersion(r, "nats version", have, 2, 12, "nats-server")
		require.Equal(t, want, r.findings[0].Status, have)
	}
}

func TestWorst(t *testing.T) {
	t.Parallel()
	require.Equal(t, OK, Worst(nil))
	require.Equal(t, Warn, Worst([]Finding{{Status: OK}, {Status: Warn}, {Status: OK}}))
	require.Equal(t, Fail, Worst([]Finding{{Status: Warn}, {Status: Fail}, {Status: OK}}))
}

// TestNarrower: a stream may promise more than ours, and none of it less.
func TestNarrower(t *testing.T) {
	t.Parallel()
	want := natsq.Streams(natsq.Config{Replicas: 3, OperationsMaxBytes: 1 << 30})[0]
	for _, tt := range []struct {
		words  string
		change func(*jetstream.StreamConfig)
	}{
		{"", func(*jetstream.StreamConfig) {}},
		{"", func(s *jetstream.StreamConfig) { s.Subjects = append([]string{"more"}, s.Subjects...) }},
		{"", func(s *jetstream.StreamConfig) { s.MaxAge *= 2; s.MaxBytes *= 2; s.Replicas = 5 }},
		{"", func(s *jetstream.StreamConfig) {
			s.MaxAge, s.MaxBytes, s.MaxMsgs, s.MaxMsgsPerSubject, s.MaxMsgSize = 0, -1, -1, -1, -1
		}},
		{"does not take the subject", func(s *jetstream.StreamConfig) { s.Subjects = nil }},
		{"retention is WorkQueue, not Limits", func(s *jetstream.StreamConfig) { s.Retention = jetstream.WorkQueuePolicy }},
		{"storage is Memory, not File", func(s *jetstream.StreamConfig) { s.Storage = jetstream.MemoryStorage }},
		{"discards DiscardOld", func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardOld }},
		{"keeps messages for", func(s *jetstream.StreamConfig) { s.MaxAge -= time.Second }},
		{"bytes, not 1073741824", func(s *jetstream.StreamConfig) { s.MaxBytes-- }},
		{"holds 1 messages at most", func(s *jetstream.StreamConfig) { s.MaxMsgs = 1 }},
		{"holds 1 messages of a subject", func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 1 }},
		{"takes messages up to 1 bytes", func(s *jetstream.StreamConfig) { s.MaxMsgSize = 1 }},
		{"has 1 replicas, not 3", func(s *jetstream.StreamConfig) { s.Replicas = 1 }},
		{"acks nothing", func(s *jetstream.StreamConfig) { s.NoAck = true }},
		{"is sealed", func(s *jetstream.StreamConfig) { s.Sealed = true }},
	} {
		have := want
		tt.change(&have)
		got := narrower(have, want)
		if tt.words == "" {
			require.Empty(t, got)
			continue
		}
		require.NotEmpty(t, got, tt.words)
		require.Contains(t, got[0], tt.words)
	}
}
