package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print what this binary was built from",
		Long:    "Prints the version of Belfry, the commit it was built from, and the versions of Go\nand of the NATS server inside.",
		Example: "  belfry version",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return fmt.Errorf("read the build information: this binary has none, build it with modules")
			}
			printVersion(os.Stdout, info)
			return nil
		},
	}
}

func printVersion(w io.Writer, info *debug.BuildInfo) {
	fmt.Fprintf(w, "belfry %s\n", info.Main.Version)
	fmt.Fprintf(w, "commit %s\n", commit(info.Settings))
	fmt.Fprintf(w, "go %s %s/%s\n", info.GoVersion, runtime.GOOS, runtime.GOARCH)
	for _, dep := range info.Deps {
		if dep.Path == "github.com/nats-io/nats-server/v2" {
			fmt.Fprintf(w, "nats-server %s\n", dep.Version)
		}
	}
}

// commit is the revision that go build stamped, and whether there was more.
func commit(settings []debug.BuildSetting) string {
	revision, time, modified := "unknown", "", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.time":
			time = " of " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", with changes that are not committed"
		}
	}
	return revision + time + modified
}
