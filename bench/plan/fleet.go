package plan

import (
	"fmt"
	"strconv"
)

// The fleet: gateways on one external NATS, and how many clients each has. A
// process may open 20,000 descriptors.
const (
	FleetGateways    = 10
	FleetConnections = 190000
)

// Fleet is measured once: it takes some minutes and the machine's memory. All
// of it runs on one fleet, whose gateways are not started anew between.
func Fleet() Plan {
	common := []string{"--connections", strconv.Itoa(FleetConnections), "--processes", strconv.Itoa(FleetGateways)}
	row := []Row{{Server: "es-apart", Label: ByID("es-apart").Name}}
	var rates []Row
	for _, rate := range []int{100, 500, 1000, 2000, 4000, 8000} {
		rates = append(rates, Row{
			Server: "es-apart", Size: rate, Label: fmt.Sprintf("%s a second", Thousands(float64(rate))),
			Args: []string{"--rate", strconv.Itoa(rate)},
		})
	}
	nats := Column{Path: "cpu_us_per_delivery.nats", Title: "NATS, µs", Scale: 1}
	return Plan{Mode: "fleet", Figures: []Figure{
		{
			ID: "idle", Title: "190,000 idle connections", Scenario: "idle",
			About:   "10 gateways with 19,000 connections each, on one NATS; 10 s after the last one.",
			Args:    append([]string{"--settle", "10s"}, common...),
			Rows:    row,
			Columns: []Column{bytesEach, bytesAll, kernelEach, cpuConnect, connects},
		},
		{
			ID: "broadcast", Title: "One publication to all 190,000", Scenario: "fanout",
			About:   "A channel that all are on, five publications one after another, one every two seconds.",
			Args:    append([]string{"--channels", "1", "--rate", "0.5", "--messages", "5"}, common...),
			Rows:    row,
			Columns: []Column{cpuTotal, nats, p50, p99, {Path: "latency_ms.max", Title: "the last one, ms", Scale: 1}},
		},
		{
			ID: "unicast", Title: "Single messages to 190,000 users", Scenario: "unicast",
			About:   "Each publication is for one user, and each gateway reads all of them. CPU is that of all gateways and of NATS, divided by publications.",
			Args:    append([]string{"--duration", "8s"}, common...),
			Rows:    rates,
			Columns: []Column{cpuTotal.titled("CPU per publication, all, µs"), nats, p50, p99, deliveries.titled("reached, /s")},
		},
	}}
}
