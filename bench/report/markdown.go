package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"belfry/bench/plan"
)

// Markdown is the whole page. Plots are the files to show on it, by title.
func (r Results) Markdown(plots []Plot) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# %s\n\n", title[r.Plan.Mode])
	p("Written by the runner, not by hand: %s repeats it. %s\n\n", "`"+r.Command+"`", r.taken())
	if r.Plan.Mode != "fleet" {
		p("%s", r.summary())
	}
	for _, plot := range plots {
		p("![%s](%s)\n\n", plot.Title, plot.File)
	}
	p("%s", r.how())
	for _, f := range r.Plan.Figures {
		p("%s", r.figure(f))
	}
	p("%s", r.where())
	return b.String()
}

var title = map[string]string{
	"full":  "Side by side",
	"quick": "Side by side, a quick look",
	"fleet": "A fleet of gateways",
}

func (r Results) taken() string {
	rounds := fmt.Sprintf("Medians of %d rounds, with the least and the most in parentheses", r.Rounds)
	if r.Rounds == 1 {
		rounds = "One round: take single numbers with care"
	}
	return fmt.Sprintf("Taken on %s in %s, on %d cores (%s). %s.",
		r.Started.UTC().Format("2 January 2006, 15:04 UTC"), (time.Duration(r.TookS) * time.Second).String(), r.Machine.Cores, r.Machine.CPU, rounds)
}

