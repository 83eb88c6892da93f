package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var versionHeading = regexp.MustCompile(`(?m)^## \[[^\]]+\].*$`)

// Each version in the changelog says whether going back from it is possible.
func TestChangelogSaysGoingBack(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := versionHeading.FindAllIndex(text, -1)
	if len(found) == 0 {
		t.Fatal("the changelog has no versions")
	}
	if missing := withoutGoingBack(string(text)); len(missing) > 0 {
		t.Errorf("these say not whether one can go back (a line that begins with \"Going back: \"): %q", missing)
	}
	if missing := withoutGoingBack("## [2]\n\nGoing back: yes.\n\n## [1] - 2026-01-01\n\n- x\n"); len(missing) != 1 || missing[0] != "## [1] - 2026-01-01" {
		t.Errorf("the check itself finds %q", missing)
	}
}

// withoutGoingBack are the headings of versions that do not say it.
func withoutGoingBack(text string) (missing []string) {
	at := versionHeading.FindAllStringIndex(text, -1)
	for i, h := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		if !strings.Contains(text[h[1]:end], "\nGoing back: ") {
			missing = append(missing, text[h[0]:h[1]])
		}
	}
	return missing
}
