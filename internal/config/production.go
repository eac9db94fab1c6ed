package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The values of WRITEBACK_ENV.
const (
	Development = "development"
	Production  = "production"
)

const envVariable = "WRITEBACK_ENV"

// What a variable's production tag asks for.
const (
	prodRequired = "required" // a value
	prodHTTPS    = "https"    // a URL that is https and not on this machine
	prodOff      = "off"      // not true
	prodRegistry = "registry" // a registry file without credentials in it
)

// production gives the rule of production that a variable breaks, or "".
func (v variable) breaksProduction(lookup func(string) (string, bool)) string {
	text, _ := v.value.Interface().(string)
	switch {
	case v.production == prodRequired && v.value.IsZero():
		return "is required in production: " + v.help
	case v.production == prodOff && !v.value.IsZero():
		return "is for development only; unset it in production"
	case text == "":
		return ""
	case v.production == prodHTTPS:
		if u, err := url.Parse(text); err != nil || u.Scheme != "https" || local(u.Hostname()) {
			return "must be https, and not on this machine, in production"
		}
	case v.production == prodRegistry:
		return registryFault(text, lookup)
	}
	return ""
}

func local(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// reference is a credential that stands elsewhere.
var reference = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// registryFault finds the first credential in a registry file that is written out,
// or is one of the sandbox's. A file that cannot be read is somebody else's fault
// to find. The text has lines and no values.
func registryFault(file string, lookup func(string) (string, bool)) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil {
		return ""
	}
	fault := ""
	eachCredential(&doc, func(name string, value *yaml.Node) {
		m := reference.FindStringSubmatch(value.Value)
		switch {
		case fault != "" || value.Value == "":
		case m == nil:
			fault = fmt.Sprintf("line %d: the credential %s is in clear; in production write ${NAME} and set NAME in the environment", value.Line, name)
		default:
			if given, ok := lookup(m[1]); ok && DevSecret(given) {
				fault = fmt.Sprintf("line %d: the credential %s (%s) is one of the sandbox's; give the provider's own in production", value.Line, name, m[1])
			}
		}
	})
	return fault
}

// eachCredential passes on the texts of every mapping called credentials.
func eachCredential(n *yaml.Node, pass func(name string, value *yaml.Node)) {
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 0 || n.Content[i-1].Value != "credentials" {
			eachCredential(child, pass)
			continue
		}
		if child.Kind == yaml.AliasNode {
			child = child.Alias
		}
		for j := 1; j < len(child.Content); j += 2 {
			pass(child.Content[j-1].Value, child.Content[j])
		}
	}
}

// devSecrets are parts of the secrets that the project's own sandbox and issuer
// know; they are printed in its source.
var devSecrets = []string{"sandbox-", "sandbox_", "demo-secret", "other-secret", "demo-reader-secret", strings.Repeat("c6", 36)}

// DevSecret reports whether a secret is one of the sandbox's or of the development
// issuer's.
func DevSecret(secret string) bool {
	return slices.ContainsFunc(devSecrets, func(part string) bool { return strings.Contains(secret, part) })
}
