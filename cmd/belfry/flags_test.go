package main

import (
	"testing"

	"github.com/spf13/pflag"

	"belfry/internal/config"
)

// The old name of a flag is taken, and not shown.
func TestRenamedFlag(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.String("prefix", "", "")
	flags.Bool("durable", true, "")
	addRenamed(flags, []config.Renaming{
		{Old: "nats.name", New: "nats.prefix", OldFlag: "name"},
		{Old: "stored", New: "durable", OldFlag: "stored"},
		{Old: "nats.place", New: "data", OldFlag: "place"}, // a flag that this command does not have
	})
	if err := flags.Parse([]string{"--name", "acme", "--stored"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"name": "acme", "stored": "true"} {
		if f := flags.Lookup(name); !f.Changed || f.Value.String() != want || !f.Hidden {
			t.Errorf("--%s is %+v", name, f)
		}
	}
	if flags.Lookup("place") != nil {
		t.Error("--place is there, and --data is not")
	}
}
