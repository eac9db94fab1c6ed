package dirsync

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	samsarabox "writeback/pkg/tsp/samsara/box"
)

// listed is Samsara's adapter with somebody who watches the pages.
type listed struct {
	*samsara.Provider
	mu      sync.Mutex
	cursors []string
	hook    func(page int)
}

func (l *listed) ListUsers(ctx context.Context, c tsp.Connection, cursor string) (tsp.UserPage, error) {
	page, err := l.Provider.ListUsers(ctx, c, cursor)
	if err != nil {
		return page, err
	}
	l.mu.Lock()
	l.cursors = append(l.cursors, cursor)
	n, hook := len(l.cursors), l.hook
	l.mu.Unlock()
	if hook != nil {
		hook(n)
	}
	return page, nil
}

func (l *listed) watch(hook func(page int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook, l.cursors = hook, nil
}

func (l *listed) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.cursors...)
}

// samsaraBox is a provider with many users; who swaps its box changes who they are.
func samsaraBox(t *testing.T) (*listed, *atomic.Pointer[sandbox.Sandbox]) {
	t.Helper()
	var box atomic.Pointer[sandbox.Sandbox]
	box.Store(sandbox.New(sandbox.Config{Parts: []sandbox.Part{samsarabox.Part(samsarabox.Config{})}, UsersPerConnection: many}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { box.Load().Handler().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return &listed{Provider: samsara.New(httpcall.New(httpcall.Config{Transport: transport}), samsara.Config{BaseURL: server.URL + "/samsara"})}, &box
}

func fault(t *testing.T, box *sandbox.Sandbox, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/_control/faults", strings.NewReader(text))
	req.Header.Set("Content-Type", "application/json")
	box.Handler().ServeHTTP(w, req)
	require.Less(t, w.Code, 300, w.Body.String())
}

// TestSync_TenThousand kills a walk in the middle, with the provider asking for
// pauses, and walks three times more: nothing changed, some gone, all back.
func TestSync_TenThousand(t *testing.T) { // not parallel: it measures memory
	p, box := samsaraBox(t)
	const pages, killed = many / 200, many / 200 * 4 / 5
	first := "00000000-0000-7000-8000-00000000a100"
	r := newRig(t, "samsara", p, "{id: "+first+", source_id: \""+samsarabox.UserID(1, 0)+"\"}")
	r.cfg.Poll = 200 * time.Millisecond // looking for walks costs more here than the walk
	ctx, kill := context.WithCancel(t.Context())
	p.watch(func(page int) {
		switch page {
		case 3, pages / 2:
			fault(t, box.Load(), `{"provider":"samsara","reads":true,"status":429,"retry_after":"1","count":1}`)
		case killed:
			kill()
		}
	})
	require.NoError(t, r.syncer().Run(ctx))
	half := r.progress()
	require.Equal(t, killed-1, half.Pages, "the page under way is not counted")
	require.True(t, half.FinishedAt.IsZero())

	before := p.seen()
	p.watch(nil)
	stop := r.run(r.syncer())
	r.until(func() bool { return r.finished(uuid.Nil) })
	stop()
	done := r.progress()
	require.Equal(t, half.Run, done.Run)
	require.Equal(t, before[killed-1], p.seen()[0], "it goes on at the page of the kill")
	require.Equal(t, done.Pages, killed-1+len(p.seen()))
	require.Equal(t, many, done.Users)
	ids := r.byID()
	require.Len(t, ids, many, "no duplicates")
	require.Equal(t, samsarabox.UserID(1, 0), ids[uuid.MustParse(first)])
	require.EqualValues(t, many, r.keys(), "one entry for each user")

	last := done.Pages
	written, heaps := r.writes(), make(map[int]uint64)
	p.watch(func(page int) {
		if page == 3 || page == last {
			heaps[page] = heap()
		}
	})
	r.advance(6 * time.Hour)
	again := r.walked()
	require.Equal(t, [4]int{many, 0, 0, 0}, [4]int{again.Users, again.Created, again.Updated, again.Gone})
	require.Equal(t, written, r.writes(), "a second sync writes nothing")
	require.Equal(t, ids, r.byID())
	require.NotZero(t, heaps[last])
	require.Less(t, heaps[last], heaps[3]+uint64(last-3)*(88<<10), "pages are not kept")

	p.watch(nil)
	everybody := box.Swap(sandbox.New(sandbox.Config{Parts: []sandbox.Part{samsarabox.Part(samsarabox.Config{})}, UsersPerConnection: many - 100}))
	r.advance(6 * time.Hour)
	require.Equal(t, 100, r.walked().Gone)
	require.Len(t, r.lines(), many-100)
	box.Store(everybody)
	r.advance(6 * time.Hour)
	back := r.walked()
	require.Equal(t, [3]int{0, 100, 0}, [3]int{back.Created, back.Updated, back.Gone})
	require.Equal(t, ids, r.byID())
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// keys counts the users in the bucket itself.
func (r *rig) keys() uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), "KV_writeback-directory")
	require.NoError(r.t, err)
	return s.CachedInfo().State.Msgs - 2 // a partner and a connection
}
