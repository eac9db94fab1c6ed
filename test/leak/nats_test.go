package leak_test

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/testenv"
)

// unlimited lifts the rate limits of all connections, since the test calls the
// providers often, and makes them wait for a second only.
func (r *rig) unlimited() {
	js := r.jetStream()
	kv, err := js.KeyValue(r.Context(), directory.Bucket)
	require.NoError(r, err)
	for _, seed := range r.seeds {
		key := "connection." + seed.Connection
		entry, err := kv.Get(r.Context(), key)
		require.NoError(r, err)
		record := map[string]json.RawMessage{}
		require.NoError(r, json.Unmarshal(entry.Value(), &record))
		record["limits"], err = json.Marshal(map[string]any{"per_second": 1000, "burst": 1000, "call_ns": time.Second, "max_attempts": 3})
		require.NoError(r, err)
		value, err := json.Marshal(record)
		require.NoError(r, err)
		_, err = kv.Update(r.Context(), key, value, entry.Revision())
		require.NoError(r, err)
	}
}

// stored gives all that NATS holds, with the headers, as it is there.
func (r *rig) stored() string {
	js := r.jetStream()
	var out strings.Builder
	names := js.StreamNames(r.Context())
	for name := range names.Name() {
		stream, err := js.Stream(r.Context(), name)
		require.NoError(r, err)
		state := stream.CachedInfo().State
		for seq := max(1, state.FirstSeq); seq <= state.LastSeq; seq++ {
			m, err := stream.GetMsg(r.Context(), seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			require.NoError(r, err)
			out.WriteString(m.Subject + "\n")
			for key, values := range m.Header {
				out.WriteString(key + ": " + strings.Join(values, " ") + "\n")
			}
			out.Write(m.Data)
			out.WriteString("\n")
		}
	}
	require.NoError(r, names.Err())
	return out.String()
}

func (r *rig) jetStream() jetstream.JetStream {
	r.Helper()
	nc, err := nats.Connect(r.stack.URLs().NATS, testenv.Patient)
	require.NoError(r, err)
	r.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(r, err)
	return js
}
