package config

import "slices"

// A Renaming is a key that had another name in the minor version before. Its old
// name is read for this one, with a warning, in the file, the environment and as
// a flag. Where one of these three has both names, that is a mistake; between
// them the usual order counts, whichever name is used.
type Renaming struct {
	Old, New string // "nats.name", "nats.prefix"
	OldFlag  string // without dashes; empty where there was none
	Gone     string // the first version that does not read Old: "0.3"
}

// renamings are those of this version. An entry stands here for one minor
// version, and in the changelog.
var renamings []Renaming

// Renamings returns the keys that are read under an old name too.
func Renamings() []Renaming { return slices.Clone(renamings) }

// RenamedFrom returns the renaming whose old name this is.
func RenamedFrom(name string) (Renaming, bool) {
	i := slices.IndexFunc(renamings, func(r Renaming) bool { return r.Old == name })
	if i < 0 {
		return Renaming{}, false
	}
	return renamings[i], true
}

// OldEnv is the old name in the environment.
func (r Renaming) OldEnv() string { return Key{Name: r.Old}.Env() }

// renamed warns of an old name, and returns the key that it stands for; false
// where both names are given by one source, which is a mistake.
func (l *loading) renamed(r Renaming, both bool, source, sourceNew string) (Key, bool) {
	if both {
		l.add(Problem{r.Old, source, "is the old name of " + r.New + ", which is given too (" + sourceNew + ")", "remove " + r.Old})
		return Key{}, false
	}
	l.Warnings = append(l.Warnings, Problem{r.Old, source, "is called " + r.New + " now", "rename it: Belfry " + r.Gone + " does not read the old name any more"})
	return Lookup(r.New)
}
