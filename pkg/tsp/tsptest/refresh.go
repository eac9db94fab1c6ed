package tsptest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Refresh describes how an adapter renews a credential.
type Refresh struct {
	// Credentials can be refreshed and are not fresh.
	Credentials tsp.Credentials
	// Healthy makes a provider without faults that gives a new credential.
	Healthy func() func(Call) Reply
	// Changed names the credentials that a refresh sets; all others must stay.
	Changed []string
	// Refusals are the provider's own refusals of a refresh. The HTTP ones are run as
	// well.
	Refusals []Reply
	// Secrets are those of Credentials and of the answer. Nil: all values of
	// Credentials.
	Secrets []string
	// Garbled are answers with status 200 that give no credential, besides the usual.
	Garbled []string
}

// refresh checks a tsp.Refresher.
func (s Suite) refresh(t *testing.T) {
	r := *s.Refresh
	if r.Secrets == nil {
		r.Secrets = slices.Collect(maps.Values(r.Credentials))
	}
	s.Secrets = r.Secrets
	// Nothing planted in the suite's answers is a renewed credential.
	s.Answer, s.ErrorBody = nil, nil
	t.Run("success", func(t *testing.T) { t.Parallel(); s.refreshes(t, r) })
	t.Run("outcomes", func(t *testing.T) { t.Parallel(); s.outcomes(t, s.refreshing(r)) })
	t.Run("without", func(t *testing.T) { t.Parallel(); s.withoutCredential(t, r) })
	t.Run("own answers", func(t *testing.T) { t.Parallel(); s.refreshAnswers(t, r) })
}

func (b *bench) refresh(ctx context.Context, s Suite, r Refresh) (tsp.Credentials, error) {
	conn := s.Connection
	conn.Credentials = r.Credentials
	return b.provider.(tsp.Refresher).Refresh(ctx, conn)
}

// refreshing is the trip of a refresh. A refusal of it is final: there is nothing
// to refresh a refresh with, and nothing in it is the partner's to correct. What says
// nothing of the credentials is no refusal: the connection would be called no more.
func (s Suite) refreshing(r Refresh) trip {
	return trip{
		healthy: r.Healthy, bare: true,
		act: func(ctx context.Context, b *bench) (tsp.Result, error) {
			_, err := b.refresh(ctx, s, r)
			return tsp.Result{}, err
		},
		adjust: func(w want) want {
			w.refresh = false
			switch {
			case w.beside:
				return again
			case w.kind == operation.ErrorValidation:
				w.kind = operation.ErrorAuth
			}
			return w
		},
	}
}

func (s Suite) refreshes(t *testing.T, r Refresh) {
	b := s.benchOn(t, r.Healthy, nil)
	refresher, ok := b.provider.(tsp.Refresher)
	if !ok {
		t.Fatal("the adapter is no tsp.Refresher")
	}
	if refresher.Fresh(r.Credentials, time.Now()) {
		t.Error("the old credentials are said to be fresh")
	}
	before := maps.Clone(r.Credentials)
	fresh, err := b.refresh(t.Context(), s, r)
	if err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	if !maps.Equal(before, r.Credentials) {
		t.Error("the adapter changed its arguments")
	}
	if !refresher.Fresh(fresh, time.Now()) {
		t.Error("the new credentials are not said to be fresh")
	}
	for name, old := range r.Credentials {
		if !slices.Contains(r.Changed, name) && fresh[name] != old {
			t.Errorf("%s must stay", name)
		}
	}
	for _, name := range r.Changed {
		if fresh[name] == r.Credentials[name] {
			t.Errorf("%s must change", name)
		}
	}
	for name := range fresh {
		if _, old := r.Credentials[name]; !old && !slices.Contains(r.Changed, name) {
			t.Errorf("%s is new and not described", name)
		}
	}
	if n := len(b.seen()); n == 0 {
		t.Error("no call was made")
	}
}

func (s Suite) refreshAnswers(t *testing.T, r Refresh) {
	denied := want{kind: operation.ErrorAuth}
	refusals := append(slices.Clone(r.Refusals), Reply{Status: http.StatusUnauthorized}, Reply{Status: http.StatusForbidden})
	tr := s.refreshing(r)
	for _, reply := range refusals {
		_ = s.play(t.Context(), t, tr, 0, func(w http.ResponseWriter, _ *http.Request) { reply.write(w) }, denied)
	}
	for _, body := range append(slices.Clone(r.Garbled), `{}`, `null`, `[]`, "no JSON") {
		_ = s.play(t.Context(), t, tr, 0, func(w http.ResponseWriter, _ *http.Request) { Reply{Body: body}.write(w) }, again)
	}
}

// withoutCredential checks that a connection that has what makes a credential, and none yet,
// asks for one before any call.
func (s Suite) withoutCredential(t *testing.T, r Refresh) {
	s.Connection.Credentials = maps.Clone(r.Credentials)
	for _, name := range r.Changed {
		if name != httpcall.CredRefresh { // single use: it is what makes the next one
			delete(s.Connection.Credentials, name)
		}
	}
	b := s.bench(t, nil)
	_, err := b.update(t.Context(), s, s.Changes)
	if err == nil {
		t.Fatal("got a success, want a failure")
	}
	f := Failure(t, err)
	if f.Type != operation.ErrorAuth || !f.Refresh || f.Retryable {
		t.Errorf("got %v, refresh %t, want an auth failure that asks for a credential", f, f.Refresh)
	}
	if n := len(b.seen()); n > 0 {
		t.Errorf("%d calls were made", n)
	}
	s.checkSecrets(t, f)
}
