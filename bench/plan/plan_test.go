package plan

import (
	"slices"
	"testing"
)

// The report finds a run by its figure and its row's label, so both are unique,
// and each server is one that can be started.
func TestPlans(t *testing.T) {
	for _, p := range []Plan{Full(), Quick(), Fleet()} {
		figures := map[string]bool{}
		for _, f := range p.Figures {
			if figures[f.ID] || f.ID == "" || f.Title == "" || f.About == "" || len(f.Columns) == 0 || len(f.Rows) == 0 {
				t.Errorf("%s: figure %q is twice or not whole", p.Mode, f.ID)
			}
			figures[f.ID] = true
			labels := map[string]bool{}
			for _, r := range f.Rows {
				if labels[r.ID()] || r.Label == "" {
					t.Errorf("%s: %s has %q twice", p.Mode, f.ID, r.Label)
				}
				labels[r.ID()] = true
				if ByID(r.Server).Name == "" {
					t.Errorf("%s: %s asks for %q, which is no server", p.Mode, f.ID, r.Server)
				}
			}
			for _, c := range f.Columns {
				if c.Path == "" || c.Scale <= 0 {
					t.Errorf("%s: %s has a column without a number: %+v", p.Mode, f.ID, c)
				}
			}
		}
	}
}

// Every figure that Belfry must reach something in is about both dialects.
func TestBothDialects(t *testing.T) {
	for _, f := range Full().Figures {
		if !slices.ContainsFunc(f.Columns, func(c Column) bool { return c.Must > 0 }) {
			continue
		}
		for _, id := range []string{"mc", "es"} {
			if !slices.ContainsFunc(f.Rows, func(r Row) bool { return r.Server == id }) {
				t.Errorf("%s has no row for %s", f.ID, ByID(id).Name)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.847: "0.85", 9.004: "9.00", 12.34: "12.3", 123.4: "123", 19500.4: "19,500", 1234567: "1,234,567", -1500: "-1,500",
	} {
		if got := Number(x); got != want {
			t.Errorf("%v is written %q, want %q", x, got, want)
		}
	}
}
