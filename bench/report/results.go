// Package report turns what the runner measured into tables and plots. It knows
// nothing but results.json: the same file gives the same pages.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"belfry/bench/plan"
)

// Results is results.json: what was asked for and what came out.
type Results struct {
	Started  time.Time         `json:"started"`
	TookS    float64           `json:"took_s"`
	Command  string            `json:"command"` // that repeats it
	Seed     uint32            `json:"seed"`
	Rounds   int               `json:"rounds"`
	Machine  Machine           `json:"machine"`
	Itself   []Itself          `json:"itself,omitempty"` // before each round
	Versions map[string]string `json:"versions"`
	Plan     plan.Plan         `json:"plan"`
	Runs     []Run             `json:"runs"`
}

// Machine is where it ran.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memory_bytes"`
	Kernel      string `json:"kernel"`
	Descriptors uint64 `json:"descriptors"` // a process may open
}

// Itself is what the machine takes for what every server on it does, in
// nanoseconds.
type Itself struct {
	SystemCallNS float64 `json:"system_call_ns"` // the least that one takes
	RoundTripNS  float64 `json:"round_trip_ns"`  // a byte to another goroutine over loopback, and back
	MemoryNS     float64 `json:"memory_ns"`      // a read somewhere in 64 MiB
	PageNS       float64 `json:"page_ns"`        // the first write to a page
}

// A Run is one row in one round. Result is the generator's, as it printed it;
// a run may have both, where something was lost.
type Run struct {
	Figure  string         `json:"figure"`
	Row     string         `json:"row"`
	Round   int            `json:"round"` // from 1
	TookS   float64        `json:"took_s"`
	Command string         `json:"command"`
	Result  map[string]any `json:"result,omitempty"`
	Error   string         `json:"error,omitempty"`
}

// Read returns the results in a file.
func Read(file string) (Results, error) {
	var r Results
	data, err := os.ReadFile(file)
	if err != nil {
		return r, fmt.Errorf("reading results: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("reading %s: %w", file, err)
	}
	return r, nil
}

// Write writes the file whole.
func (r Results) Write(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// Number returns one number of a run's result, by its keys with dots between; an
// array's are 0 and up.
func (r Run) Number(path string) (float64, bool) {
	var at any = map[string]any(r.Result)
	for key := range strings.SplitSeq(path, ".") {
		switch in := at.(type) {
		case map[string]any:
			at = in[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(in) {
				return 0, false
			}
			at = in[i]
		default:
			return 0, false
		}
	}
	x, ok := at.(float64)
	return x, ok
}

// of are the runs of one row, in rounds' order.
func (r Results) of(f plan.Figure, row plan.Row) (runs []Run) {
	for _, run := range r.Runs {
		if run.Figure == f.ID && run.Row == row.ID() {
			runs = append(runs, run)
		}
	}
	return runs
}

// measured are a column's numbers by round, in its unit.
func (r Results) measured(f plan.Figure, row plan.Row, c plan.Column) map[int]float64 {
	values := map[int]float64{}
	for _, run := range r.of(f, row) {
		if x, ok := run.Number(c.Path); ok {
			values[run.Round] = x / c.Scale
		}
	}
	return values
}

// spread is what a column's numbers are summed up as.
type spread struct {
	median, min, max float64
	n                int
}

func (r Results) spread(f plan.Figure, row plan.Row, c plan.Column) spread {
	var values []float64
	for _, x := range r.measured(f, row, c) {
		values = append(values, x)
	}
	return spreadOf(values)
}
