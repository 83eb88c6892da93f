// Package plan is what is measured, on which servers, and what Belfry must
// reach: data only. The runner carries it out, and the report prints it.
package plan

// A Plan is carried out in rounds: round 1 of every row, then round 2, so that
// what changes on the machine meanwhile meets all of them.
type Plan struct {
	Mode    string   `json:"mode"` // full, quick or fleet
	Figures []Figure `json:"figures"`
}

// A Figure is one table: a scenario of the generator on several servers.
type Figure struct {
	ID       string   `json:"id"` // for --only
	Title    string   `json:"title"`
	About    string   `json:"about"` // how it was taken
	Scenario string   `json:"scenario"`
	Args     []string `json:"args"` // of the generator, for all rows
	Rows     []Row    `json:"rows"`
	Columns  []Column `json:"columns"`        // the first is the one that servers are compared by
	Once     bool     `json:"once,omitempty"` // in the first round only
}

// A Row is one server in a figure.
type Row struct {
	Server string   `json:"server"`         // the ID of a Server
	Label  string   `json:"label"`          // what the table calls it
	Size   int      `json:"size,omitempty"` // what the figure grows by, where it does
	Args   []string `json:"args,omitempty"` // after the figure's, so that they count
}

// ID names the row within its figure.
func (r Row) ID() string { return r.Label }

// A Column is one number of the generator's JSON result.
type Column struct {
	Path  string  `json:"path"`  // keys with dots between
	Title string  `json:"title"` // with the unit
	Scale float64 `json:"scale"` // what the number is divided by for that unit
	// Must and Reach are for Belfry's rows, in the column's unit, at most; 0: nothing
	// is asked. MustOf has what another server ID of Belfry's must reach instead.
	Must   float64            `json:"must,omitempty"`
	Reach  float64            `json:"reach,omitempty"`
	MustOf map[string]float64 `json:"must_of,omitempty"`
	// Floor is what peers/floor had in the run of 25 November 2026, on a machine for
	// which the musts can stand; 0 for none. Another machine, or the same one on a
	// busy day, takes more for both: so Must ÷ Floor is a must for there. Latencies
	// have none, as they don't grow when a machine gets slower but when it fills up;
	// nor has a figure whose must lies between two sizes.
	Floor float64 `json:"floor,omitempty"`
}

// MustFor is what a server must reach in this column, 0 for nothing.
func (c Column) MustFor(server string) float64 {
	if must, own := c.MustOf[server]; own {
		return must
	}
	if ByID(server).Belfry {
		return c.Must
	}
	return 0
}

// The generator's numbers, by the words of its JSON.
var (
	bytesEach  = Column{Path: "rss_bytes_per_connection.gateway", Title: "RSS per connection, KB", Scale: 1000}
	bytesAll   = Column{Path: "rss_bytes_per_connection.total", Title: "with broker, KB", Scale: 1000}
	kernelEach = Column{Path: "kernel_bytes_per_connection", Title: "kernel, KB", Scale: 1000}
	cpuConnect = Column{Path: "cpu_us_per_connection.gateway", Title: "CPU per connection, µs", Scale: 1}
	connectAll = Column{Path: "cpu_us_per_connection.total", Title: "with broker, µs", Scale: 1}
	connects   = Column{Path: "connect.per_s", Title: "connections/s", Scale: 1}
	cpuGateway = Column{Path: "cpu_us_per_delivery.gateway", Title: "CPU per delivery, µs", Scale: 1}
	cpuTotal   = Column{Path: "cpu_us_per_delivery.total", Title: "CPU per delivery with broker, µs", Scale: 1}
	deliveries = Column{Path: "deliveries_per_s", Title: "deliveries/s", Scale: 1}
	p50        = Column{Path: "latency_ms.p50", Title: "p50, ms", Scale: 1}
	p99        = Column{Path: "latency_ms.p99", Title: "p99, ms", Scale: 1}
)

func (c Column) must(must, reach float64) Column {
	c.Must, c.Reach = must, reach
	return c
}

func (c Column) beside(floor float64) Column {
	c.Floor = floor
	return c
}

func (c Column) titled(title string) Column {
	c.Title = title
	return c
}
