package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// WriteTable writes a result for people.
func (r *Result) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "belfry bench %s: %s, %d connections, seed %s\n", r.Scenario, r.Dialect, r.Conns, r.Seed)
	fmt.Fprintf(w, "belfry %s, %s, %d cores (%s), Linux %s\n\n", r.Belfry, r.Go, r.Machine.Cores, r.Machine.CPU, r.Machine.Kernel)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	if r.Cut {
		row("interrupted", "the figures are of what was measured until then")
	}
	row("connected", "in %.2f s (%.0f/s), to subscribed p50 %.1f ms, p99 %.1f ms", r.Connect.TookS, r.Connect.PerS, r.Connect.Latency.P50, r.Connect.Latency.P99)
	if c := r.Cold; c != nil {
		row("the first time", "in %.2f s (%.0f/s), to subscribed p50 %.1f ms, p99 %.1f ms%s", c.TookS, c.PerS, c.Latency.P50, c.Latency.P99, each(c.CPU, ", CPU %s µs each"))
	}
	if s := each(r.CPUPerConnection, "%s µs each"); s != "" {
		row("CPU to connect", "%s", s)
	}
	if s := each(r.RSSPerConnection, "%s bytes each"); s != "" {
		row("memory", "%s; the kernel %.0f bytes a socket", s, r.KernelPerConn)
	}
	if r.Published > 0 && r.Resume == nil {
		row("published", "%d, %.0f/s, %s, %d bytes", r.Published, r.PublicationsPerS, r.Publish, r.Size)
	}
	if r.Expected > 0 {
		row("delivered", "%s", r.Counts.text())
		row("", "all within %.2f s, %.0f/s", r.DurationS, r.DeliveriesPerS)
	}
	if r.Expected > 0 && r.Resume == nil {
		row("latency", "%s", r.Latency.text())
	}
	for _, name := range slices.Sorted(maps.Keys(r.Groups)) {
		g := r.Groups[name]
		row(name, "%s", g.Counts.text())
		row("", "%s", g.Latency.text())
	}
	if s := each(r.CPUPerDelivery, "%s µs"); s != "" {
		row("CPU a delivery", "%s; the generator %.2f µs", s, r.Generator.CPUPerDelivery)
	}
	if x := r.Resume; x != nil {
		row("came back", "%d clients that missed %d each, all caught up after %.2f s: p50 %.0f ms, p99 %.0f ms", x.Clients, x.Missed, x.TookS, x.Latency.P50, x.Latency.P99)
	}
	if x := r.Slow; x != nil {
		row("never read", "%d clients, %d of them closed (%s); then %d complete, with %d twice", x.Clients, x.Closed, reasons(x.Reasons), x.Complete, x.BackDuplicated)
		row("the others' p99", "%.2f times that without them", x.P99Ratio)
	}
	if r.Closed > 0 {
		row("closed", "%d: %s", r.Closed, reasons(r.CloseReasons))
	}
	for _, s := range r.Servers {
		row(s.Name, "CPU %.2f s, memory %d MB before, %d MB after, %d MB at most", s.CPUS, s.RSSBefore>>20, s.RSSAfter>>20, s.RSSPeak>>20)
	}
	_ = t.Flush() // what w is, the caller knows
}

func (c Counts) text() string {
	return fmt.Sprintf("%d of %d; lost %d, twice %d, out of order %d, to another %d", c.Deliveries, c.Expected, c.Lost, c.Duplicated, c.Reordered, c.Misdelivered)
}

func (l Latency) text() string {
	return fmt.Sprintf("p50 %.2f ms, p90 %.2f, p99 %.2f, p99.9 %.2f, at most %.2f", l.P50, l.P90, l.P99, l.P999, l.Max)
}

// each is figures by name, or nothing where there are none.
func each(figures map[string]float64, format string) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		if name == "total" && len(figures) == 2 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %.2f", name, figures[name])
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf(format, text)
}
