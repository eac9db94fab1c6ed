package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// The bodies of the benchmarks, as partners send them.
var benchBodies = map[string]string{
	"small":  withConnection(`"notes":"back from leave"`),
	"usual":  withConnection(`"first_name":"Ana María","last_name":"O'Brien","license_number":"D1234567","license_region":"CA","notes":"moved to the night shift at the northern yard, badge to be reissued"`),
	"faulty": withConnection(`"first_name":7,"license_expiration":"2028-02-30","default_time_zone":"Mars/Olympus","hos_tracking":[]`),
}

// BenchmarkStepDecode reads and checks the body of an update.
func BenchmarkStepDecode(b *testing.B) {
	for _, name := range []string{"small", "usual", "faulty"} {
		body := []byte(benchBodies[name])
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := wire.DecodeUserUpdate(body, wire.DecodeOptions{}); (err != nil) != (name == "faulty") {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStepView writes the answer to an accepted update.
func BenchmarkStepView(b *testing.B) {
	in, err := wire.DecodeUserUpdate([]byte(benchBodies["usual"]), wire.DecodeOptions{})
	require.NoError(b, err)
	op := operation.Operation{Accepted: operation.Accepted{
		Version: operation.Version, ConnectionID: in.ConnectionID, Provider: "samsara", Resource: operation.ResourceUser,
		SourceID: "494100", Type: operation.Update, Changes: in.Changes,
	}, Status: operation.Pending}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = wire.AppendJSON(buf[:0], wire.WriteView(op)); err != nil {
			b.Fatal(err)
		}
	}
}
