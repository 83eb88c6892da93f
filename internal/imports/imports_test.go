package imports

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The portable build and other systems have files of their own.
var builds = []struct{ system, tags string }{
	{"linux", ""},
	{"linux", "portable"},
	{"darwin", ""},
}

func TestImports(t *testing.T) {
	for _, b := range builds {
		t.Run(b.system+b.tags, func(t *testing.T) {
			seen := 0
			for _, p := range list(t, b.system, b.tags) {
				seen++
				for _, sentence := range broken(p) {
					t.Error(sentence)
				}
			}
			if seen < 10 {
				t.Fatalf("go list found %d packages: the rules were held against next to nothing", seen)
			}
		})
	}
}

// list returns the packages of the module as one build sees them, without
// their tests: a test may use what it likes.
func list(t *testing.T, system, tags string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags="+tags, "-json=ImportPath,GoFiles,Imports", module+"/...")
	cmd.Env = append(os.Environ(), "GOOS="+system)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, problems.String())
	}
	var found []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath       string
			GoFiles, Imports []string
		}
		if err := dec.Decode(&p); err == io.EOF {
			return found
		} else if err != nil {
			t.Fatalf("reading what go list printed: %v", err)
		}
		if len(p.GoFiles) > 0 {
			found = append(found, pkg{p.ImportPath, p.Imports})
		}
	}
}

// The rules themselves: what must be let through, and what must be caught.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		caught   string // part of the sentence; "" is allowed
	}{
		{"belfry/cmd/belfry", "belfry/internal/app", ""},
		{"belfry/cmd/belfry", "belfry/internal/config", ""},
		{"belfry/cmd/belfry", "belfry/internal/bus", "one call into app"},
		{"belfry/internal/app", "belfry/internal/dialect/messagechannel", ""},
		{"belfry/internal/dialect/messagechannel", "belfry/internal/hub", ""},
		{"belfry/internal/dialect/messagechannel", "belfry/internal/reason", ""},
		{"belfry/internal/dialect/messagechannel", "belfry/internal/dialect/pusher", "another dialect"},
		{"belfry/internal/dialect/messagechannel", "belfry/internal/bus", "neither NATS"},
		{"belfry/internal/dialect/messagechannel", "github.com/nats-io/nats.go", "may not import NATS"},
		{"belfry/internal/dialect/messagechannel", "github.com/nats-io/nats.go/jetstream", "may not import NATS"},
		{"belfry/internal/hub", "belfry/internal/transport", "states as an interface"},
		{"belfry/internal/hub", "github.com/nats-io/nats-server/v2/server", "may not import NATS"},
		{"belfry/internal/transport", "belfry/internal/hub", "knows bytes"},
		{"belfry/internal/transport", "belfry/internal/reason", ""},
		{"belfry/internal/transport", "golang.org/x/sys/unix", ""},
		{"belfry/internal/transport", "belfry/internal/transport/frame", ""},
		{"belfry/internal/dialect/messagechannel", "belfry/internal/backend", ""},
		{"belfry/internal/auth", "belfry/internal/bus", ""},
		{"belfry/internal/auth", "belfry/internal/ask", ""},
		{"belfry/internal/ask", "belfry/internal/auth", "knows of none"},
		{"belfry/internal/backend", "belfry/internal/ask", ""},
		{"belfry/internal/backend", "belfry/internal/hub", "no connection"},
		{"belfry/internal/auth", "belfry/internal/hub", "asking over the bus"},
		{"belfry/internal/bus", "belfry/internal/auth", "NATS itself"},
		{"belfry/internal/reason", "belfry/internal/subject", "is a leaf"},
		{"belfry/internal/config", "belfry/internal/subject", ""},
		{"belfry/internal/subject", "belfry/internal/hub", "is a leaf"},
		{"belfry/internal/unheard", "fmt", "has no import rule"},
		{"belfry/examples/go", "github.com/nats-io/nats.go", ""},
	} {
		sentences := strings.Join(broken(pkg{c.from, []string{c.to}}), "\n")
		switch {
		case c.caught == "" && sentences != "":
			t.Errorf("%s → %s should be allowed: %s", c.from, c.to, sentences)
		case !strings.Contains(sentences, c.caught) || c.caught != "" && sentences == "":
			t.Errorf("%s → %s should say %q, said %q", c.from, c.to, c.caught, sentences)
		}
	}
}
