package tsptest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// draftMask is what a dry run shows instead of a secret.
const draftMask = "*****"

// dryRun checks that a dry run of the trip sends no write, and that it shows those
// of a real run, in order and without secrets.
func (s Suite) dryRun(t *testing.T, tr trip) {
	made := tr.healthy.or(s.Healthy)
	sending := s.benchOn(t, made, nil)
	if _, err := tr.act(t.Context(), sending); err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	dry := s.benchOn(t, made, nil)
	d := &httpcall.Draft{Hidden: slices.Collect(maps.Values(s.Connection.Credentials))}
	if _, err := tr.act(httpcall.WithDraft(t.Context(), d), dry); !errors.Is(err, httpcall.ErrDraft) {
		t.Errorf("a dry run gives %v, want httpcall.ErrDraft", err)
	}
	if n := len(dry.written(s)); n != 0 {
		t.Errorf("a dry run sent %d writes", n)
	}
	want := sending.written(s)
	if len(want) == 0 {
		t.Fatal("the real run wrote nothing")
	}
	if len(d.Calls) != len(want) {
		t.Fatalf("a dry run shows %d writes, a real run makes %d", len(d.Calls), len(want))
	}
	for i, shown := range d.Calls {
		sent := want[i]
		if shown.Method != sent.Method || !shows(shown.Path, sent.Path) || !shows(shown.Body, string(sent.Body)) {
			t.Errorf("write %d: shown %s %s %s\n sent %s %s %s", i+1, shown.Method, shown.Path, shown.Body, sent.Method, sent.Path, sent.Body)
		}
		for _, secret := range s.Secrets {
			if secret != "" && strings.Contains(shown.Path+" "+shown.Body, secret) {
				t.Errorf("write %d: a credential is shown", i+1)
			}
		}
	}
}

// shows reports whether a text is the sent one but for what is masked.
func shows(shown, sent string) bool {
	parts := strings.Split(shown, draftMask)
	if len(parts) == 1 {
		return shown == sent
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(sent, first) || !strings.HasSuffix(sent[len(first):], last) {
		return false
	}
	sent = sent[len(first) : len(sent)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, ok := strings.Cut(sent, part)
		if !ok {
			return false
		}
		sent = rest
	}
	return true
}

// budget checks that the adapter hands on what the rate headers of its last answer
// say.
func (s Suite) budget(t *testing.T, tr trip) {
	for left, want := range map[string]time.Duration{"0": 30 * time.Second, "7": 0} {
		b := s.benchOn(t, tr.healthy.or(s.Healthy), nil)
		b.header = map[string]string{"X-RateLimit-Remaining": left, "X-RateLimit-Reset": "30"}
		result, err := tr.act(t.Context(), b)
		if err != nil {
			t.Fatalf("a healthy provider: %v", err)
		}
		if result.RetryAfter != want {
			t.Errorf("%s calls left: the result asks to wait %s, want %s", left, result.RetryAfter, want)
		}
	}
}

// atOnce is how many writes of one adapter run together.
const atOnce = 64

// concurrent checks that writes may run together; the race detector watches. They
// share their arguments, which an adapter must leave alone.
func (s Suite) concurrent(t *testing.T) {
	b := s.bench(t, nil)
	changes, credentials := maps.Clone(s.Changes), maps.Clone(s.Connection.Credentials)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := b.update(ctx, s, s.Changes); err != nil {
				t.Errorf("a healthy provider: %v", err)
			}
			_ = b.provider.Describe().Users.Rule(operation.FieldNotes)
			if r, ok := b.provider.(tsp.Refresher); ok {
				_ = r.Fresh(s.Connection.Credentials, time.Now())
			}
		})
	}
	group.Wait()
	if n := len(b.seen()); n < atOnce {
		t.Errorf("%d writes made %d calls", atOnce, n)
	}
	if !maps.Equal(changes, s.Changes) || !maps.Equal(credentials, s.Connection.Credentials) {
		t.Error("the adapter changed its arguments")
	}
}
