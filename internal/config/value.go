package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

const mask = "*****"

// Secret is key material. It prints as a mask. The zero value means not set.
type Secret []byte

// UnmarshalText reads hex or base64 (standard or URL alphabet, padded or not). A
// text that is both counts as hex.
func (s *Secret) UnmarshalText(text []byte) error {
	t := string(text)
	if b, err := hex.DecodeString(t); err == nil {
		*s = b
		return nil
	}
	t = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(t), "=")
	b, err := base64.RawStdEncoding.DecodeString(t)
	if err != nil {
		return errors.New("must be hex or base64")
	}
	*s = b
	return nil
}

// String gives a mask, or nothing if the secret is not set.
func (s Secret) String() string {
	if len(s) == 0 {
		return ""
	}
	return mask
}

// GoString gives the same as String.
func (s Secret) GoString() string { return s.String() }

// MarshalText gives the same as String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Bytes is a size in bytes.
type Bytes int64

// UnmarshalText reads a whole number with an optional unit: B, KiB, MiB, GiB or
// TiB, or the short K, M, G and T, which mean the same.
func (b *Bytes) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	digits := strings.TrimRight(t, "BKMGTibkmgt ")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift, ok := map[string]int{
		"": 0, "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30, "t": 40, "tib": 40,
	}[strings.ToLower(strings.TrimSpace(t[len(digits):]))]
	if err != nil || !ok || n < 0 || n > math.MaxInt64>>shift {
		return errors.New("must be a size such as 512MiB")
	}
	*b = Bytes(n << shift)
	return nil
}

// String gives the size in the largest unit that divides it.
func (b Bytes) String() string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	n, unit := int64(b), 0
	for n != 0 && n%1024 == 0 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + units[unit]
}

// show gives a value as it may be printed: secrets as a mask, URLs without user,
// password and query. NATS takes a bare user as a token, so the user goes too.
func show(value string, secret bool) string {
	const most = 100
	if secret && value != "" {
		return mask
	}
	if shown, ok := showHosts(value); ok {
		value = shown
	} else if strings.Contains(value, "://") || strings.Contains(value, "@") {
		parts := strings.Split(value, ",")
		for i, p := range parts {
			if strings.Contains(value, "@") && !strings.Contains(p, "://") {
				return mask // Perhaps a password with a comma in it.
			}
			parts[i] = showURL(p)
		}
		value = strings.Join(parts, ",")
	}
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "..."
	}
	return value
}

// showHosts shows a URL of several hosts, such as redisurl has, if it is certain what of it
// are hosts.
func showHosts(value string) (string, bool) {
	scheme, rest, _ := strings.Cut(value, "://")
	rest, query, asks := strings.Cut(rest, "?")
	user, hosts, known := strings.Cut(rest, "@")
	if !known {
		user, hosts = "", rest
	}
	if strings.ContainsAny(user, "/") || strings.ContainsAny(hosts+query, "@") || !strings.Contains(hosts, ",") {
		return "", false
	}
	authority, _, _ := strings.Cut(hosts, "/")
	for host := range strings.SplitSeq(authority, ",") {
		if u, err := url.Parse(scheme + "://" + host); err != nil || u.Host == "" || u.Host != host {
			return "", false
		}
	}
	if known {
		hosts = mask + "@" + hosts
	}
	if asks {
		hosts += "?" + mask
	}
	return scheme + "://" + hosts, true
}

func showURL(text string) string {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme == "" || u.Host == "" {
		// Not understood, so it cannot be told where a password would be.
		if strings.ContainsAny(text, "@") || err != nil {
			return mask
		}
		return text
	}
	auth := ""
	if u.User != nil {
		auth = mask + "@"
	}
	out := fmt.Sprintf("%s://%s%s%s", u.Scheme, auth, u.Host, u.EscapedPath())
	if u.RawQuery != "" {
		out += "?" + mask
	}
	return out
}
