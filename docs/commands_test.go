package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	flag     = regexp.MustCompile(`(?:^|\s)--([a-z][a-z-]*)`)
	quoted   = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	inline   = regexp.MustCompile("`(?:\\./)?(belfry|make) ([a-z][a-z-]*)([^`]*)`")
	target   = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	helpFlag = regexp.MustCompile(`(?m)^\s+(?:-[a-z], )?--([a-z][a-z-]*)`)
)

// A command is what a reader may type: a program, its first word, the rest.
type command struct{ page, program, verb, rest string }

// commands are those in shell blocks, and those in running text.
func commands(t *testing.T) (found []command) {
	for _, b := range blocks(t, "sh") {
		for _, line := range strings.Split(b.text, "\n") {
			words := strings.Fields(quoted.ReplaceAllString(line, "''"))
			if len(words) == 0 {
				continue
			}
			program := strings.TrimPrefix(words[0], "./")
			if (program == "belfry" || program == "make") && len(words) > 1 {
				found = append(found, command{b.page, program, words[1], strings.Join(words[2:], " ")})
			}
		}
	}
	for _, p := range pages(t) {
		for _, m := range inline.FindAllStringSubmatch(p.text, -1) {
			found = append(found, command{p.path, m[1], m[2], m[3]})
		}
	}
	return found
}

func TestCommandsExist(t *testing.T) {
	binary := build(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	help := map[string]map[string]bool{}
	for _, c := range commands(t) {
		if c.program == "make" {
			if !targets[c.verb] {
				t.Errorf("%s says make %s, which the Makefile does not have", c.page, c.verb)
			}
			continue
		}
		if help[c.verb] == nil {
			out, err := exec.Command(binary, c.verb, "--help").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "belfry "+c.verb) {
				t.Errorf("%s says belfry %s, which is no command", c.page, c.verb)
				continue
			}
			help[c.verb] = map[string]bool{"help": true}
			for _, m := range helpFlag.FindAllStringSubmatch(string(out), -1) {
				help[c.verb][m[1]] = true
			}
		}
		for _, m := range flag.FindAllStringSubmatch(c.rest, -1) {
			if !help[c.verb][m[1]] {
				t.Errorf("%s says belfry %s --%s, which it does not have", c.page, c.verb, m[1])
			}
		}
	}
}

func TestConfigurationsAreValid(t *testing.T) {
	binary, checked := build(t), 0
	for _, b := range blocks(t, "yaml") {
		if b.mark != "config" {
			continue
		}
		checked++
		file := filepath.Join(t.TempDir(), "belfry.yaml")
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "check", "--config", file)
		cmd.Env = append(os.Environ(), "BELFRY_NATS_PASSWORD=secret")
		if !strings.Contains(b.text, "user:") {
			cmd.Env = os.Environ()
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s shows a configuration that is refused: %v\n%s\n%s", b.page, err, b.text, out)
		}
	}
	if checked == 0 {
		t.Error("no configuration in the docs was checked")
	}
}
