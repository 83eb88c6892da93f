package report

import (
	"cmp"
	"slices"

	"belfry/bench/plan"
)

// A curve is what one server needs, by size.
type curve struct {
	label, class string
	points       []point
}

type point struct {
	size float64
	spread
}

// A chart is curves in one frame.
type chart struct {
	title, x, y string
	curves      []curve
}

const (
	chartWidth  = 920.0
	chartHeight = 250.0
	chartLeft   = 64.0
	chartRight  = chartWidth - 290 // labels of the curves stand behind
	chartTop    = 44.0
	chartBottom = 52.0
	labelGap    = 16.0
)

// charts draws them one below the other.
func charts(list []chart) string {
	s := newSVG(chartWidth, 10+chartHeight*float64(len(list)))
	for i, c := range list {
		s.chart(c, 5+chartHeight*float64(i))
	}
	return s.String()
}

func (s *svg) chart(c chart, top float64) {
	var sizes, values []float64
	for _, curve := range c.curves {
		for _, p := range curve.points {
			sizes, values = append(sizes, p.size), append(values, p.min, p.max)
		}
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	y := scaleFor(values, top+chartHeight-chartBottom, top+chartTop)
	x := scale{sizes[0], sizes[len(sizes)-1], chartLeft + 20, chartRight - 20}
	if len(sizes) == 1 {
		x.low, x.high = sizes[0]/2, sizes[0]*2
	}
	s.text("title", "start", 20, top+22, c.title)
	s.text("muted", "end", chartWidth-20, top+22, c.y+" (logarithmic)")
	for _, t := range y.ticks() {
		s.line("grid", chartLeft, y.at(t), chartRight, y.at(t))
		s.text("muted", "end", chartLeft-8, y.at(t)+4, tick(t))
	}
	for _, size := range sizes {
		s.text("muted", "middle", x.at(size), top+chartHeight-chartBottom+18, plan.Thousands(size))
	}
	s.text("muted", "middle", (chartLeft+chartRight)/2, top+chartHeight-chartBottom+36, c.x)
	s.curves(c.curves, x, y)
}

// curves draws them, and their labels where they end, moved apart.
func (s *svg) curves(curves []curve, x, y scale) {
	curves = slices.Clone(curves)
	end := func(c curve) float64 { return y.at(c.points[len(c.points)-1].median) }
	slices.SortStableFunc(curves, func(a, b curve) int { return cmp.Compare(end(a), end(b)) })
	last := -labelGap
	for _, c := range curves {
		var line [][2]float64
		for _, p := range c.points {
			line = append(line, [2]float64{x.at(p.size), y.at(p.median)})
			if p.n > 1 {
				s.line("range", x.at(p.size), y.at(p.min), x.at(p.size), y.at(p.max))
			}
			s.dot("f-"+c.class, x.at(p.size), y.at(p.median))
		}
		s.polyline("line s-"+c.class, line)
		last = max(end(c), last+labelGap)
		final := c.points[len(c.points)-1]
		s.text("f-"+c.class, "start", chartRight+6, last+4, c.label+"  "+plan.Number(final.median))
	}
}

// growth are a figure's curves: one for each server, by size.
func (r Results) growth(f plan.Figure, c plan.Column, x string) (chart, bool) {
	result := chart{title: f.Title, x: x, y: c.Title}
	for _, row := range f.Rows {
		sp := r.spread(f, row, c)
		if row.Size == 0 || sp.n == 0 || sp.min <= 0 {
			continue
		}
		name := plan.ByID(row.Server).Name
		i := slices.IndexFunc(result.curves, func(c curve) bool { return c.label == name })
		if i < 0 {
			i = len(result.curves)
			result.curves = append(result.curves, curve{label: name, class: class(row.Server)})
		}
		result.curves[i].points = append(result.curves[i].points, point{float64(row.Size), sp})
	}
	return result, len(result.curves) > 0
}
