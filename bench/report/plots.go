package report

import "belfry/bench/plan"

// Plots are the pictures for these results: those for which there is something
// to show. Their files' names begin with prefix.
func (r Results) Plots(prefix string) (plots []Plot) {
	if panels := r.panels(); len(panels) > 0 {
		plots = append(plots, Plot{prefix + "servers.svg", "Servers side by side", r.bars(panels)})
	}
	var list []chart
	for _, f := range r.Plan.Figures {
		list = append(list, r.chartsOf(f)...)
	}
	if len(list) > 0 {
		plots = append(plots, Plot{prefix + "growth.svg", "What grows with the number of connections, channels or publications", charts(list)})
	}
	return plots
}

// panels are the figures that are about how servers differ, by their first
// column.
func (r Results) panels() (list []panel) {
	for _, f := range r.Plan.Figures {
		switch f.ID {
		case "idle", "fanout-1000", "fanout-20", "unicast":
			p := panel{f, f.Columns[0]}
			if grows(f) || len(r.barsOf(p)) < 2 {
				continue
			}
			list = append(list, p)
		}
	}
	return list
}

func grows(f plan.Figure) bool { return len(f.Rows) > 0 && f.Rows[0].Size > 0 }

// chartsOf are a growing figure's first column, and with a fleet its p99 too.
func (r Results) chartsOf(f plan.Figure) (list []chart) {
	if !grows(f) {
		return nil
	}
	x := map[string]string{
		"grow-channels": "channels, logarithmic",
		"grow-flight":   "publications under way, logarithmic",
		"fanout-10000":  "publications under way, logarithmic",
		"unicast":       "publications a second, logarithmic",
	}[f.ID]
	if x == "" {
		x = "connections, logarithmic"
	}
	columns := f.Columns[:1]
	if r.Plan.Mode == "fleet" {
		columns = f.Columns
	}
	for _, c := range columns {
		if c.Path != columns[0].Path && c.Path != "latency_ms.p99" {
			continue
		}
		if chart, some := r.growth(f, c, x); some {
			list = append(list, chart)
		}
	}
	return list
}
