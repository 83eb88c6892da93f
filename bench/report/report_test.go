package report

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belfry/bench/plan"
)

var update = flag.Bool("update", false, "write testdata/page.golden anew")

func fixture(t *testing.T) Results {
	t.Helper()
	r, err := Read("testdata/results.json")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The page of a small results file, to the byte.
func TestPage(t *testing.T) {
	r := fixture(t)
	got := r.Markdown(r.Plots(""))
	const file = "testdata/page.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the page differs from %s (after a change that is meant: go test ./report -update, and read the difference); it is now\n%s", file, got)
	}
}

// Every table has as many cells in each row as in its head.
func TestTablesAreWhole(t *testing.T) {
	cells := 0
	for line := range strings.Lines(fixture(t).Markdown(nil)) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(line, "|")
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("%d bars in a table whose head has %d: %s", n, cells, line)
		}
	}
}

func TestWriteAll(t *testing.T) {
	dir := t.TempDir()
	r := fixture(t)
	if err := r.WriteAll(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Read(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	if again.Markdown(again.Plots("")) != string(page) {
		t.Error("the results that were written give another page than these")
	}
	for _, p := range r.Plots("") {
		if !strings.Contains(string(page), "("+p.File+")") {
			t.Errorf("%s is not on the page", p.File)
		}
		if _, err := os.Stat(filepath.Join(dir, p.File)); err != nil {
			t.Errorf("a plot is missing: %v", err)
		}
	}
}

// Plots are well-formed, name each server, and keep within their frame.
func TestPlots(t *testing.T) {
	plots := fixture(t).Plots("")
	if len(plots) != 2 {
		t.Fatalf("%d plots, want the servers and the growth", len(plots))
	}
	for _, p := range plots {
		dec := xml.NewDecoder(strings.NewReader(p.SVG))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", p.File, err)
			}
		}
		for _, id := range []string{"mc", "centrifuge", "floor"} {
			if name := plan.ByID(id).Name; !strings.Contains(p.SVG, name) {
				t.Errorf("%s does not name %s", p.File, name)
			}
		}
		if strings.Contains(p.SVG, "NaN") || strings.Contains(p.SVG, "Inf") || strings.Contains(p.SVG, `="-`) {
			t.Errorf("%s has a place that is none", p.File)
		}
	}
}

// Without a result there is a page that says so, and no plot.
func TestNothingMeasured(t *testing.T) {
	r := fixture(t)
	for i := range r.Runs {
		r.Runs[i].Result, r.Runs[i].Error = nil, "did not start"
	}
	if plots := r.Plots(""); len(plots) != 0 {
		t.Errorf("%d plots of nothing", len(plots))
	}
	page := r.Markdown(nil)
	if !strings.Contains(page, "not measured") || !strings.Contains(page, "round 1: did not start") {
		t.Error("the page does not say what is missing, and why")
	}
}
