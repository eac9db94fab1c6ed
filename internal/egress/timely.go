package egress

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// errOver is for a call whose time was over before anything of it was sent.
var errOver = fmt.Errorf("egress: not sent: %w", context.DeadlineExceeded)

// timely gives the request with a body that looks at the clock when it is read for the first
// time: that is right before the request goes into the socket. A process that was stopped in
// between, or a machine that was, goes on with the call, and takes note of its deadline at the
// same moment; by then somebody else may have made it, and a newer one after it. A request
// without a body or a deadline stays as it is.
func timely(r *http.Request) *http.Request {
	deadline, bounded := r.Context().Deadline()
	if !bounded || r.Body == nil || r.Body == http.NoBody {
		return r
	}
	out := *r // a transport may not change what it is given
	out.Body = &timelyBody{ReadCloser: r.Body, deadline: deadline}
	if again := r.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &timelyBody{ReadCloser: body, deadline: deadline}, nil
		}
	}
	return &out
}

type timelyBody struct {
	io.ReadCloser
	deadline time.Time
	begun    bool
}

// Read gives errOver when the time is over.
func (b *timelyBody) Read(p []byte) (int, error) {
	if !b.begun {
		if !time.Now().Before(b.deadline) {
			return 0, errOver
		}
		b.begun = true
	}
	return b.ReadCloser.Read(p)
}
