package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

func TestShares_HoldOnePartner(t *testing.T) {
	t.Parallel()
	s := &shares{size: 2, of: map[uuid.UUID]*share{}}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	first, err := s.enter(t.Context(), partnerOne)
	require.NoError(t, err)
	second, err := s.enter(t.Context(), partnerOne)
	require.NoError(t, err)
	_, err = s.enter(gone, partnerOne)
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeRateLimited, refused.Code)
	other, err := s.enter(t.Context(), partnerTwo)
	require.NoError(t, err, "another partner is not held")

	waits := make(chan func())
	go func() {
		leave, err := s.enter(context.Background(), partnerOne)
		if err != nil {
			t.Error(err)
		}
		waits <- leave
	}()
	first()
	for _, leave := range []func(){<-waits, second, other} {
		leave()
	}
	require.Empty(t, s.of, "nobody is remembered")
}

// walking is a reader whose lists take until they are let go.
type walking struct {
	reader
	begun chan struct{}
	end   chan struct{}
}

func (w walking) List(context.Context, operation.Query) ([]operation.Operation, bool, error) {
	w.begun <- struct{}{}
	<-w.end
	return nil, false, nil
}

// TestLists_OfOnePartnerLeaveRoomForOthers: one walks over all that the partner has.
func TestLists_OfOnePartnerLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	w := walking{begun: make(chan struct{}, 100), end: make(chan struct{})}
	api := newAPI(t, Config{})
	deps := api.deps(t)
	w.reader, deps.Reader = deps.Reader, w
	handler, err := New(deps, Config{Costly: 2})
	require.NoError(t, err)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	api.url = srv.URL
	var once sync.Once
	end := func() { once.Do(func() { close(w.end) }) }
	t.Cleanup(end)
	const path = "/v2/integrations/connections/resource-operations"
	var lists sync.WaitGroup
	list := func(partner uuid.UUID) {
		lists.Go(func() {
			if got := api.send(request{path: path, token: token(partner)}); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.text)
			}
		})
	}
	for range 4 {
		list(partnerOne)
	}
	shares := &handler.(*server).shares
	require.Eventually(t, func() bool {
		shares.mu.Lock()
		defer shares.mu.Unlock()
		one := shares.of[partnerOne]
		return one != nil && one.who == 4 && len(one.room) == 2
	}, 10*time.Second, time.Millisecond)
	<-w.begun
	<-w.begun
	list(partnerTwo)
	<-w.begun
	require.Empty(t, w.begun, "two of the one, one of the other")
	end()
	lists.Wait()
}
