package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Query is one expression in PromQL.
type Query struct {
	// Where it stands, for people.
	Where string
	Expr  string
}

// Panel is one panel of a dashboard, as far as somebody who looks at it cares.
type Panel struct {
	Type, Title, Description string
	FieldConfig              struct {
		Defaults struct {
			Unit, NoValue string
			Links         []struct{ Title, URL string }
		}
	}
	Targets []Target
}

// Target is one of the queries of a panel.
type Target struct {
	Expr     string
	Exemplar bool
}

// Dashboard is one of Grafana's.
type Dashboard struct {
	File, UID, Title, Description string
	Tags                          []string
	Panels                        []Panel
	Templating                    struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

// Dashboards reads those below root, which is the module's.
func Dashboards(root string) ([]Dashboard, error) {
	var all []Dashboard
	err := each(root, "deploy/grafana/dashboards/*.json", func(name string, raw []byte) error {
		var d Dashboard
		err := json.Unmarshal(raw, &d)
		d.File = name
		all = append(all, d)
		return err
	})
	return all, err
}

// Queries are all that the dashboard asks for.
func (d Dashboard) Queries() []Query {
	var all []Query
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			all = append(all, Query{fmt.Sprintf("%s: %q", d.File, p.Title), t.Expr})
		}
	}
	return all
}

// Rule records a series, or alerts.
type Rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// Rules reads the rules below root, in the order of the files.
func Rules(root string) ([]Rule, error) {
	var all []Rule
	err := each(root, "deploy/prometheus/*.yaml", func(_ string, raw []byte) error {
		var file struct{ Groups []struct{ Rules []Rule } }
		err := yaml.Unmarshal(raw, &file)
		for _, g := range file.Groups {
			all = append(all, g.Rules...)
		}
		return err
	})
	return all, err
}

// Query is what the rule asks for.
func (r Rule) Query() Query { return Query{"rule " + r.Record + r.Alert, r.Expr} }

// Queries are all that dashboards and rules below root ask for.
func Queries(root string) ([]Query, error) {
	dashboards, err := Dashboards(root)
	if err != nil {
		return nil, err
	}
	rules, err := Rules(root)
	if err != nil {
		return nil, err
	}
	var all []Query
	for _, d := range dashboards {
		all = append(all, d.Queries()...)
	}
	for _, r := range rules {
		all = append(all, r.Query())
	}
	return all, nil
}

func each(root, pattern string, take func(name string, raw []byte) error) error {
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("monitoring: nothing is like %s below %s", pattern, root)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err == nil {
			err = take(filepath.Base(name), raw)
		}
		if err != nil {
			return fmt.Errorf("monitoring: %s: %w", name, err)
		}
	}
	return nil
}
