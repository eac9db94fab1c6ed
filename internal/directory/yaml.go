package directory

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"
)

// Fault is one thing that is wrong with a registry file.
type Fault struct {
	// Line counts from 1.
	Line int
	// Rule says what is wrong. It does not repeat the value, which may be secret.
	Rule string
}

// FileError is every fault of a registry file, by line.
type FileError struct {
	Path   string
	Faults []Fault
}

// Error lists the faults, one a line.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = fmt.Sprintf("%s:%d: %s", e.Path, f.Line, f.Rule)
	}
	return strings.Join(lines, "\n")
}

// reader walks a YAML tree and collects every fault instead of ending at the
// first.
type reader struct {
	faults []Fault
	getenv func(string) (string, bool)
}

func (r *reader) fault(n *yaml.Node, format string, args ...any) {
	r.faults = append(r.faults, Fault{Line: n.Line, Rule: fmt.Sprintf(format, args...)})
}

// mapping gives the values of a mapping by key, and faults for unknown, repeated
// and missing keys. What names the thing. Nulls count as absent.
func (r *reader) mapping(n *yaml.Node, what string, required, optional []string) map[string]*yaml.Node {
	known := slices.Concat(required, optional)
	out := r.entries(n, what, func(key *yaml.Node) {
		if !slices.Contains(known, key.Value) {
			r.fault(key, "%s: unknown key %q; known are %s", what, key.Value, strings.Join(known, ", "))
		}
	})
	if out == nil {
		return nil
	}
	for _, key := range required {
		if out[key] == nil {
			r.fault(n, "%s: %s is required", what, key)
		}
	}
	return out
}

// entries gives the values of a mapping with any keys.
func (r *reader) entries(n *yaml.Node, what string, check func(key *yaml.Node)) map[string]*yaml.Node {
	n = plain(n)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s: must be a mapping", what)
		return nil
	}
	out := make(map[string]*yaml.Node, len(n.Content)/2)
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if check != nil {
			check(key)
		}
		if seen[key.Value] {
			r.fault(key, "%s: key %q is given twice", what, key.Value)
		}
		seen[key.Value] = true
		if v := plain(n.Content[i+1]); v != nil {
			out[key.Value] = v
		}
	}
	return out
}

// list gives the members of a sequence. An absent one is empty; an empty member is a fault,
// since an entry of nothing would be taken for one.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	n = plain(n)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fault(n, "%s: must be a list", what)
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.Content), func(member *yaml.Node) bool {
		empty := plain(member) == nil
		if empty {
			r.fault(member, "%s: has an empty entry", what)
		}
		return empty
	})
}

// plain follows an alias and gives nil for a null.
func plain(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	return n
}

// text gives a scalar as it is written. An absent one is empty.
func (r *reader) text(n *yaml.Node, what string) string {
	n = plain(n)
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		r.fault(n, "%s: must be a text", what)
		return ""
	}
	return n.Value
}

// filled is a text that must say something if it is there at all.
func (r *reader) filled(n *yaml.Node, what string) string {
	s := r.text(n, what)
	if n != nil && n.Kind == yaml.ScalarNode && strings.TrimSpace(s) == "" {
		r.fault(n, "%s: must not be empty", what)
	}
	return s
}

func (r *reader) id(n *yaml.Node, what string) uuid.UUID {
	if n == nil {
		return uuid.Nil
	}
	s := r.text(n, what)
	id, err := uuid.Parse(s)
	// Parse takes other spellings too; one id has one spelling here.
	if err != nil || len(s) != 36 || id == uuid.Nil {
		r.fault(n, "%s: must be a UUID (36 characters, not all zeros)", what)
		return uuid.Nil
	}
	return id
}

func (r *reader) flag(n *yaml.Node, what string) bool {
	if n == nil {
		return false
	}
	var b bool
	if n.Tag != "!!bool" || n.Decode(&b) != nil {
		r.fault(n, "%s: must be true or false", what)
	}
	return b
}

func (r *reader) count(n *yaml.Node, what string) int {
	if n == nil {
		return 0
	}
	i, err := strconv.Atoi(n.Value)
	if err != nil || i < 1 {
		r.fault(n, "%s: must be a whole number above 0", what)
	}
	return i
}

func (r *reader) rate(n *yaml.Node, what string) float64 {
	if n == nil {
		return 0
	}
	f, err := strconv.ParseFloat(n.Value, 64)
	if err != nil || !(f > 0 && f <= 1e6) {
		r.fault(n, "%s: must be a number above 0", what)
		return 0
	}
	return f
}

func (r *reader) duration(n *yaml.Node, what string) time.Duration {
	if n == nil {
		return 0
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil || d <= 0 {
		r.fault(n, `%s: must be a duration above 0, for example "20s"`, what)
		return 0
	}
	return d
}

// texts gives a mapping of texts.
func (r *reader) texts(n *yaml.Node, what string) map[string]string {
	entries := r.entries(n, what, nil)
	if len(entries) == 0 {
		return nil
	}
	out := make(map[string]string, len(entries))
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		out[key] = r.text(entries[key], what+"."+key)
	}
	return out
}

var envReference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// secrets gives a mapping of texts in which ${NAME} stands for a variable of the
// environment.
func (r *reader) secrets(n *yaml.Node, what string) map[string]string {
	entries := r.entries(n, what, nil)
	out := make(map[string]string, len(entries))
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		node := entries[key]
		out[key] = envReference.ReplaceAllStringFunc(r.text(node, what+"."+key), func(ref string) string {
			name := ref[2 : len(ref)-1]
			value, ok := r.getenv(name)
			if !ok || value == "" {
				r.fault(node, "%s.%s: the environment has no %s", what, key, name)
			}
			return value
		})
	}
	return out
}
