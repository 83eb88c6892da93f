// Package docs has no code of its own: its tests hold the documentation to the
// program. They follow every link, know every command and flag, run the
// snippets that are marked, and compare tables with what they are about.
//
// Marks are HTML comments before a code block:
//
//	<!-- run -->            run against a demo, must exit with 0
//	<!-- run: background --> the same, beside the next one, whose payload it must print
//	<!-- config -->         a configuration that `belfry check` must accept
//	<!-- encode -->         a function that encodes a user id
//	<!-- backup: … -->      a step of backup.md, which a test takes in order
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const root = ".."

// A page is one Markdown file, by its path from the root.
type page struct{ path, text string }

// A block is one fenced code block.
type block struct{ page, lang, mark, text string }

var (
	fence   = regexp.MustCompile("(?ms)(?:^<!-- ([a-z: ]+) -->\n)?^```([a-z]*)\n(.*?)^```$")
	foreign = []string{"node_modules", ".git", "tools"}
)

func pages(t *testing.T) (found []page) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, name := range foreign {
			if d.IsDir() && d.Name() == name {
				return filepath.SkipDir
			}
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		found = append(found, page{strings.TrimPrefix(filepath.ToSlash(path), root+"/"), string(text)})
		return err
	})
	if err != nil {
		t.Fatalf("reading the pages: %v", err)
	}
	if len(found) < 10 {
		t.Fatalf("found %d pages: the tests would check next to nothing", len(found))
	}
	return found
}

// blocks returns the code blocks of all pages, of these languages.
func blocks(t *testing.T, langs ...string) (found []block) {
	t.Helper()
	for _, p := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
			for _, lang := range langs {
				if m[2] == lang {
					found = append(found, block{p.path, m[2], m[1], m[3]})
				}
			}
		}
	}
	return found
}

var built = struct {
	sync.Once
	dir string // has belfry
	err error
}{}

// build makes the binary, once for all tests, and returns its path.
func build(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "belfry-docs-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", built.dir, "./cmd/belfry")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building belfry: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "belfry")
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// need fails where a program is missing: nothing is skipped in silence.
func need(t *testing.T, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing: install it (Debian: apt-get install %s)", program, debian)
	}
}
