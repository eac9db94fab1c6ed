package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

// bury puts a message among the dead letters, as a worker does.
func (d *desk) bury(subject string, data []byte) uint64 {
	d.t.Helper()
	m := nats.NewMsg(natsq.SubjectDead)
	m.Data = data
	m.Header.Set(natsq.HeaderReason, "version 9")
	m.Header.Set(natsq.HeaderSubject, subject)
	m.Header.Set("Nats-Msg-Id", uuid.NewString())
	m.Header.Set("traceparent", "00-a-b-01")
	ack, err := d.js.PublishMsg(d.t.Context(), m)
	require.NoError(d.t, err)
	return ack.Sequence
}

func (d *desk) count(stream string) uint64 {
	d.t.Helper()
	s, err := d.js.Stream(d.t.Context(), stream)
	require.NoError(d.t, err)
	return s.CachedInfo().State.Msgs
}

func TestReplay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a := d.op
	a.ID = uuid.Must(uuid.NewV7())
	message, err := json.Marshal(operation.Message{Accepted: a, Place: operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)}})
	require.NoError(t, err)
	good := d.bury(natsq.SubjectQuiet, message)
	garbage := d.bury(natsq.SubjectQuiet, []byte(secretName))
	elsewhere := d.bury("somewhere.else", message)

	_, errOut := d.ctl(1, "deadletter", "replay", "99")
	require.Contains(t, errOut, "there is no dead letter 99")
	before := d.count(natsq.StreamOperations)
	out, errOut := d.ctl(1, "deadletter", "replay", "--all", "--dry-run")
	require.Contains(t, out, resultWouldBe)
	require.Contains(t, errOut, "2 of 3 are still not understood")
	require.Equal(t, before, d.count(natsq.StreamOperations))
	require.EqualValues(t, 3, d.count(natsq.StreamDead))

	out, _ = d.ctl(1, "deadletter", "replay", "--all", "--json")
	var views []replayView
	require.NoError(t, json.Unmarshal([]byte(out), &views))
	require.Equal(t, []string{resultReplayed, resultKept, resultKept}, []string{views[0].Result, views[1].Result, views[2].Result})
	require.Equal(t, []uint64{good, garbage, elsewhere}, []uint64{views[0].Seq, views[1].Seq, views[2].Seq})
	require.NotContains(t, out, secretName)
	require.Equal(t, before+1, d.count(natsq.StreamOperations))
	require.EqualValues(t, 2, d.count(natsq.StreamDead))

	s, err := d.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)
	last, err := s.GetLastMsgForSubject(t.Context(), natsq.SubjectQuiet)
	require.NoError(t, err)
	require.Equal(t, message, last.Data)
	require.Equal(t, "00-a-b-01", last.Header.Get("traceparent"))
	require.Empty(t, last.Header.Get(natsq.HeaderReason))
	require.Empty(t, last.Header.Get("Nats-Msg-Id"))
	out, _ = d.ctl(0, "deadletter", "list")
	require.NotContains(t, out, resultReplayed)
}

// TestReplay_LosesNothing: a message that cannot go back stays where it is.
func TestReplay_LosesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a := d.op
	a.ID = uuid.Must(uuid.NewV7())
	message, err := json.Marshal(operation.Message{Accepted: a, Place: operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)}})
	require.NoError(t, err)
	d.bury(natsq.SubjectQuiet, message)
	require.NoError(t, d.js.DeleteStream(t.Context(), natsq.StreamOperations))
	_, errOut := d.ctl(1, "deadletter", "replay", "1")
	require.Contains(t, errOut, "NATS: message 1: ")
	require.EqualValues(t, 1, d.count(natsq.StreamDead))
}

// TestReplay_KnowsWhatIsRead: a dead letter is of a subject that a worker reads, and each can go back.
func TestReplay_KnowsWhatIsRead(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), d.js, natsq.WebhookConfig{}))
	n := 0
	for stream, consumers := range natsq.Consumers() {
		for _, name := range consumers {
			c, err := d.js.Consumer(t.Context(), stream, name)
			require.NoError(t, err)
			for _, subject := range c.CachedInfo().Config.FilterSubjects {
				n++
				err := understood(subject, []byte(secretName))
				require.Error(t, err)
				require.NotContains(t, err.Error(), "nobody reads", subject)
			}
		}
	}
	require.Greater(t, n, 6)
}
