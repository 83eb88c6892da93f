// Package grafana_test holds the dashboard, and the expressions of
// docs/diagnosis.md, to what a running gateway exports.
package grafana_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type dashboard struct {
	Title, Description, UID string
	Panels                  []panel
	Templating              struct {
		List []struct {
			Name, Type, Definition string
			Datasource             source
			Query                  any
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               source
	Targets                  []struct {
		Datasource         source
		RefID              string
		Expr, LegendFormat string
	}
	FieldConfig struct{ Defaults struct{ Unit string } }
	Panels      []panel
}

type source struct{ Type, UID string }

var prometheus = source{"prometheus", "${datasource}"}

func load(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("belfry.json")
	if err != nil {
		t.Fatal(err)
	}
	read := json.NewDecoder(bytes.NewReader(text))
	if err := read.Decode(&d); err != nil {
		t.Fatalf("reading the dashboard: %v", err)
	}
	if len(d.Panels) < 20 || d.Title == "" || d.UID == "" {
		t.Fatalf("%q has %d panels: the tests would check next to nothing", d.Title, len(d.Panels))
	}
	return d
}

func TestPanelsAreWhole(t *testing.T) {
	ids := map[int]string{}
	for i, p := range load(t).Panels {
		if other, twice := ids[p.ID]; twice || p.ID == 0 {
			t.Errorf("%q has the id %d, as has %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if i == 0 && p.Type != "row" {
			t.Errorf("%q stands before the first row", p.Title)
		}
		if p.Type == "row" {
			if len(p.Panels) > 0 {
				t.Errorf("the row %q has panels in it: these tests look at those beside it", p.Title)
			}
			continue
		}
		if len(p.Description) < 20 || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource != prometheus {
			t.Errorf("%q lacks a description, a unit, an expression or the data source: %+v", p.Title, p)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.Expr == "" || target.LegendFormat == "" || target.Datasource != prometheus || refs[target.RefID] {
				t.Errorf("%q has an expression with no text, legend, data source or letter of its own: %+v", p.Title, target)
			}
			refs[target.RefID] = true
		}
	}
}

// The grid has 24 columns, and one panel a place.
func TestPanelsDoNotOverlap(t *testing.T) {
	taken := map[[2]int]string{}
	for _, p := range load(t).Panels {
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 || g.Y < 0 {
			t.Errorf("%q is outside the grid: %+v", p.Title, g)
			continue
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%q lies over %q at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// Each metric, label and value of a label that the dashboard names is there,
// and each metric of ours has a place on it.
func TestDashboardAgainstTheGateway(t *testing.T) {
	d, all := load(t), exported(t)
	shown := map[string]bool{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, sentence := range all.check(target.Expr) {
				t.Errorf("%q: %s", p.Title, sentence)
			}
			e, _ := parse(target.Expr) // check told what is wrong with it
			for _, u := range e.uses {
				shown[part.ReplaceAllString(u.metric, "")] = true
				for _, label := range []string{"job", "instance"} {
					if !slices.Contains(u.matchers, matcher{label, "=~", "$" + label}) {
						t.Errorf("%q does not follow the variable %s: %s", p.Title, label, target.Expr)
					}
				}
			}
			checkLegend(t, p, target.LegendFormat, e, all)
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "belfry_") && !shown[part.ReplaceAllString(name, "")] {
			t.Errorf("%s is on no panel", name)
		}
	}
}

var placeholder = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)

// checkLegend looks for a legend's labels: in the outermost grouping where there
// is one, else on the metric.
func checkLegend(t *testing.T, p panel, legend string, e expression, all metrics) {
	t.Helper()
	for _, m := range placeholder.FindAllStringSubmatch(legend, -1) {
		found := false
		for _, u := range e.uses {
			found = found || all[u.metric] != nil && all[u.metric].has(m[1])
		}
		for _, g := range e.groupings {
			if g.over != nil && len(g.over) == len(e.uses) {
				found = strings.Contains(strings.Join(g.labels, " "), m[1])
			}
		}
		if !found {
			t.Errorf("%q: the legend %q has %s, which the expression does not leave", p.Title, legend, m[1])
		}
	}
}

func TestVariables(t *testing.T) {
	d, all := load(t), exported(t)
	want := map[string]string{"datasource": "datasource", "job": "query", "instance": "query"}
	for _, v := range d.Templating.List {
		if want[v.Name] != v.Type {
			t.Errorf("the variable %s is a %s, want %q", v.Name, v.Type, want[v.Name])
		}
		delete(want, v.Name)
		if v.Type != "query" {
			continue
		}
		m := regexp.MustCompile(`^label_values\((\S+?)(?:\{.*\})?, ([a-z]+)\)$`).FindStringSubmatch(v.Definition)
		if m == nil || all[m[1]] == nil || !all[m[1]].has(m[2]) || v.Datasource != prometheus {
			t.Errorf("the variable %s is asked for by %q of %v", v.Name, v.Definition, v.Datasource)
		}
	}
	if len(want) > 0 {
		t.Errorf("there are no variables %v", want)
	}
}
