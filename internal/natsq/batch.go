package natsq

import (
	"context"
	"math"

	"writeback/pkg/operation"
)

const (
	// batchFrame is what form and headers of a message take besides the operations.
	batchFrame = 4 << 10
	// batchLeast is the room for operations where a server says that it has less.
	batchLeast = 64 << 10
)

// AcceptedMany publishes accepted operations of one request, in order, as one message,
// or as a few where the server's bound on messages asks for it. It gives how many of
// them, from the first on, are in the stream; with fewer than all comes the error.
func (p *Publisher) AcceptedMany(ctx context.Context, all []operation.Message) (published int, err error) {
	room := p.room(math.MaxInt)
	for published < len(all) {
		data, n, err := encodeBatch(all[published:], room)
		if err != nil {
			return published, err
		}
		c := newParcel(ctx, SubjectBatch, data, n, &all[published].Accepted)
		p.sendShared(c.message(SubjectBatch), []*parcel{c}) //nolint:contextcheck // its own deadline: what has left arrives
		if c.err != nil {
			return published, c.err
		}
		published += n
	}
	return published, nil
}

// encodeBatch makes a message of the first operations, as many as there is room for,
// and of one at least. It gives how many.
func encodeBatch(all []operation.Message, room int) (data []byte, n int, err error) {
	encoded := make([][]byte, 0, len(all))
	size := 0
	for i := range all {
		one, err := encode(&all[i])
		if err != nil {
			return nil, 0, err
		}
		if size += len(one) + 1; size > room && len(encoded) > 0 {
			break
		}
		encoded = append(encoded, one)
	}
	return operationsForm.join(encoded), len(encoded), nil
}

// room gives how many bytes of operations or events a message may carry: what the
// server takes, and at most what is given.
func (p *Publisher) room(most int) int {
	return min(max(int(p.nc.MaxPayload())-batchFrame, batchLeast), most)
}
