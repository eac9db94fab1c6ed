package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"writeback/internal/redisurl"
)

const (
	minKey    = 32
	minStream = 1 << 20
)

// check returns the rule that a variable's value breaks, or "".
func (v variable) check() string {
	zero := v.value.IsZero()
	for _, rule := range v.rules {
		switch {
		case rule == "required" && zero:
			return "is required: " + v.help
		case rule == "required":
		case zero && v.byDefault == "":
			// Optional and not set.
		default:
			if broken := v.checkRule(rule); broken != "" {
				return broken
			}
		}
	}
	return ""
}

// alone gives the rule that a variable breaks which goes with another and is not set, or "".
func (v variable) alone(lookup func(string) (string, bool)) string {
	for _, rule := range v.rules {
		if other, ok := strings.CutPrefix(rule, "beside:"); ok && v.value.IsZero() {
			if value, _ := lookup(other); value != "" {
				return "is required beside " + other
			}
		}
	}
	return ""
}

func (v variable) checkRule(rule string) string {
	switch value := v.value.Interface().(type) {
	case string:
		return checkText(rule, value)
	case Secret:
		if len(value) < minKey {
			return fmt.Sprintf("must be at least %d bytes in hex or base64", minKey)
		}
	case Bytes:
		if value < minStream {
			return "must be at least " + Bytes(minStream).String()
		}
	case int:
		least, most, _ := strings.Cut(rule, "..")
		lo, _ := strconv.Atoi(least)
		hi, _ := strconv.Atoi(most)
		if value < lo || value > hi {
			return fmt.Sprintf("must be between %s and %s", least, most)
		}
		if v.name == "WRITEBACK_STREAM_REPLICAS" && value%2 == 0 {
			return "must be odd, so that a majority exists"
		}
	case slog.Level:
		// slog reads "error+4" too, with which a program would say nothing.
		if !slices.Contains([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}, value) {
			return "must be debug, info, warn or error"
		}
	case time.Duration:
		least, most, _ := strings.Cut(rule, "..")
		lo, _ := time.ParseDuration(least)
		hi, _ := time.ParseDuration(most)
		if value < lo || value > hi {
			return fmt.Sprintf("must be between %s and %s", least, most)
		}
	}
	return ""
}

func checkText(rule, value string) string {
	switch rule {
	case "addr":
		return checkAddr(value)
	case "http":
		u, ok := absolute(value, "http", "https")
		if !ok || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return "must be an http or https URL without user, query or fragment"
		}
	case "redis":
		if _, err := redisurl.Parse(value); err != nil {
			return "must be a redis, rediss or unix URL, or redis+cluster://host,host or redis+sentinel://host,host/primary"
		}
	case "nats":
		for part := range strings.SplitSeq(value, ",") {
			if _, ok := absolute(strings.TrimSpace(part), "nats", "tls", "ws", "wss"); !ok {
				return "must be nats, tls, ws or wss URLs, separated by commas, for example nats://127.0.0.1:4222"
			}
		}
	case "roles":
		for _, role := range rolesOf(value) {
			if role != RoleOperations && role != RoleWebhooks && role != RoleSync {
				return "must be a list of operations, webhooks and sync, separated by commas"
			}
		}
	case "env":
		if value != Development && value != Production {
			return "must be development or production"
		}
	case "file":
		info, err := os.Stat(value)
		if err != nil || !info.Mode().IsRegular() {
			return "must be a file that can be read; is the path right, and mounted here?"
		}
	}
	return ""
}

func rolesOf(value string) []string {
	roles := strings.Split(value, ",")
	for i := range roles {
		roles[i] = strings.TrimSpace(roles[i])
	}
	return roles
}

func checkAddr(value string) string {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "must be host:port with a port of 0 to 65535, for example 127.0.0.1:8080"
	}
	return ""
}

func absolute(value string, schemes ...string) (*url.URL, bool) {
	u, err := url.Parse(value)
	if err != nil {
		return nil, false
	}
	if _, err := strconv.ParseUint(cmp.Or(u.Port(), "1"), 10, 16); err != nil {
		return nil, false // dialling it would fail for ever
	}
	return u, u.Hostname() != "" && slices.Contains(schemes, u.Scheme)
}

// parseRule says what a value must look like that could not even be read.
func parseRule(v variable) string {
	switch v.value.Interface().(type) {
	case bool:
		return "must be true or false"
	case int:
		return "must be a whole number"
	case time.Duration:
		return "must be a duration such as 25s"
	case Bytes:
		return "must be a size such as 512MiB"
	case Secret:
		return fmt.Sprintf("must be at least %d bytes in hex or base64", minKey)
	case slog.Level:
		return "must be debug, info, warn or error"
	}
	return "cannot be read"
}
