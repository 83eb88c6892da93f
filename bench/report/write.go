package report

import (
	"fmt"
	"os"
	"path/filepath"
)

// Files are what WriteAll writes into a directory, by the plan's mode: a fleet's
// stand beside those of the whole table.
func (r Results) Files() (page, data, plots string) {
	if r.Plan.Mode == "fleet" {
		return "FLEET.md", "fleet.json", "fleet-"
	}
	return "RESULTS.md", "results.json", ""
}

// WriteAll writes results, page and plots.
func (r Results) WriteAll(dir string) error {
	page, data, prefix := r.Files()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory for the results: %w", err)
	}
	if err := r.Write(filepath.Join(dir, data)); err != nil {
		return err
	}
	plots := r.Plots(prefix)
	for _, p := range plots {
		if err := os.WriteFile(filepath.Join(dir, p.File), []byte(p.SVG), 0o644); err != nil {
			return fmt.Errorf("writing a plot: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, page), []byte(r.Markdown(plots)), 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
