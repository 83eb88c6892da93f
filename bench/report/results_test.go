package report

import "testing"

func TestNumber(t *testing.T) {
	r := Run{Result: map[string]any{"slow": map[string]any{"p99_ratio": 1.5}, "servers": []any{map[string]any{"rss": 7.0}}}}
	for path, want := range map[string]float64{"slow.p99_ratio": 1.5, "servers.0.rss": 7} {
		if got, ok := r.Number(path); !ok || got != want {
			t.Errorf("%s is %g, %t", path, got, ok)
		}
	}
	for _, path := range []string{"slow", "slow.p50", "slow.p99_ratio.x", "servers.1.rss", "servers.-1.rss", "servers.x.rss", ""} {
		if got, ok := r.Number(path); ok {
			t.Errorf("%q is %g", path, got)
		}
	}
}
