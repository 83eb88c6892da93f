package app

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"time"

	"belfry/internal/wall"
)

// StepClock has this process's clock on the wall go wrong as r says: each line is
// by how much from then on, such as "-1h30m" or "0s". It returns where r ends.
// Only the verifier's gateways have it.
func StepClock(r io.Reader, log *slog.Logger) error {
	for lines := bufio.NewScanner(r); ; {
		if !lines.Scan() {
			return lines.Err()
		}
		d, err := time.ParseDuration(lines.Text())
		if err != nil {
			return fmt.Errorf("step the clock: %w", err)
		}
		wall.Set(d)
		log.Info("the clock was stepped", "off", d)
	}
}
