package docs

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var tableRow = regexp.MustCompile("(?m)^\\| `([A-Za-z0-9_./-]+)` \\|")

// The table in dependencies.md is the modules that our code imports.
func TestDependencies(t *testing.T) {
	text, err := os.ReadFile("dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	inTable := map[string]bool{}
	ours, _, _ := strings.Cut(string(text), "\n## ")
	for _, m := range tableRow.FindAllStringSubmatch(ours, -1) {
		inTable[m[1]] = true
	}
	imported := importedModules(t)
	for module := range imported {
		if !inTable[module] {
			t.Errorf("%s is imported and not in docs/dependencies.md: say there what for, and why this one", module)
		}
	}
	for module := range inTable {
		if !imported[module] {
			t.Errorf("%s is in docs/dependencies.md and nothing of ours imports it", module)
		}
	}
}

// importedModules are the modules whose packages ours import, tests included,
// on Linux and elsewhere.
func importedModules(t *testing.T) map[string]bool {
	t.Helper()
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(goRun(t, "linux", "mod", "edit", "-json"), &mod); err != nil {
		t.Fatalf("reading go.mod: %v", err)
	}
	modules := map[string]bool{}
	for _, system := range []string{"linux", "darwin"} {
		list := json.NewDecoder(strings.NewReader(string(goRun(t, system, "list", "-e", "-json=Imports,TestImports,XTestImports", "belfry/..."))))
		for {
			var p struct{ Imports, TestImports, XTestImports []string }
			if err := list.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("reading what go list printed: %v", err)
			}
			for _, imp := range append(append(p.Imports, p.TestImports...), p.XTestImports...) {
				longest := ""
				for _, r := range mod.Require {
					if (imp == r.Path || strings.HasPrefix(imp, r.Path+"/")) && len(r.Path) > len(longest) {
						longest = r.Path
					}
				}
				if longest != "" {
					modules[longest] = true
				}
			}
		}
	}
	return modules
}

func goRun(t *testing.T, system string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, _ = filepath.Abs(root)
	cmd.Env = append(os.Environ(), "GOOS="+system)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return out
}
