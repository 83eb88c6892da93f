package grafana_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
)

// metrics are what a gateway exports: each series' kind, and the values of each
// of its labels.
type metrics map[string]*metric

type metric struct {
	kind   string
	labels map[string]map[string]bool
}

var (
	kindLine   = regexp.MustCompile(`^# TYPE (\S+) (\S+)$`)
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
	part       = regexp.MustCompile(`_(bucket|sum|count)$`)

	// scraped are the labels that Prometheus adds.
	scraped = []string{"job", "instance"}
	// open are labels whose values are not known beforehand.
	open = []string{"version", "revision", "go"}
)

// exported reads /metrics of a gateway that has just been started: all values
// that a label can have are there.
func exported(t *testing.T) metrics {
	t.Helper()
	a := apptest.Start(t)
	return read(t, a)
}

func read(t *testing.T, a *app.App) metrics {
	t.Helper()
	_, text := apptest.Get(t, "http://"+a.Addresses().Internal+"/metrics")
	kinds, all := map[string]string{}, metrics{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := kindLine.FindStringSubmatch(line); m != nil {
			kinds[m[1]] = m[2]
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		kind := kinds[m[1]]
		if kind == "" {
			kind = kinds[part.ReplaceAllString(m[1], "")]
		}
		if all[m[1]] == nil {
			all[m[1]] = &metric{kind, map[string]map[string]bool{}}
		}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			if all[m[1]].labels[pair[1]] == nil {
				all[m[1]].labels[pair[1]] = map[string]bool{}
			}
			all[m[1]].labels[pair[1]][pair[2]] = true
		}
	}
	if len(all) < 50 {
		t.Fatalf("/metrics has %d series: the tests would check next to nothing", len(all))
	}
	return all
}

// check returns what is wrong with an expression.
func (all metrics) check(text string) (wrong []string) {
	e, err := parse(text)
	if err != nil {
		return []string{err.Error()}
	}
	say := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s, in %s", fmt.Sprintf(format, args...), text))
	}
	for _, u := range e.uses {
		m := all[u.metric]
		if m == nil {
			say("there is no metric %s", u.metric)
			continue
		}
		if counts := m.kind == "counter" || m.kind == "histogram"; counts != u.ranged {
			say("%s is a %s: a counter needs a range and rate or increase, a gauge none", u.metric, m.kind)
		}
		for _, matcher := range u.matchers {
			if sentence := m.checkMatcher(matcher); sentence != "" {
				say("%s: %s", u.metric, sentence)
			}
		}
	}
	for _, g := range e.groupings {
		over := g.over
		if over == nil {
			over = e.uses
		}
		for _, label := range g.labels {
			for _, u := range over {
				if m := all[u.metric]; m != nil && !m.has(label) {
					say("%s has no label %s", u.metric, label)
				}
			}
		}
	}
	return wrong
}

func (m *metric) has(label string) bool {
	return m.labels[label] != nil || slices.Contains(scraped, label)
}

func (m *metric) checkMatcher(by matcher) string {
	switch {
	case slices.Contains(scraped, by.label):
		return ""
	case m.labels[by.label] == nil:
		return fmt.Sprintf("it has no label %s", by.label)
	case slices.Contains(open, by.label):
		return ""
	}
	values := []string{by.value}
	if strings.HasSuffix(by.op, "~") {
		values = strings.Split(by.value, "|")
	}
	for _, value := range values {
		if !m.labels[by.label][value] {
			return fmt.Sprintf("its label %s is never %q", by.label, value)
		}
	}
	return ""
}

// What the checks are there for, they find.
func TestCheck(t *testing.T) {
	all := metrics{
		"closes_total": {"counter", map[string]map[string]bool{"reason": {"slow": true, "drain": true}}},
		"open":         {"gauge", map[string]map[string]bool{}},
	}
	for text, want := range map[string]string{
		`sum by (reason, job) (rate(closes_total{reason=~"slow|drain",job="x"}[5m]))`: "",
		`open / on (instance) open`:                      "",
		`opened`:                                         "no metric opened",
		`rate(closes_total{reason="fast"}[5m])`:          `never "fast"`,
		`rate(closes_total{reason=~"slow|fast"}[5m])`:    `never "fast"`,
		`rate(closes_total{why="slow"}[5m])`:             "no label why",
		`sum by (why) (rate(closes_total[5m]))`:          "no label why",
		`sum by (reason) (open)`:                         "no label reason",
		`rate(closes_total[5m]) / on (reason) open`:      "no label reason",
		`closes_total`:                                   "is a counter",
		`rate(open[5m])`:                                 "is a gauge",
		`sum(rate(closes_total[5m]))) by (reason)`:       "stands where it can't",
		`sum by (reason) (rate(closes_total[5m])) + abc`: "no metric abc",
	} {
		wrong := strings.Join(all.check(text), "\n")
		if want == "" && wrong != "" || !strings.Contains(wrong, want) {
			t.Errorf("%s: %q, want %q", text, wrong, want)
		}
	}
}

// The expressions in the documentation are as true as the dashboard's.
func TestDocumentedExpressions(t *testing.T) {
	page, err := os.ReadFile("../../docs/diagnosis.md")
	if err != nil {
		t.Fatal(err)
	}
	all, n := exported(t), 0
	for _, block := range regexp.MustCompile("(?ms)^```promql\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		for line := range strings.Lines(block[1]) {
			text, _, _ := strings.Cut(line, "#")
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			n++
			for _, sentence := range all.check(text) {
				t.Error(sentence)
			}
		}
	}
	if n < 20 {
		t.Errorf("docs/diagnosis.md has %d expressions: they are in blocks that begin with ```promql", n)
	}
}
