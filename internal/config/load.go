package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/caarlos0/env/v11"
)

const prefix = "WRITEBACK_"

// Program is the settings of one program of the project.
type Program interface {
	API | Worker | Sandbox | Operator
}

// Fault is one variable whose value breaks its rule.
type Fault struct {
	// Name is the variable, Value its value as it may be shown: secrets and
	// passwords are masked. Rule says what a good value is, so what to do.
	Name, Value, Rule string
	// From says where the value stands, if not in the environment.
	From string
}

// Error names the variable, its value, where that stands, and the rule.
func (f Fault) Error() string {
	if f.From != "" {
		return fmt.Sprintf("%s=%q (%s): %s", f.Name, f.Value, f.From, f.Rule)
	}
	return fmt.Sprintf("%s=%q: %s", f.Name, f.Value, f.Rule)
}

// Load is Read with an environment alone.
func Load[P Program](environ []string) (settings P, warnings []string, err error) {
	return Read[P](Sources{Environ: environ})
}

// Read reads a program's settings from their sources and checks all of them. The
// error joins one Fault for each bad variable. The warnings name variables with our
// prefix that no program of the project knows: most likely typing errors. They come
// with and without an error.
func Read[P Program](sources Sources) (settings P, warnings []string, err error) {
	given, faults := sources.read()
	warnings = unknown(given.of)
	bad := make(map[string]bool)
	report := func(v variable, rule string) {
		bad[v.name] = true
		faults = append(faults, Fault{Name: v.name, Value: show(given.of[v.name], v.secret), Rule: rule, From: given.from[v.name]})
	}
	faulty := parse(&settings, given.of)
	setURLs(valueOf(&settings), given.of)
	vars := variables(valueOf(&settings))
	for _, fault := range faulty {
		v, ok := byField(vars, fault.Name)
		if !ok {
			return settings, warnings, fmt.Errorf("config: %w", fault.Err)
		}
		report(v, parseRule(v))
	}
	strict := isProduction(vars)
	lookup := func(name string) (string, bool) { value, ok := given.of[name]; return value, ok }
	for _, v := range vars {
		if bad[v.name] {
			continue
		}
		if rule := v.check(); rule != "" {
			report(v, rule)
		} else if rule := v.alone(lookup); rule != "" {
			report(v, rule)
		} else if rule := v.breaksProduction(lookup); strict && rule != "" {
			report(v, rule)
		}
	}
	return settings, warnings, errors.Join(faults...)
}

func isProduction(vars []variable) bool {
	return slices.ContainsFunc(vars, func(v variable) bool {
		return v.name == envVariable && v.value.Interface() == Production
	})
}

// parse fills the struct and returns what could not be read, by field.
func parse(settings any, given map[string]string) []env.ParseError {
	err := env.ParseWithOptions(settings, env.Options{Environment: given})
	var all env.AggregateError
	if err == nil || !errors.As(err, &all) {
		if err != nil {
			return []env.ParseError{{Err: err}}
		}
		return nil
	}
	var out []env.ParseError
	for _, one := range all.Errors {
		var p env.ParseError
		if !errors.As(one, &p) {
			p = env.ParseError{Err: one}
		}
		out = append(out, p)
	}
	return out
}

// Names lists every variable that a program knows, in the order of Usage.
func Names[P Program]() []string {
	var settings P
	var out []string
	for _, v := range variables(valueOf(&settings)) {
		out = append(out, v.name)
	}
	return out
}

// Usage writes a table of a program's variables, their defaults and meaning.
func Usage[P Program](w io.Writer) error {
	var settings P
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "VARIABLE\tDEFAULT\tMEANING")
	for _, v := range variables(valueOf(&settings)) {
		byDefault := v.byDefault
		switch {
		case slices.Contains(v.rules, "required"):
			byDefault = "(required)"
		case byDefault == "":
			byDefault = "-"
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", v.name, byDefault, v.help)
	}
	_, _ = fmt.Fprintln(tw, "OTEL_*\t-\tOpenTelemetry's own variables, for example OTEL_EXPORTER_OTLP_ENDPOINT")
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("config: write usage: %w", err)
	}
	return nil
}

// variable is one field of a settings struct, with its tags.
type variable struct {
	name, field, byDefault, help, more, production string

	secret   bool
	provider bool // the base URL of a provider; the page has one row for all
	rules    []string
	value    reflect.Value
}

// valueOf gives the struct that settings points to.
func valueOf(settings any) reflect.Value { return reflect.ValueOf(settings).Elem() }

func variables(settings reflect.Value) []variable {
	var out []variable
	for _, f := range reflect.VisibleFields(settings.Type()) {
		name, ok := f.Tag.Lookup("env")
		if !ok {
			continue
		}
		v := variable{
			name: name, field: f.Name, byDefault: f.Tag.Get("envDefault"), help: f.Tag.Get("help"),
			more: f.Tag.Get("more"), production: f.Tag.Get("production"),
			secret: f.Tag.Get("secret") == "true", value: settings.FieldByIndex(f.Index),
		}
		if rule := f.Tag.Get("rule"); rule != "" {
			v.rules = strings.Split(rule, ",")
		}
		out = append(out, v)
	}
	return append(out, urlVariables(settings)...)
}

func byField(vars []variable, field string) (variable, bool) {
	i := slices.IndexFunc(vars, func(v variable) bool { return v.field == field })
	if i < 0 {
		return variable{}, false
	}
	return vars[i], true
}

// masked gives the settings as one log group. settings is a pointer to a struct.
func masked(settings any) slog.Value {
	var attrs []slog.Attr
	for _, v := range variables(valueOf(settings)) {
		attrs = append(attrs, slog.String(v.name, show(fmt.Sprint(v.value.Interface()), v.secret)))
	}
	return slog.GroupValue(attrs...)
}
