package examples_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// instruction is one of a Dockerfile: its name in upper case, and the rest.
type instruction struct{ name, args string }

// stage is what stands between two FROMs.
type stage []instruction

// find returns the first instruction of a name whose arguments have some words.
func (s stage) find(name, words string) (args string, found bool) {
	for _, i := range s {
		if i.name == name && strings.Contains(i.args, words) {
			return i.args, true
		}
	}
	return "", false
}

// the returns the arguments of an instruction that stands there.
func (s stage) the(t *testing.T, name string) string {
	t.Helper()
	args, found := s.find(name, "")
	if !found {
		t.Fatalf("the Dockerfile has no %s where one is expected", name)
	}
	return args
}

type dockerfile struct{ build, final stage }

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()
	var lines []string
	for line := range strings.Lines(read(t, "../Dockerfile")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	var stages []stage
	for _, line := range strings.Split(strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", ""), "\n") {
		name, args, _ := strings.Cut(line, " ")
		if name == "FROM" {
			stages = append(stages, nil)
		}
		last := len(stages) - 1
		if last < 0 {
			t.Fatalf("the Dockerfile has %s before FROM", name)
		}
		stages[last] = append(stages[last], instruction{name, args})
	}
	if len(stages) != 2 {
		t.Fatalf("the Dockerfile has %d stages, want two", len(stages))
	}
	return dockerfile{stages[0], stages[1]}
}

// env is the ENV of the image.
func (d dockerfile) env() map[string]string {
	env := map[string]string{}
	args, _ := d.final.find("ENV", "")
	for _, pair := range strings.Fields(args) {
		key, value, _ := strings.Cut(pair, "=")
		env[key] = value
	}
	return env
}

// command is ENTRYPOINT and CMD.
func (d dockerfile) command(t *testing.T) []string {
	t.Helper()
	var entrypoint, cmd []string
	for name, to := range map[string]*[]string{"ENTRYPOINT": &entrypoint, "CMD": &cmd} {
		if err := json.Unmarshal([]byte(d.final.the(t, name)), to); err != nil {
			t.Fatalf("%s is not a JSON array: %v", name, err)
		}
	}
	return append(entrypoint, cmd...)
}

type compose struct {
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Build       string            `yaml:"build"`
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Init        bool              `yaml:"init"`
	Restart     string            `yaml:"restart"`
	StopGrace   string            `yaml:"stop_grace_period"`
}

// readCompose fails for a key that the tests don't know, and so would not test.
func readCompose(t *testing.T) compose {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "compose.yaml")))
	decoder.KnownFields(true)
	var c compose
	if err := decoder.Decode(&c); err != nil {
		t.Fatalf("compose.yaml: %v", err)
	}
	return c
}

// interpolate does what compose does with ${NAME:?message}, for the one name
// that there is.
func interpolate(t *testing.T, value string) string {
	return os.Expand(value, func(expression string) string {
		name, message, required := strings.Cut(expression, ":?")
		if name != "BELFRY_NATS_PASSWORD" || !required || message == "" {
			t.Fatalf("compose.yaml asks for ${%s}", expression)
		}
		return password
	})
}

// goVersion is that of go.mod, without the patch.
func goVersion(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(read(t, "../go.mod")) {
		if version, found := strings.CutPrefix(strings.TrimSpace(line), "go "); found {
			parts := strings.Split(version, ".")
			return parts[0] + "." + parts[1]
		}
	}
	t.Fatal("go.mod names no version of Go")
	return ""
}
