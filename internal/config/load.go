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
type Program interface{ API | Worker | Sandbox }

// Fault is one variable whose value breaks its rule.
type Fault struct {
	// Name is the variable, Value its value as it may be shown: secrets and
	// passwords are masked. Rule says what a good value is.
	Name, Value, Rule string
}

// Error names the variable, its value and the rule.
func (f Fault) Error() string { return fmt.Sprintf("%s=%q: %s", f.Name, f.Value, f.Rule) }

// Load reads a program's settings from an environment in the form of os.Environ
// and checks all of them. The error joins one Fault for each bad variable. The
// warnings name variables with our prefix that no program of the project knows:
// most likely typing errors. They come with and without an error.
func Load[P Program](environ []string) (settings P, warnings []string, err error) {
	given := make(map[string]string)
	for name, value := range env.ToMap(environ) {
		if value = strings.TrimSpace(value); value != "" {
			given[name] = value
		}
	}
	warnings = unknown(given)

	var faults []error
	bad := make(map[string]bool)
	report := func(v variable, value, rule string) {
		bad[v.name] = true
		faults = append(faults, Fault{v.name, show(value, v.secret), rule})
	}
	vars := variables(reflect.ValueOf(&settings).Elem())
	for _, fault := range parse(&settings, given) {
		v, ok := byField(vars, fault.Name)
		if !ok {
			return settings, warnings, fmt.Errorf("config: %w", fault.Err)
		}
		report(v, given[v.name], parseRule(v))
	}
	for _, v := range vars {
		if bad[v.name] {
			continue
		}
		if rule := v.check(); rule != "" {
			report(v, given[v.name], rule)
		}
	}
	return settings, warnings, errors.Join(faults...)
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
	for _, v := range variables(reflect.ValueOf(&settings).Elem()) {
		out = append(out, v.name)
	}
	return out
}

// Usage writes a table of a program's variables, their defaults and meaning.
func Usage[P Program](w io.Writer) error {
	var settings P
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "VARIABLE\tDEFAULT\tMEANING")
	for _, v := range variables(reflect.ValueOf(&settings).Elem()) {
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
	name, field, byDefault, help string
	secret                       bool
	rules                        []string
	value                        reflect.Value
}

func variables(settings reflect.Value) []variable {
	var out []variable
	for _, f := range reflect.VisibleFields(settings.Type()) {
		name, ok := f.Tag.Lookup("env")
		if !ok {
			continue
		}
		v := variable{
			name: name, field: f.Name, byDefault: f.Tag.Get("envDefault"), help: f.Tag.Get("help"),
			secret: f.Tag.Get("secret") == "true", value: settings.FieldByIndex(f.Index),
		}
		if rule := f.Tag.Get("rule"); rule != "" {
			v.rules = strings.Split(rule, ",")
		}
		out = append(out, v)
	}
	return out
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
	for _, v := range variables(reflect.ValueOf(settings).Elem()) {
		attrs = append(attrs, slog.String(v.name, show(fmt.Sprint(v.value.Interface()), v.secret)))
	}
	return slog.GroupValue(attrs...)
}
