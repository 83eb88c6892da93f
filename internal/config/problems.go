package config

import (
	"strings"
)

// A Problem is one mistake in a configuration, or one thing to be warned of.
type Problem struct {
	Key    string // "nats.prefix"
	Source string // where the value came from: "belfry.yaml:12", "BELFRY_DATA", "--data", "default"
	What   string // what is wrong, to be read behind the key
	Remedy string // what to do
}

// String is one line: what is wrong with which key, where, and the remedy.
func (p Problem) String() string {
	s := p.Key
	if p.Source != "" {
		s += " (" + p.Source + ")"
	}
	s += " " + p.What
	if p.Remedy != "" {
		s += ": " + p.Remedy
	}
	return s
}

// Problems is every mistake at once, as an error.
type Problems []Problem

// Error is a line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// About returns the problems with these keys and with all keys below them.
func (ps Problems) About(names ...string) Problems {
	var about Problems
	for _, p := range ps {
		for _, name := range names {
			if p.Key == name || strings.HasPrefix(p.Key, name+".") {
				about = append(about, p)
				break
			}
		}
	}
	return about
}
