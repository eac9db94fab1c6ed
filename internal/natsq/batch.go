package natsq

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// SubjectBatch is that of the messages that carry many accepted operations. Nobody is
// woken by them.
const SubjectBatch = "operation.accepted.batch"

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
	room := max(int(p.nc.MaxPayload())-batchFrame, batchLeast)
	for published < len(all) {
		data, n, err := encodeBatch(all[published:], room)
		if err != nil {
			return published, err
		}
		if err := p.publishData(ctx, SubjectBatch, data, all[published].Accepted); err != nil {
			return published, err
		}
		published += n
	}
	return published, nil
}

// encodeBatch makes a message of the first operations, as many as there is room for,
// and of one at least. It gives how many.
func encodeBatch(all []operation.Message, room int) (data []byte, n int, err error) {
	data = append(data, `{"v":`+strconv.Itoa(operation.Version)+`,"operations":[`...)
	for ; n < len(all); n++ {
		one, err := json.Marshal(all[n])
		if err != nil {
			return nil, 0, fmt.Errorf("natsq: publish: %w", err)
		}
		if n > 0 {
			if len(data)+len(one) > room {
				break
			}
			data = append(data, ',')
		}
		data = append(data, one...)
	}
	return append(data, "]}"...), n, nil
}

// operationsKey is in every message of many. Where it is in a single one, that is by
// chance.
var operationsKey = []byte(`"operations":`)

// DecodeMessages reads a message of the operation stream, which says of one operation
// or of many that they were accepted. Of many, those that cannot be understood are
// left out; if that is all of them the error is ErrNotUnderstood.
func DecodeMessages(data []byte) ([]operation.Message, error) {
	if bytes.Contains(data, operationsKey) {
		if all, ok, err := decodeBatch(data); ok {
			return all, err
		}
	}
	m, err := DecodeMessage(data)
	if err != nil {
		return nil, err
	}
	return []operation.Message{m}, nil
}

// decodeBatch reads a message of many; ok says that it is one.
func decodeBatch(data []byte) (all []operation.Message, ok bool, err error) {
	var batch struct {
		Version    int               `json:"v"`
		ID         uuid.UUID         `json:"id"`
		Operations []json.RawMessage `json:"operations"`
	}
	if err := json.Unmarshal(data, &batch); err != nil || batch.ID != uuid.Nil || batch.Operations == nil {
		return nil, false, nil
	}
	if batch.Version < operation.Version-1 || batch.Version > operation.Version {
		return nil, true, fmt.Errorf("%w: version %d", ErrNotUnderstood, batch.Version)
	}
	all = make([]operation.Message, 0, len(batch.Operations))
	for _, one := range batch.Operations {
		if m, err := DecodeMessage(one); err == nil {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, true, fmt.Errorf("%w: no operation in it", ErrNotUnderstood)
	}
	return all, true, nil
}
