package examples_test

import (
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// closing is what a gateway gets beyond drain_delay and drain, to write its
// cursors and to close NATS cleanly.
const closing = 15 * time.Second

// timeToStop is what a supervisor has to give a gateway with the defaults, by
// the manual.
func timeToStop(t *testing.T) time.Duration {
	t.Helper()
	m := manual(t)
	return duration(t, m.DrainDelay) + duration(t, m.Drain) + closing
}

// defaults are those in belfry.yaml that the files of deploy/ depend on.
type defaults struct {
	Public struct {
		Listen string `yaml:"listen"`
	} `yaml:"public"`
	Internal struct {
		Listen string `yaml:"listen"`
	} `yaml:"internal"`
	DrainDelay string `yaml:"drain_delay"`
	Drain      string `yaml:"drain"`
}

func manual(t *testing.T) (m defaults) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, "../belfry.yaml")), &m); err != nil {
		t.Fatalf("belfry.yaml: %v", err)
	}
	return m
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestComposeGivesTimeToStop(t *testing.T) {
	if got := duration(t, readCompose(t).Services["gateway"].StopGrace); got != timeToStop(t) {
		t.Errorf("stop_grace_period is %v, want %v", got, timeToStop(t))
	}
}