// summary is each must beside what Belfry's rows, the nearest peer and the floor
// have.
func (r Results) summary() string {
	var b strings.Builder
	for _, f := range r.Plan.Figures {
		for _, c := range f.Columns {
			if c.Must > 0 {
				fmt.Fprintf(&b, "| %s: %s | %s | %s | %s | %s | %s |\n", f.Title, c.Title,
					asked(c), plan.Number(c.Reach), r.belfrys(f, c), r.lowest(f, c, false), r.lowest(f, c, true))
			}
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "## What Belfry must reach\n\n| figure | must, at most | reach for | Belfry | the best peer | the floor |\n|---|---|---|---|---|---|\n" + b.String() + "\n"
}

// asked is a must as it was set, and by what a floor had there.
func asked(c plan.Column) string {
	if c.Floor == 0 {
		return plan.Number(c.Must)
	}
	return plan.Number(c.Must) + "; " + plan.Number(c.Must/c.Floor) + " × the floor"
}

func (r Results) belfrys(f plan.Figure, c plan.Column) string {
	var parts []string
	for _, row := range f.Rows {
		if !plan.ByID(row.Server).Belfry {
			continue
		}
		s := r.spread(f, row, c)
		text := "not measured"
		if s.n > 0 {
			text = "**" + plan.Number(s.median) + "**" + verdict(s.median, c.MustFor(row.Server), c.Must) + r.aboveFloor(f, row, c)
		}
		parts = append(parts, strings.TrimPrefix(row.Label, "Belfry, ")+" "+text)
	}
	return strings.Join(parts, "<br>")
}

// aboveFloor says how many times the floor's number a row has, round by round,
// and what that is against the must.
func (r Results) aboveFloor(f plan.Figure, row plan.Row, c plan.Column) string {
	must := c.MustFor(row.Server)
	if c.Floor == 0 || must == 0 {
		return ""
	}
	multiple := 0.0
	for _, other := range f.Rows {
		if plan.ByID(other.Server).Kind != plan.Floor || other.Size != row.Size {
			continue
		}
		if x, ok := ratio(r.measured(f, row, c), r.measured(f, other, c)); ok && x > multiple {
			multiple = x // beside the floor that had least
		}
	}
	if multiple == 0 {
		return ""
	}
	return "; " + plan.Number(multiple) + " × the floor" + verdict(multiple, must/c.Floor, must/c.Floor)
}

// verdict says what a number is against what it must be, and names that where it
// is not what is usual.
func verdict(x, must, usual float64) string {
	if must == 0 {
		return ""
	}
	of := ""
	if must != usual {
		of = " (" + plan.Number(must) + ")"
	}
	if x <= must {
		return " met" + of
	}
	return " **missed**" + of
}

// lowest is the peer with the lowest median, or the floor with it, which is no
// peer.
func (r Results) lowest(f plan.Figure, c plan.Column, floor bool) string {
	best, name := spread{}, ""
	for _, row := range f.Rows {
		server := plan.ByID(row.Server)
		if server.Belfry || (server.Kind == plan.Floor) != floor {
			continue
		}
		if s := r.spread(f, row, c); s.n > 0 && (name == "" || s.median < best.median) {
			best, name = s, row.Label
		}
	}
	if name == "" {
		return "–"
	}
	if floor {
		name = strings.TrimPrefix(name, "floor: ")
		name = strings.TrimPrefix(name, "floor, ")
	}
	return plan.Number(best.median) + ", " + name
}

// comparisons are the columns that set a row's first number against another's.
func (r Results) comparisons(f plan.Figure) (titles []string, cells []func(plan.Row) string) {
	if slices.ContainsFunc(f.Rows, func(row plan.Row) bool { return !plan.ByID(row.Server).Belfry }) {
		titles = append(titles, "× Belfry")
		cells = append(cells, func(row plan.Row) string { return r.times(f, row, reference(f, row)) })
	}
	if grows(f) {
		titles = append(titles, "× its smallest")
		cells = append(cells, func(row plan.Row) string {
			first := smallest(f, row)
			return r.times(f, row, &first)
		})
	}
	return titles, cells
}

// counted are what every table ends with.
var counted = []struct{ title, path string }{{"lost", "lost"}, {"doubled", "duplicated"}, {"closed", "closed"}}

// figure is one table.
func (r Results) figure(f plan.Figure) string {
	var b strings.Builder
	about := f.About
	if f.Once && r.Rounds > 1 {
		about += " Measured in the first round only."
	}
	head := []string{"server"}
	for _, c := range f.Columns {
		head = append(head, c.Title)
	}
	titles, compare := r.comparisons(f)
	head = append(head, titles...)
	for _, c := range counted {
		head = append(head, c.title)
	}
	fmt.Fprintf(&b, "## %s\n\n%s\n\n| %s |\n|%s\n", f.Title, about, strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range f.Rows {
		r.row(&b, f, row, compare)
	}
	b.WriteString("\n")
	for _, row := range f.Rows {
		for _, run := range r.of(f, row) {
			if run.Error != "" {
				fmt.Fprintf(&b, "* %s, round %d: %s\n", row.Label, run.Round, run.Error)
			}
		}
	}
	fmt.Fprintf(&b, "\nAgain: `%s --only '^%s$'`. What the generator was told in round 1:\n\n```sh\n", r.Command, f.ID)
	for _, row := range f.Rows {
		if runs := r.of(f, row); len(runs) > 0 {
			b.WriteString(runs[0].Command + "\n")
		}
	}
	b.WriteString("```\n\n")
	return strings.ReplaceAll(b.String(), "\n\n\n", "\n\n")
}

func (r Results) row(b *strings.Builder, f plan.Figure, row plan.Row, compare []func(plan.Row) string) {
	cells := []string{row.Label}
	for _, c := range f.Columns {
		cells = append(cells, r.spread(f, row, c).cell())
	}
	for _, cell := range compare {
		cells = append(cells, cell(row))
	}
	runs := r.of(f, row)
	for _, c := range counted {
		cells = append(cells, total(runs, c.path))
	}
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// cell is a median, with the least and the most where there is more than one.
func (s spread) cell() string {
	switch s.n {
	case 0:
		return "–"
	case 1:
		return plan.Number(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", plan.Number(s.median), plan.Number(s.min), plan.Number(s.max))
}

// times compares the figure's first column of a row with another's.
func (r Results) times(f plan.Figure, row plan.Row, with *plan.Row) string {
	if with == nil {
		return "–"
	}
	if with.ID() == row.ID() {
		return "1"
	}
	c := f.Columns[0]
	x, ok := ratio(r.measured(f, row, c), r.measured(f, *with, c))
	if !ok {
		return "–"
	}
	return plan.Number(x)
}

// total sums what is counted over all rounds.
func total(runs []Run, path string) string {
	sum, any := 0.0, false
	for _, run := range runs {
		if x, ok := run.Number(path); ok {
			sum, any = sum+x, true
		}
	}
	if !any {
		return "–"
	}
	return plan.Thousands(sum)
}

// where is the machine and the versions.
func (r Results) where() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Where\n\n| what | version |\n|---|---|\n| machine | %s, %d cores, %s GB |\n| kernel | %s |\n| descriptors a process may open | %s |\n",
		r.Machine.CPU, r.Machine.Cores, plan.Number(float64(r.Machine.MemoryBytes)/1e9), r.Machine.Kernel, plan.Thousands(float64(r.Machine.Descriptors)))
	for _, of := range []struct {
		what string
		ns   func(Itself) float64
	}{
		{"a bare system call", func(m Itself) float64 { return m.SystemCallNS }},
		{"a byte to another goroutine over loopback, and back", func(m Itself) float64 { return m.RoundTripNS }},
		{"a read somewhere in 64 MiB of memory", func(m Itself) float64 { return m.MemoryNS }},
		{"the first write to a page", func(m Itself) float64 { return m.PageNS }},
	} {
		var values []float64
		for _, m := range r.Itself {
			if of.ns(m) > 0 {
				values = append(values, of.ns(m)/1e3)
			}
		}
		if len(values) > 0 {
			fmt.Fprintf(&b, "| %s, before each round | %s µs |\n", of.what, spreadOf(values).cell())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, r.Versions[name])
	}
	each := "round"
	if r.Plan.Mode == "fleet" {
		each = "run"
	}
	fmt.Fprintf(&b, "| first seed | `%08x`, then one more for each %s |\n", r.Seed+1, each)
	b.WriteString("\nAll numbers, those of single rounds too, are in the results file beside this page.\n")
	return b.String()
}
