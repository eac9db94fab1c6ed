// Package retryafter reads the HTTP header Retry-After. Whoever sent it is not trusted:
// there is no wait below zero or above the caller's bound, and no error.
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Parse reads whole or fractional seconds, or an HTTP date, as of now. Past, negative and
// unreadable values give zero; long ones most.
func Parse(value string, now time.Time, most time.Duration) time.Duration {
	if value == "" {
		return 0 // most answers have none, and an error for each would cost more than the look
	}
	if seconds, ok := Number(value); ok {
		return Seconds(seconds, most)
	}
	at, err := http.ParseTime(strings.TrimSpace(value))
	if err != nil {
		return 0
	}
	return Seconds(at.Sub(now).Seconds(), most)
}

// Number reads a number; one that no float64 holds is infinite.
func Number(value string) (float64, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}

// Seconds is a wait of so many seconds, most at most.
func Seconds(n float64, most time.Duration) time.Duration {
	switch {
	case !(n > 0): // NaN too
		return 0
	case n >= most.Seconds():
		return most
	}
	return time.Duration(n * float64(time.Second))
}
