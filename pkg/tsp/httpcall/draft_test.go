package httpcall_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

func TestDraft_CollectsWritesAndMakesReads(t *testing.T) {
	t.Parallel()
	reads := 0
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		reads++
		if r.Method != http.MethodGet {
			t.Errorf("a write was sent: %s %s", r.Method, r.RequestURI)
		}
	})
	d := &httpcall.Draft{}
	ctx := httpcall.WithDraft(t.Context(), d)
	c := httpcall.New(httpcall.Config{})

	_, err := c.Do(ctx, httpcall.Request{Method: http.MethodGet, URL: base + "/users/1"})
	require.NoError(t, err)
	for _, body := range []string{`{"a":1}`, `{"b":2}`} {
		_, err = c.Do(ctx, httpcall.Request{Method: http.MethodPut, URL: base + "/users/1?x=y", Body: []byte(body), Write: true})
		require.ErrorIs(t, err, httpcall.ErrDraft)
	}
	require.Equal(t, 1, reads)
	require.Equal(t, []tsp.DraftCall{
		{Method: "PUT", Path: "/users/1?x=y", Body: `{"a":1}`},
		{Method: "PUT", Path: "/users/1?x=y", Body: `{"b":2}`},
	}, d.Calls)
}

func TestDraft_WithoutOneWritesAreSent(t *testing.T) {
	t.Parallel()
	sent := 0
	base := serve(t, func(http.ResponseWriter, *http.Request) { sent++ })
	r := httpcall.Request{Method: http.MethodPut, URL: base, Write: true}
	require.False(t, httpcall.Drafting(t.Context(), r))
	_, err := httpcall.New(httpcall.Config{}).Do(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, 1, sent)
}

func TestDrafting_CollectsWithoutHTTP(t *testing.T) {
	t.Parallel()
	d := &httpcall.Draft{}
	ctx := httpcall.WithDraft(t.Context(), d)
	require.True(t, httpcall.Drafting(ctx, httpcall.Request{Method: "UPDATE", URL: "/users/1", Body: []byte("{}")}))
	require.Equal(t, []tsp.DraftCall{{Method: "UPDATE", Path: "/users/1", Body: "{}"}}, d.Calls)
}

func TestDraft_MasksSecretsInEveryForm(t *testing.T) {
	t.Parallel()
	secret := `p<l+a n/t"é`
	tests := map[string]struct {
		hidden, own []string
		url, body   string
		want        tsp.DraftCall
	}{
		"plain": {
			hidden: []string{"planted"}, url: "http://h/a/planted?k=planted", body: `{"k":"planted"}`,
			want: tsp.DraftCall{Path: "/a/*****?k=*****", Body: `{"k":"*****"}`},
		},
		"query and path escaped": {
			hidden: []string{secret}, url: `http://h/p%3Cl+a%20n%2Ft%22%C3%A9?k=p%3Cl%2Ba+n%2Ft%22%C3%A9`,
			want: tsp.DraftCall{Path: "/*****?k=*****"},
		},
		"JSON escaped": {
			hidden: []string{secret}, url: "http://h/", body: `{"k":"p\u003cl+a n/t\"é"}`,
			want: tsp.DraftCall{Path: "/", Body: `{"k":"*****"}`},
		},
		"query with %20": {
			hidden: []string{secret}, url: `http://h/?k=p%3Cl%2Ba%20n%2Ft%22%C3%A9`, want: tsp.DraftCall{Path: "/?k=*****"},
		},
		"JSON escaped, but not for HTML": {
			hidden: []string{secret}, url: "http://h/", body: `{"k":"p<l+a n/t\"é"}`, want: tsp.DraftCall{Path: "/", Body: `{"k":"*****"}`},
		},
		"of the request": {
			own: []string{"made-up"}, url: "http://h/", body: `{"password":"made-up"}`,
			want: tsp.DraftCall{Path: "/", Body: `{"password":"*****"}`},
		},
		"one holds another": {
			hidden: []string{"abc", "abcdef"}, url: "http://h/", body: `abcdef abc`,
			want: tsp.DraftCall{Path: "/", Body: `***** *****`},
		},
		"an empty one hides nothing": {
			hidden: []string{""}, own: []string{""}, url: "http://h/x", body: `y`,
			want: tsp.DraftCall{Path: "/x", Body: `y`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &httpcall.Draft{Hidden: tt.hidden}
			ctx := httpcall.WithDraft(t.Context(), d)
			require.True(t, httpcall.Drafting(ctx, httpcall.Request{URL: tt.url, Body: []byte(tt.body), Hidden: tt.own}))
			require.Equal(t, []tsp.DraftCall{tt.want}, d.Calls)
		})
	}
}
