package httpapi

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/admission"
	"writeback/pkg/operation"
)

// still is a clock that stands, so that no budget fills up.
func still() time.Time { return worldTime }

func TestAdmission_RatePerPartner(t *testing.T) {
	t.Parallel()
	api := newLimitedAPI(t, Config{}, admission.Config{PerSecond: 2, Burst: 3, Now: still})
	for left := 2; left >= 0; left-- {
		got := api.patch(userOne, "", connOne, `"notes":"x"`)
		require.Equal(t, 202, got.status, got.text)
		require.Equal(t, `"partner";q=3;w=2`, got.header.Get("RateLimit-Policy"))
		full := strconv.Itoa((3 - left + 1) / 2)
		require.Equal(t, `"partner";r=`+strconv.Itoa(left)+`;t=`+full, got.header.Get("RateLimit"))
	}
	failed := api.seedAs(partnerOne, connOne, operation.Failed)
	before := api.memory.all()
	for _, got := range []response{
		api.patch(userOne, "", connOne, `"notes":"x"`), api.patch(userOne, "?is_sync=true", connOne, `"notes":"x"`),
		api.post(connOne, failed, "retry", nil), api.post(connOne, failed, "cancel", nil),
	} {
		require.Equal(t, 429, got.status, got.text)
		require.Equal(t, "1", got.header.Get("Retry-After"))
		require.Equal(t, `"partner";q=3;w=2`, got.header.Get("RateLimit-Policy"))
		require.Equal(t, `"partner";r=0;t=2`, got.header.Get("RateLimit"))
		require.Equal(t, "Too Many Requests", got.body["message"])
		require.EqualValues(t, 429, got.body["code"])
		detail := got.body["detail"].(map[string]any)
		require.EqualValues(t, 1, detail["retry_after_seconds"])
		require.Contains(t, detail["message"], "2 writes per second")
	}
	require.Equal(t, before, api.memory.all())

	require.Equal(t, 200, api.get(usersPath+userOne.String()).status, "reads are not counted")
	require.Empty(t, api.get(usersPath+userOne.String()).header.Get("RateLimit"))
	other := api.send(request{
		method: http.MethodPatch, path: usersPath + userOther.String(), token: token(partnerTwo),
		body: `{"connection_id":"` + connOther.String() + `","notes":"x"}`,
	})
	require.Equal(t, 202, other.status, other.text)
}

// What is refused costs a caller of its rate too; who is nobody has no rate.
func TestAdmission_CountsRefusedWrites(t *testing.T) {
	t.Parallel()
	api := newLimitedAPI(t, Config{}, admission.Config{PerSecond: 1, Burst: 1, Now: still})
	bad := request{method: http.MethodPatch, path: usersPath + userOne.String(), body: "{"}
	unknown, weak := bad, bad
	unknown.token, weak.token = "bad", token(partnerOne, "telematics:read")
	for range 3 {
		got := api.send(unknown)
		require.Equal(t, 401, got.status)
		require.Empty(t, got.header.Get("RateLimit"))
		require.Equal(t, 403, api.send(weak).status)
	}
	require.Equal(t, 400, api.send(bad).status)
	require.Equal(t, 429, api.send(bad).status)
}

func TestAdmission_OutstandingPerPartner(t *testing.T) {
	t.Parallel()
	api := newLimitedAPI(t, Config{}, admission.Config{Outstanding: 2, Now: still})
	pending := api.seedAs(partnerOne, connOne, operation.Pending)
	failed := api.seedAs(partnerOne, connOne, operation.Failed)
	require.Equal(t, 202, api.patch(userOne, "", connOne, `"notes":"x"`).status)
	for _, got := range []response{
		api.patch(userTwo, "", connTwo, `"notes":"x"`), api.post(connOne, failed, "retry", nil),
	} {
		require.Equal(t, 429, got.status, got.text)
		require.Equal(t, "5", got.header.Get("Retry-After"))
		require.Contains(t, got.header.Get("RateLimit"), `"partner";r=39`)
		require.Contains(t, got.text, "have not ended")
	}
	require.Len(t, api.memory.all(), 3)
	require.Equal(t, 400, api.patch(userOne, "", connOne, `"nothing":"x"`).status, "a bad request is told so first")
	require.Equal(t, 200, api.post(connOne, pending, "cancel", nil).status, "giving up is always possible")
}
