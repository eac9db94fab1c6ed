package httpcall

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// ErrDraft says that a write was collected for a dry run and not sent. An adapter
// passes it on, or goes on to its next call.
var ErrDraft = errors.New("httpcall: dry run: the write was not sent")

// Draft collects the writes of a dry run. One goroutine uses it.
type Draft struct {
	// Hidden are values that are masked wherever they occur: credentials.
	Hidden []string
	// Calls are the writes that would have been sent, in order.
	Calls []DraftCall
}

// DraftCall is a write that would have been sent.
type DraftCall struct {
	Method string
	// Path is the URL without scheme and host.
	Path string
	Body string
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

func (d *Draft) add(r Request) {
	path := r.URL
	if u, err := url.Parse(r.URL); err == nil {
		path = u.RequestURI()
	}
	d.Calls = append(d.Calls, DraftCall{Method: r.Method, Path: d.mask(path), Body: d.mask(string(r.Body))})
}

func (d *Draft) mask(s string) string {
	for _, secret := range d.Hidden {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, hiddenMask)
			s = strings.ReplaceAll(s, url.QueryEscape(secret), hiddenMask)
		}
	}
	return s
}
