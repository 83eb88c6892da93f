package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads what time.ParseDuration reads, and days before it:
// "30d", "1d12h". A day is 24 hours.
func parseDuration(s string) (time.Duration, error) {
	var days time.Duration
	if head, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 64)
		if err != nil || n > uint64(math.MaxInt64/day)-1 {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		if days = time.Duration(n) * day; rest == "" {
			return days, nil
		}
		s = rest
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || days+d < 0 {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	return days + d, nil
}

// formatDuration is the shortest form that parseDuration reads back.
func formatDuration(d time.Duration) string {
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var sizeUnits = []struct {
	name  string // in lower case
	shown string // as formatSize writes it, "" where it does not
	bytes int64
}{
	{"tib", "TiB", 1 << 40}, {"gib", "GiB", 1 << 30}, {"mib", "MiB", 1 << 20}, {"kib", "KiB", 1 << 10},
	{"tb", "", 1e12}, {"gb", "", 1e9}, {"mb", "", 1e6}, {"kb", "", 1e3},
	{"b", "", 1}, {"", "", 1},
}

// parseSize reads a number of bytes: "1GiB", "64 MiB", "500MB", "4096".
func parseSize(s string) (int64, error) {
	lower := strings.ToLower(strings.TrimSpace(s))
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(lower, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size", s)
}

// formatSize is the shortest form that parseSize reads back exactly.
func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if u.shown != "" && n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.shown
		}
	}
	return strconv.FormatInt(n, 10)
}
