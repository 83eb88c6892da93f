package report

import (
	"cmp"
	"slices"

	"belfry/bench/plan"
)

// A panel is one number of one figure.
type panel struct {
	figure plan.Figure
	column plan.Column
}

type bar struct {
	label, class string
	spread
}

const (
	barWidth   = 920.0
	barLabels  = 340.0 // where the bars begin
	barPitch   = 24.0
	barHead    = 46.0 // title above the bars of a panel
	barFoot    = 44.0 // axis below them
	barNumbers = 90.0
)

// bars draws each panel's servers, the least first.
func (r Results) bars(panels []panel) string {
	height := 10.0
	var all [][]bar
	for _, p := range panels {
		list := r.barsOf(p)
		all = append(all, list)
		height += barHead + barPitch*float64(len(list)) + barFoot
	}
	s := newSVG(barWidth, height)
	y := 10.0
	for i, p := range panels {
		y = s.panel(p, all[i], y)
	}
	return s.String()
}

func (r Results) barsOf(p panel) (list []bar) {
	for _, row := range p.figure.Rows {
		if sp := r.spread(p.figure, row, p.column); sp.n > 0 && sp.min > 0 {
			list = append(list, bar{row.Label, class(row.Server), sp})
		}
	}
	slices.SortStableFunc(list, func(a, b bar) int { return cmp.Compare(a.median, b.median) })
	return list
}

func (s *svg) panel(p panel, list []bar, y float64) float64 {
	s.text("title", "start", 20, y+22, p.figure.Title)
	s.text("muted", "end", barWidth-20, y+22, p.column.Title+" (logarithmic)")
	y += barHead
	var values []float64
	for _, b := range list {
		values = append(values, b.min, b.max)
	}
	x := scaleFor(values, barLabels, barWidth-barNumbers)
	bottom := y + barPitch*float64(len(list))
	for _, t := range x.ticks() {
		s.line("grid", x.at(t), y-6, x.at(t), bottom)
		s.text("muted", "middle", x.at(t), bottom+16, tick(t))
	}
	for _, b := range list {
		s.text("text", "end", barLabels-10, y+13, b.label)
		s.rect("f-"+b.class, barLabels, y, max(x.at(b.median)-barLabels, 1.5), barPitch-8, 2)
		if b.n > 1 {
			s.line("range", x.at(b.min), y+8, x.at(b.max), y+8)
		}
		s.text("text", "start", max(x.at(b.max), x.at(b.median))+8, y+13, plan.Number(b.median))
		y += barPitch
	}
	return bottom + barFoot
}

// class is a server's colour.
func class(server string) string {
	s := plan.ByID(server)
	switch {
	case slices.ContainsFunc(colours, func(c colour) bool { return c.class == server }):
		return server
	case s.Belfry:
		return "belfry"
	case s.Kind == plan.Floor:
		return "floor"
	}
	return "peer"
}
