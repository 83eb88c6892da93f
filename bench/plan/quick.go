package plan

import "slices"

// Quick is a smaller table for a first look, once, within two minutes.
func Quick() Plan {
	few := rows("mc", "es", "centrifuge", "natsws", "floor")
	return Plan{Mode: "quick", Figures: []Figure{
		{
			ID: "idle", Title: "Idle connections: memory", Scenario: "idle",
			About:   "2,000 connections of as many users, 2 s after the last one: too few and too short to compare with the whole table.",
			Args:    []string{"--connections", "2000", "--settle", "2s"},
			Rows:    few,
			Columns: []Column{bytesEach, bytesAll, kernelEach, cpuConnect},
		},
		{
			ID: "fanout-1000", Title: "Fan-out to 1,000, flat out", Scenario: "fanout",
			About:   "One channel with 1,000 subscribers, 12 publications under way." + underWay,
			Args:    []string{"--connections", "1000", "--channels", "1", "--rate", "0", "--messages", "600", "--in-flight", flight1000},
			Rows:    slices.Concat(few, rows("floor-joined")),
			Columns: []Column{cpuTotal.titled("CPU per delivery, µs").must(1.2, 0.9).beside(0.95), deliveries, p50, p99},
		},
		{
			ID: "fanout-20", Title: "Fan-out to 1,000 at 20 a second", Scenario: "fanout",
			About:   "The same, 20 publications a second for 2 s: nothing waits, so every write is alone.",
			Args:    []string{"--connections", "1000", "--channels", "1", "--rate", "20", "--duration", "2s"},
			Rows:    few,
			Columns: []Column{cpuTotal.titled("CPU per delivery, µs").must(12, 10).beside(12.4), p50, p99},
		},
		{
			ID: "unicast", Title: "Single messages to 2,000 users, flat out", Scenario: "unicast",
			About:   "Each publication is for one user. Belfry stores each one and acknowledges it; the others deliver at most once.",
			Args:    []string{"--connections", "2000", "--rate", "0", "--messages", "20000"},
			Rows:    slices.Concat(few, rows("node")),
			Columns: []Column{cpuTotal, cpuGateway.titled("gateway alone, µs"), deliveries, p50, p99},
		},
	}}
}
