package config

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// EnvPrefix stands before every variable of Belfry's in the environment.
const EnvPrefix = "BELFRY_"

// EnvConfig is the variable that names the file when --config does not.
const EnvConfig = EnvPrefix + "CONFIG"

// A Key is one option as a user sees it.
type Key struct {
	Name   string // in the file: "nats.prefix"
	Flag   string // on the command line, without dashes; empty where there is none
	Reload bool   // a running gateway takes it over on SIGHUP
	Secret bool   // never printed

	auto  bool  // 0 is written "auto"
	index []int // of the field in Options
}

// Env is the key's name in the environment: BELFRY_NATS_PREFIX.
func (k Key) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// isAddress tells whether the value is one of our own addresses, host:port.
func (k Key) isAddress() bool {
	return strings.HasSuffix(k.Name, ".listen") || strings.HasSuffix(k.Name, ".advertise")
}

var allKeys = sync.OnceValue(func() []Key { return keysOf(reflect.TypeFor[Options](), Key{}) })

// Keys returns every key, in the order of Options.
func Keys() []Key { return slices.Clone(allKeys()) }

// Lookup returns the key of this name.
func Lookup(name string) (Key, bool) {
	for _, k := range allKeys() {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// isSection tells whether keys stand below this name, as below "nats.".
func isSection(name string) bool {
	return slices.ContainsFunc(allKeys(), func(k Key) bool { return strings.HasPrefix(k.Name, name+".") })
}

func keysOf(t reflect.Type, in Key) []Key {
	var keys []Key
	for i := range t.NumField() {
		f := t.Field(i)
		k := Key{
			Name:   strings.TrimPrefix(in.Name+"."+f.Tag.Get("key"), "."),
			Flag:   f.Tag.Get("flag"),
			Reload: f.Tag.Get("reload") != "",
			Secret: f.Tag.Get("secret") != "",
			auto:   f.Tag.Get("auto") != "",
			index:  append(slices.Clone(in.index), i),
		}
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, keysOf(f.Type, k)...)
		} else {
			keys = append(keys, k)
		}
	}
	return keys
}

// Changed compares two trees and returns the names of the keys that differ:
// those that a running gateway can take over, and those that need a restart.
func Changed(old, new Options) (reloadable, restart []string) {
	for _, k := range allKeys() {
		switch {
		case k.plain(old) == k.plain(new):
		case k.Reload:
			reloadable = append(reloadable, k.Name)
		default:
			restart = append(restart, k.Name)
		}
	}
	return reloadable, restart
}
