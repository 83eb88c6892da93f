package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"belfry/bench/plan"
	"belfry/bench/report"
)

// fleet measures all of the plan on gateways that stay: each run connects its
// clients anew.
func (s *session) fleet(ctx context.Context) error {
	dir, err := os.MkdirTemp(s.dir, "fleet-")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	d := &deployment{dir: dir, programs: s.programs}
	defer d.stop()
	if err := d.broker(ctx, "nats", "--jetstream", filepath.Join(dir, "jetstream")); err != nil {
		return err
	}
	for range plan.FleetGateways {
		if err := d.gateway(ctx, plan.ByID("es-apart"), d.nats); err != nil {
			return err
		}
	}
	for round := 1; round <= s.results.Rounds; round++ {
		for _, f := range s.results.Plan.Figures {
			for _, row := range f.Rows {
				r := report.Run{Figure: f.ID, Row: row.ID(), Round: round}
				began := time.Now()
				s.generate(ctx, d, f, row, &r)
				r.TookS = time.Since(began).Seconds()
				s.record(r)
				if dead := d.dead(); dead != "" {
					return fmt.Errorf("the fleet is not whole any more: %s", dead)
				}
				if ctx.Err() != nil {
					return nil
				}
			}
		}
	}
	return nil
}
