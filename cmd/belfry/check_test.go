package main

import (
	"strings"
	"testing"
	"time"

	"belfry/internal/config"
)

func TestHowLongTheStreamLasts(t *testing.T) {
	s := config.Stream{MaxBytes: 238_000_000, MaxAge: 24 * time.Hour}
	for rate, want := range map[float64]string{
		100: "1000000 messages of 128 bytes in each stream: 2h47m0s at 100 a second.\nThat is less than stream.max_age (24h0m0s)",
		10:  "27h47m0s at 10 a second.\nstream.max_age (24h0m0s) is reached before it",
		0.1: "115.7 days at 0.1 a second",
	} {
		if got := lasts(s, rate, 128); !strings.Contains(got, want) {
			t.Errorf("at %g: %s", rate, got)
		}
	}
}
