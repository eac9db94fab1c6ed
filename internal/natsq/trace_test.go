package natsq_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
)

// TestAcceptedMany_IsCountedAsMany: span and metric say how many operations left together, as
// they do where several requests share a message and as the readers count them.
func TestAcceptedMany_IsCountedAsMany(t *testing.T) {
	spans, sent := natsq.Measured(t)
	c := ready(t, testenv.NATS(t))
	ctx, request := otel.Tracer("test").Start(t.Context(), "request")
	_, err := c.pub.AcceptedMany(ctx, messages(7))
	require.NoError(t, err)
	require.NoError(t, c.pub.Accepted(ctx, message(8), true))
	request.End()

	published := map[string]map[attribute.Key]attribute.Value{}
	for _, span := range spans.Ended() {
		has := map[attribute.Key]attribute.Value{}
		for _, a := range span.Attributes() {
			has[a.Key] = a.Value
		}
		published[span.Name()] = has
	}
	many, one := published["publish operation.accepted.batch"], published["publish operation.accepted.quiet"]
	require.EqualValues(t, 7, many["messaging.batch.message_count"].AsInt64())
	require.NotContains(t, many, attribute.Key("messaging.message.conversation_id"), "it is of no single operation")
	require.NotContains(t, one, attribute.Key("messaging.batch.message_count"))
	require.Equal(t, message(8).ID.String(), one["messaging.message.conversation_id"].AsString())

	require.Equal(t, map[string]int64{"operation.accepted.batch": 7, "operation.accepted.quiet": 1}, sent("messaging.destination.name"))
}
