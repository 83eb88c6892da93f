//go:build soak

package verify

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// TestSoak has run after run, by turns of each topology, for an hour or for what
// BELFRY_SOAK says (as 20m).
func TestSoak(t *testing.T) {
	lasts := time.Hour
	if text := os.Getenv("BELFRY_SOAK"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("BELFRY_SOAK: %v: write a duration, as 20m", err)
		}
	}
	end := time.Now().Add(lasts)
	for n := 0; n == 0 || time.Now().Before(end); n++ {
		topology, seed := []Topology{R1, R3}[n%2], rand.Uint64()>>32
		t.Run(fmt.Sprintf("%s-%d", topology, seed), func(t *testing.T) {
			o := options(t, topology, seed, min(3*time.Minute, lasts))
			o.Users, o.Channels, o.Rate = 100, 4, 400
			keeps(t, o)
		})
	}
}
