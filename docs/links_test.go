package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	// what GitHub leaves out of a heading's anchor
	notAnchor = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

func TestLinks(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(p.text, ""), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			file := filepath.Join(root, filepath.Dir(p.path), to)
			if to == "" {
				file = filepath.Join(root, p.path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", p.path, m[1])
				continue
			}
			if anchor != "" && !anchors(t, file)[anchor] {
				t.Errorf("%s links to %s, which has no such heading", p.path, m[1])
			}
		}
	}
}

func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		plain := notAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return found
}

// Whoever starts at docs/README.md finds every page.
func TestIndexIsComplete(t *testing.T) {
	var index string
	for _, p := range pages(t) {
		if p.path == "docs/README.md" || p.path == "docs/adr/README.md" {
			index += p.text
		}
	}
	for _, p := range pages(t) {
		if strings.HasPrefix(p.path, "docs/") && !strings.Contains(index, "("+filepath.Base(p.path)+")") && filepath.Base(p.path) != "README.md" {
			t.Errorf("%s is in no index: add it to docs/README.md", p.path)
		}
	}
}
