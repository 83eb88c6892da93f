package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"belfry/internal/config"
)

// usages describes each flag that stands for a key; the back-quoted word is
// what --help calls its value.
var usages = map[string]string{
	"public":      "where clients connect, as `host:port`; port 0 is any free one",
	"internal":    "where metrics, health and pprof are, as `host:port`",
	"nats":        "`URL` of an external NATS, several by comma; empty: one runs inside",
	"nats-listen": "where the NATS inside listens for the backend, as `host:port`",
	"prefix":      "`word` before every subject and stream, one for each product",
	"data":        "`directory` of the NATS inside, and of addresses.json",
	"durable":     "store notifications in a stream; --durable=false is live only",
	"demo":        "serve the demo page and its example backend",
	"log-format":  "`format` of the log: text or json",
	"log-level":   "lowest `level` of the log: debug, info, warn or error",
}

// options are the flags of a command that reads the configuration.
type options struct {
	file  string
	flags *pflag.FlagSet
	force map[string]string // over flags: what the command itself settles
}

// addOptions gives a command --config and these flags, all that there are
// where none is named.
func addOptions(cmd *cobra.Command, names ...string) *options {
	o := &options{flags: pflag.NewFlagSet("options", pflag.ContinueOnError), force: map[string]string{}}
	o.flags.SortFlags = false
	cmd.Flags().SortFlags = false
	o.flags.StringVar(&o.file, "config", "", "YAML `file` with options (default $"+config.EnvConfig+", else none)")
	for _, k := range config.Keys() {
		if k.Flag == "" || len(names) > 0 && !slices.Contains(names, k.Flag) {
			continue
		}
		text, usage := k.Text(config.Default()), usages[k.Flag]
		if on, err := strconv.ParseBool(text); err == nil {
			o.flags.Bool(k.Flag, on, usage)
		} else {
			o.flags.String(k.Flag, text, usage)
		}
	}
	addRenamed(o.flags, config.Renamings())
	cmd.Flags().AddFlagSet(o.flags)
	return o
}

// addRenamed adds the old names of the flags that are there.
func addRenamed(flags *pflag.FlagSet, renamings []config.Renaming) {
	for _, r := range renamings {
		k, _ := config.Lookup(r.New)
		f := flags.Lookup(k.Flag)
		if r.OldFlag == "" || k.Flag == "" || f == nil {
			continue
		}
		old := flags.VarPF(&oldName{f.Value.Type(), f.DefValue}, r.OldFlag, "", "the old name of --"+k.Flag)
		old.Hidden, old.NoOptDefVal = true, f.NoOptDefVal
	}
}

// An oldName is the value of a flag under its old name.
type oldName struct{ kind, value string }

func (o *oldName) String() string     { return o.value }
func (o *oldName) Set(s string) error { o.value = s; return nil }
func (o *oldName) Type() string       { return o.kind }

// load reads the configuration anew: file, environment, flags.
func (o *options) load() (config.Loaded, error) {
	values := map[string]string{}
	for _, k := range config.Keys() {
		if f := o.flags.Lookup(k.Flag); k.Flag != "" && f != nil && f.Changed {
			values[k.Name] = f.Value.String()
		}
	}
	for _, r := range config.Renamings() {
		if f := o.flags.Lookup(r.OldFlag); r.OldFlag != "" && f != nil && f.Changed {
			values[r.Old] = f.Value.String()
		}
	}
	for name, value := range o.force {
		values[name] = value
	}
	if f := o.flags.Lookup("config"); f.Changed && o.file == "" {
		return config.Loaded{}, config.Problems{{Key: "config", Source: "--config", What: "is empty", Remedy: "name a file, or leave --config away"}}
	}
	return config.Load(o.file, os.Environ(), values)
}

// loadFor is load for a client of a gateway: only mistakes in keys that it uses
// are its business, the others are the gateway's.
func (o *options) loadFor(keys ...string) (config.Options, error) {
	loaded, err := o.load()
	if mistakes, ok := err.(config.Problems); ok {
		if mine := mistakes.About(append(keys, "config", "data")...); len(mine) > 0 {
			return config.Options{}, mine
		}
		err = nil
	}
	for _, w := range loaded.Warnings {
		if _, renamed := config.RenamedFrom(w.Key); renamed {
			fmt.Fprintf(os.Stderr, "belfry: %s\n", w)
		}
	}
	return loaded.Options, err
}

// flagMistake is a mistake in a flag that is no key of the configuration.
func flagMistake(flag, what, remedy string) error {
	return config.Problems{{Key: "--" + flag, What: what, Remedy: remedy}}
}

// meant adds to the error about an unknown flag the one that was probably meant;
// cobra does so for commands only.
func meant(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	if near := config.Nearest(unknown.GetSpecifiedName(), known); near != "" {
		return fmt.Errorf("%w: did you mean --%s?", err, near)
	}
	return err
}

// exactly is cobra.ExactArgs with the arguments' names in its error.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) > len(names):
			return fmt.Errorf("unexpected argument %q", args[len(names)])
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", names[len(args)])
		}
		return nil
	}
}
