package reason_test

import (
	"regexp"
	"testing"

	"belfry/internal/reason"
)

// Each reason has a name of its own that can stand in a label and an anchor.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range reason.All() {
		name := r.String()
		if !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(name) || name == "none" || name == "unknown" {
			t.Errorf("reason %d is named %q", r, name)
		}
		if seen[name] {
			t.Errorf("%q names two reasons", name)
		}
		seen[name] = true
	}
	if len(seen) != reason.Count-1 {
		t.Errorf("%d reasons, want %d", len(seen), reason.Count-1)
	}
}
