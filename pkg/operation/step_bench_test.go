package operation_test

import (
	"testing"

	"writeback/pkg/operation"
)

// BenchmarkStepAppend writes what goes into the streams.
func BenchmarkStepAppend(b *testing.B) {
	op := full()
	for name, body := range map[string]appender{
		"message": &operation.Message{Accepted: op.Accepted, Place: op.Place},
		"event":   &operation.Event{Version: operation.Version, ID: op.ID, Kind: operation.EventFailed, Operation: op},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := body.AppendJSON(make([]byte, 0, 3<<9)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
