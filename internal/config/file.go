package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	yamlnode "go.yaml.in/yaml/v3"
)

// file is the layer of a YAML file. A file that can't be read or parsed is one
// mistake, and then nothing that depends on several keys is judged.
func (l *loading) file(path, source string) {
	b, err := os.ReadFile(path)
	if err != nil {
		l.broken("config", source, "can't be read: "+unwrapped(err), "name a file that exists and that Belfry may read")
		return
	}
	values, err := yaml.Parser().Unmarshal(b)
	if err != nil {
		l.broken("config", path, "is not YAML that can be understood: "+oneLine(err), "put two blanks before each key of a group, and values with : or # in quotes")
		return
	}
	lines, err := linesOf(b)
	if err != nil {
		l.broken("config", path, err.Error(), "keep one of them")
		return
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(values, ""), nil); err != nil {
		l.broken("config", path, "can't be read: "+oneLine(err), "compare it with belfry.yaml of this version")
		return
	}
	l.layer(k, func(key string) string {
		if n := lines[key]; n > 0 {
			return fmt.Sprintf("%s:%d", path, n)
		}
		return path
	})
}

// linesOf finds the line of each key, which the koanf parser does not keep.
func linesOf(b []byte) (map[string]int, error) {
	dec := yamlnode.NewDecoder(bytes.NewReader(b))
	lines := map[string]int{}
	var doc yamlnode.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return lines, nil // nothing but comments
	case err != nil:
		return nil, errors.New("is not YAML that can be understood: " + oneLine(err))
	}
	if err := dec.Decode(new(yamlnode.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one YAML document")
	}
	for _, root := range doc.Content {
		if err := collectLines(root, "", lines); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

func collectLines(n *yamlnode.Node, above string, lines map[string]int) error {
	if n.Kind != yamlnode.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := above + n.Content[i].Value
		line := n.Content[i].Line
		if first := lines[name]; first > 0 { // "a.b: 1" and "b: 2" below "a:"
			return fmt.Errorf("has %s on line %d and on line %d", name, first, line)
		}
		lines[name] = line
		if err := collectLines(n.Content[i+1], name+".", lines); err != nil {
			return err
		}
	}
	return nil
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// unwrapped is an error of the os package without the path it begins with.
func unwrapped(err error) string {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err.Error() + " (" + at.Path + ")"
	}
	return err.Error()
}
