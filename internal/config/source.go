package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"
)

// Sources are where settings come from. Of several that have a variable the flag
// wins, then the environment, then the file. A value that is empty counts as none.
type Sources struct {
	// Flags are values by the variable's name.
	Flags map[string]string
	// Environ is an environment in the form of os.Environ.
	Environ []string
	// File names a YAML file that maps variables to values. Empty: there is none.
	File string
}

// values are the variables that somebody gave.
type values struct {
	of map[string]string
	// from says where a value stands, for those that are not of the environment.
	from map[string]string
}

// read merges the sources, the weakest first. The faults are those of the file.
func (s Sources) read() (values, []error) {
	v := values{of: make(map[string]string), from: make(map[string]string)}
	faults := v.file(s.File)
	for name, value := range env.ToMap(s.Environ) {
		v.set(name, value, "")
	}
	for name, value := range s.Flags {
		v.set(name, value, "flag --"+FlagName(name))
	}
	return v, faults
}

func (v values) set(name, value, from string) {
	if value = strings.TrimSpace(value); value == "" {
		return
	}
	v.of[name] = value
	delete(v.from, name)
	if from != "" {
		v.from[name] = from
	}
}

// file reads the YAML file. What it has is meant for us, so a name that nobody
// knows is a fault and no warning.
func (v values) file(name string) []error {
	if name == "" {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return []error{fmt.Errorf("configuration file: %w", err)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		// The parser's own text may quote a value.
		return []error{fmt.Errorf("configuration file %s is not YAML; it is lines of NAME: value", name)}
	}
	if len(doc.Content) == 0 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("configuration file %s must be lines of NAME: value", name)}
	}
	return v.entries(name, root)
}

func (v values) entries(file string, root *yaml.Node) []error {
	known := Known()
	var faults []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		at := file + ":" + strconv.Itoa(key.Line)
		_, twice := v.of[key.Value]
		switch {
		case !slices.Contains(known, key.Value):
			faults = append(faults, Fault{Name: key.Value, From: at, Rule: notKnown(key.Value, known)})
		case value.Kind != yaml.ScalarNode:
			faults = append(faults, Fault{Name: key.Value, From: at, Rule: "must be one value"})
		case twice:
			faults = append(faults, Fault{Name: key.Value, From: at, Rule: "stands in the file twice; keep one"})
		case value.Tag != "!!null":
			v.set(key.Value, value.Value, at)
		}
	}
	return faults
}

// FlagName is the flag that sets a variable: its name in lower case without the
// prefix, for example "nats-url".
func FlagName(variable string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, prefix)), "_", "-")
}

// Flag is a flag that sets a variable.
type Flag struct{ Name, Variable, Help string }

// Flags lists the flags of a program, one for each variable but secrets, which a
// list of processes would show.
func Flags[P Program]() []Flag {
	var settings P
	var out []Flag
	for _, v := range variables(valueOf(&settings)) {
		if !v.secret {
			out = append(out, Flag{Name: FlagName(v.name), Variable: v.name, Help: v.help})
		}
	}
	return out
}

// Known lists every variable that some program knows, sorted.
func Known() []string {
	all := make(map[string]bool)
	for _, name := range slices.Concat(Names[API](), Names[Worker](), Names[Sandbox](), Names[Operator]()) {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// Faults gives the faults in an error of Read, and what else is in it.
func Faults(err error) (faults []Fault, rest error) {
	all := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		all = joined.Unwrap()
	}
	for _, one := range all {
		var f Fault
		switch {
		case errors.As(one, &f):
			faults = append(faults, f)
		case one != nil:
			rest = errors.Join(rest, one)
		}
	}
	return faults, rest
}
