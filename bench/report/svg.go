package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// A Plot is one picture beside the page.
type Plot struct{ File, Title, SVG string }

// svg draws on a surface of its own colour, so that it can be read wherever it
// is shown, in light and in dark.
type svg struct {
	b             strings.Builder
	width, height float64
}

const style = `
svg{font-family:system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;font-size:13px}
.surface{fill:#fff}.text{fill:#1f2328}.muted{fill:#59636e}.title{fill:#1f2328;font-weight:600;font-size:15px}
.grid{stroke:#d8dee4}.range{stroke:#1f2328;stroke-width:1.2}
.line{fill:none;stroke-width:2.2}
%s
@media (prefers-color-scheme:dark){
.surface{fill:#0d1117}.text,.title{fill:#e6edf3}.muted{fill:#9198a1}
.grid{stroke:#30363d}.range{stroke:#e6edf3}
%s}
`

type colour struct{ class, light, dark string }

// colours of servers, the same in all plots.
var colours = []colour{
	{"mc", "#0969da", "#4493f8"},
	{"es", "#1a7f37", "#3fb950"},
	{"belfry", "#218bff", "#1f6feb"}, // its other rows
	{"centrifuge", "#bc4c00", "#db6d28"},
	{"natsws", "#8250df", "#ab7df8"},
	{"node", "#9a6700", "#d29922"},
	{"floor", "#8c959f", "#6e7681"},
	{"peer", "#bf3989", "#db61a2"}, // one that has no colour yet
}

func newSVG(width, height float64) *svg {
	s := &svg{width: width, height: height}
	s.rect("surface", 0, 0, width, height, 8)
	return s
}

func (s *svg) text(class, anchor string, x, y float64, text string) {
	fmt.Fprintf(&s.b, "<text class=%q text-anchor=%q x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, anchor, x, y, html.EscapeString(text))
}

func (s *svg) rect(class string, x, y, width, height, round float64) {
	fmt.Fprintf(&s.b, "<rect class=%q x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%.1f\"/>\n", class, x, y, width, height, round)
}

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&s.b, "<line class=%q x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2)
}

func (s *svg) dot(class string, x, y float64) {
	fmt.Fprintf(&s.b, "<circle class=%q cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", class, x, y)
}

func (s *svg) polyline(class string, points [][2]float64) {
	fmt.Fprintf(&s.b, "<polyline class=%q points=\"", class)
	for _, p := range points {
		fmt.Fprintf(&s.b, "%.1f,%.1f ", p[0], p[1])
	}
	s.b.WriteString("\"/>\n")
}

func (s *svg) String() string {
	var light, dark strings.Builder
	for _, c := range colours {
		const rule = ".f-%[1]s{fill:%[2]s}.s-%[1]s{stroke:%[2]s}\n"
		fmt.Fprintf(&light, rule, c.class, c.light)
		fmt.Fprintf(&dark, rule, c.class, c.dark)
	}
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\">\n<style>"+style+"</style>\n%s</svg>\n",
		s.width, s.height, s.width, s.height, light.String(), dark.String(), s.b.String())
}

// A scale maps numbers to a length, by their logarithm.
type scale struct{ low, high, from, to float64 }

// scaleFor spans steps of 1, 2 and 5 around the numbers, all above 0, with some
// room before the least.
func scaleFor(values []float64, from, to float64) scale {
	s := spreadOf(values)
	if s.n == 0 {
		return scale{1, 10, from, to}
	}
	low, high := step(s.min*0.8), step(s.min*0.8)
	for high < s.max {
		high = step(high * 2.6)
	}
	return scale{low, high, from, to}
}

// step is the largest of 1, 2 and 5 times a power of ten that is not above x.
func step(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{5, 2} {
		if x >= m*power*0.9999 {
			return m * power
		}
	}
	return power
}

func (s scale) at(x float64) float64 {
	share := math.Log10(x/s.low) / math.Log10(s.high/s.low)
	return s.from + (s.to-s.from)*min(max(share, 0), 1)
}

// ticks are the steps from end to end.
func (s scale) ticks() (list []float64) {
	for x := s.low; x < s.high*1.01; x = step(x * 2.6) {
		list = append(list, x)
	}
	return list
}

// tick writes one without zeros that say nothing.
func tick(x float64) string {
	if x >= 1000 {
		return fmt.Sprintf("%gk", math.Round(x)/1000)
	}
	return fmt.Sprintf("%.3g", x)
}
