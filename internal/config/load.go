package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Loaded is what Load read.
type Loaded struct {
	Options Options
	// Sources says for each key that was set where its value comes from:
	// "belfry.yaml:12", "BELFRY_DATA", "--data".
	Sources map[string]string
	// Warnings are no mistakes, but likely not what was meant.
	Warnings Problems
}

// Load reads the options from a file, the environment (as os.Environ gives it)
// and flags (key to value), each over the one before and all over the defaults,
// and checks them. path may be empty: then BELFRY_CONFIG names the file, and
// where it does not there is none.
//
// The error is Problems: every mistake at once. Loaded is then what could be
// read, to look at and not to run with.
func Load(path string, environ []string, flags map[string]string) (Loaded, error) {
	l := &loading{
		Loaded: Loaded{Options: Default(), Sources: map[string]string{}},
		bad:    map[string]bool{},
	}
	source := "--config"
	if path == "" {
		path, source = configPath(environ), EnvConfig
	}
	if path != "" {
		l.file(path, source)
	}
	l.environment(environ)
	l.flags(flags)
	if !l.unreadable {
		l.check()
	}
	if len(l.problems) > 0 {
		return l.Loaded, l.problems
	}
	return l.Loaded, nil
}

// loading is one call of Load.
type loading struct {
	Loaded
	problems   Problems
	bad        map[string]bool // keys that have a problem already
	unreadable bool            // a whole layer is missing
}

func (l *loading) add(p Problem) {
	l.problems = append(l.problems, p)
	l.bad[p.Key] = true
}

func (l *loading) broken(key, source, what, remedy string) {
	l.unreadable = true
	l.add(Problem{key, source, what, remedy})
}

// flags is the layer of the command line.
func (l *loading) flags(flags map[string]string) {
	values := make(map[string]any, len(flags))
	for name, value := range flags {
		values[name] = value
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
		l.broken("flags", "", "can't be read: "+oneLine(err), "")
		return
	}
	l.layer(k, func(key string) string {
		if known, _ := Lookup(key); known.Flag != "" {
			return "--" + known.Flag
		}
		if r, _ := RenamedFrom(key); r.OldFlag != "" {
			return "--" + r.OldFlag
		}
		return "command line"
	})
}

// layer puts what one source has over what is there. A value that can't be read
// is a mistake even where a later layer has another.
func (l *loading) layer(k *koanf.Koanf, source func(key string) string) {
	values := k.All()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		raw := values[name]
		key, known := Lookup(name)
		if r, ok := RenamedFrom(name); ok {
			_, both := values[r.New]
			if key, known = l.renamed(r, both, source(name), source(r.New)); !known {
				continue
			}
		}
		if !known {
			l.unknown(name, raw, source(name))
			continue
		}
		l.Sources[key.Name] = source(name)
		if w := key.set(&l.Options, raw); w != nil {
			l.add(Problem{name, source(name), w.what, w.remedy})
		}
	}
}

func (l *loading) unknown(name string, raw any, source string) {
	if isSection(name) {
		if group, ok := raw.(map[string]any); raw == nil || ok && len(group) == 0 {
			return // a group whose keys are all commented out
		}
		l.add(Problem{name, source, "is a group of keys and has a value", "put its keys below it, indented"})
		return
	}
	var candidates []string
	for _, k := range allKeys() {
		candidates = append(candidates, k.Name)
	}
	// Where a known key got keys below it, it is what was meant.
	remedy := "remove it; belfry.yaml has every key"
	if above, _, _ := cutLast(name); above != "" {
		if _, known := Lookup(above); known {
			remedy = above + " takes a value, not keys below it"
		}
	}
	if near := Nearest(name, candidates); near != "" {
		remedy = "did you mean " + near + "?"
	}
	l.add(Problem{name, source, "is no key of this version", remedy})
}

func cutLast(name string) (above, last string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}
