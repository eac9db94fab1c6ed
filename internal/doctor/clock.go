package doctor

import (
	"time"
)

const (
	// skewWarn and skewFail are differences between clocks. Tokens are forgiven 30 s.
	skewWarn = 5 * time.Second
	skewFail = 30 * time.Second
)

// compareClock compares another clock with ours. The other one was read between
// before and after, and shows nothing finer than grain.
func compareClock(r *report, whose string, theirs, before, after time.Time, grain time.Duration) {
	var skew time.Duration
	switch {
	case theirs.Add(grain).Before(before):
		skew = before.Sub(theirs.Add(grain))
	case theirs.After(after):
		skew = theirs.Sub(after)
	}
	check, direction := whose+" clock", "ahead of"
	if theirs.Before(before) {
		direction = "behind"
	}
	fix := "synchronise both machines' clocks (chronyd, systemd-timesyncd); tokens, deadlines and Retry-After go by them"
	shown := skew.Round(100 * time.Millisecond)
	switch {
	case skew >= skewFail:
		r.fail(check, fix, "%s %s this machine's", shown, direction)
	case skew >= skewWarn:
		r.warn(check, fix, "%s %s this machine's", shown, direction)
	default:
		r.ok(check, "agrees with this machine's")
	}
}
