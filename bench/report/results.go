// Package report turns what the runner measured into tables and plots. It knows
// nothing but results.json: the same file gives the same pages.
package report

import (
	"encoding/json"
	"fmt"
	"os"
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

// Number returns one number of a run's result.
func (r Run) Number(path string) (float64, bool) {
	var at any = map[string]any(r.Result)
	for key := range strings.SplitSeq(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return 0, false
		}
		at = object[key]
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
