package config

import (
	"strings"
	"testing"
)

// renaming has these entries in the table for a test.
func renaming(t *testing.T, entries ...Renaming) {
	t.Helper()
	before := renamings
	renamings = entries
	t.Cleanup(func() { renamings = before })
}

var testEntry = Renaming{Old: "nats.name", New: "nats.prefix", OldFlag: "name", Gone: "9.9"}

func TestRenamedKey(t *testing.T) {
	renaming(t, testEntry)
	path := writeFile(t, "nats:\n  name: acme\n")
	for _, c := range []struct {
		source, path string
		environ      []string
		flags        map[string]string
	}{
		{source: path + ":2", path: path},
		{source: "BELFRY_NATS_NAME", environ: []string{"BELFRY_NATS_NAME=acme"}},
		{source: "--name", flags: map[string]string{"nats.name": "acme"}},
	} {
		got, err := Load(c.path, c.environ, c.flags)
		if err != nil || got.Options.NATS.Prefix != "acme" || got.Sources["nats.prefix"] != c.source {
			t.Errorf("%s: prefix %q from %q, %v", c.source, got.Options.NATS.Prefix, got.Sources["nats.prefix"], err)
		}
		if len(got.Warnings) != 1 {
			t.Fatalf("%s: warnings %v", c.source, got.Warnings)
		}
		expect(t, got.Warnings, "nats.name", "("+c.source+") is called nats.prefix now: rename it: Belfry 9.9")
	}
}

// Both names in one source are a mistake; a source wins over the one below it,
// whichever name each uses.
func TestRenamedKeyTwice(t *testing.T) {
	renaming(t, testEntry)
	path := writeFile(t, "nats:\n  name: acme\n  prefix: acme\n")
	expect(t, mistakes(t, path, nil, nil), "nats.name", path+":2) is the old name of nats.prefix, which is given too ("+path+":3): remove nats.name")
	expect(t, mistakes(t, "", []string{"BELFRY_NATS_NAME=a", "BELFRY_NATS_PREFIX=b"}, nil), "nats.name", "(BELFRY_NATS_PREFIX)")
	expect(t, mistakes(t, "", nil, map[string]string{"nats.name": "a", "nats.prefix": "b"}), "nats.name", "(--prefix)")

	for _, c := range []struct{ env, flag string }{{"BELFRY_NATS_NAME", "nats.prefix"}, {"BELFRY_NATS_PREFIX", "nats.name"}} {
		got, err := Load("", []string{c.env + "=env"}, map[string]string{c.flag: "flag"})
		if err != nil || got.Options.NATS.Prefix != "flag" || len(got.Warnings) != 1 {
			t.Errorf("%+v: prefix %q, %v, %v", c, got.Options.NATS.Prefix, got.Warnings, err)
		}
	}
}

// A wrong value is told under the name that it was given with.
func TestRenamedKeyWithAWrongValue(t *testing.T) {
	renaming(t, Renaming{Old: "patience", New: "drain", Gone: "9.9"})
	expect(t, mistakes(t, writeFile(t, "patience: soon\n"), nil, nil), "patience", "soon")
}

// TestRenamings holds the table of this version to its form.
func TestRenamings(t *testing.T) {
	for _, r := range append(Renamings(), testEntry) {
		k, known := Lookup(r.New)
		if !known {
			t.Errorf("%s was renamed to %s, which is no key", r.Old, r.New)
		}
		if _, known := Lookup(r.Old); known || isSection(r.Old) {
			t.Errorf("%s is in use again", r.Old)
		}
		if r.OldFlag != "" && (k.Flag == "" || k.Flag == r.OldFlag) {
			t.Errorf("%s: --%s stands for no other flag", r.Old, r.OldFlag)
		}
		if !strings.Contains(r.Gone, ".") {
			t.Errorf("%s: it does not say which version reads it no more", r.Old)
		}
	}
}
