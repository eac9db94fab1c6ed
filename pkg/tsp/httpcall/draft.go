package httpcall

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"writeback/pkg/tsp"
)

// ErrDraft says that a write was collected for a dry run and not sent. An adapter
// passes it on, or goes on to its next call.
var ErrDraft = errors.New("httpcall: dry run: the write was not sent")

// Draft collects the writes of a dry run. One goroutine uses it.
type Draft struct {
	// Hidden are values that are masked wherever they occur: credentials.
	Hidden []string
	// Calls are the writes that would have been sent, in order.
	Calls []tsp.DraftCall
}

const hiddenMask = "*****"

type draftKey struct{}

// WithDraft makes calls below ctx a dry run: reads are made, writes are collected.
func WithDraft(ctx context.Context, d *Draft) context.Context {
	return context.WithValue(ctx, draftKey{}, d)
}

func draftOf(ctx context.Context) *Draft {
	d, _ := ctx.Value(draftKey{}).(*Draft)
	return d
}

// Drafting reports whether ctx is a dry run, and if so collects the write. It is
// for a provider without HTTP: Client.Do does this itself.
func Drafting(ctx context.Context, r Request) bool {
	d := draftOf(ctx)
	if d != nil {
		d.add(r)
	}
	return d != nil
}

func (d *Draft) add(r Request) {
	path := r.URL
	if u, err := url.Parse(r.URL); err == nil {
		path = u.RequestURI()
	}
	hidden := forms(slices.Concat(d.Hidden, r.Hidden))
	d.Calls = append(d.Calls, tsp.DraftCall{Method: r.Method, Path: mask(path, hidden), Body: mask(string(r.Body), hidden)})
}

// forms are the ways in which secrets may be written in a call, longest first,
// since one may hold another.
func forms(secrets []string) []string {
	var out []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		query := url.QueryEscape(s)
		out = append(out, s, query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(s), quoted(s, true), quoted(s, false))
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(out)
}

// quoted is the inside of a JSON string, with or without the escapes meant for HTML pages.
func quoted(s string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

func mask(s string, hidden []string) string {
	for _, secret := range hidden {
		s = strings.ReplaceAll(s, secret, hiddenMask)
	}
	return s
}
