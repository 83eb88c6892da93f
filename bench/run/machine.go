package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"belfry/bench/report"
)

// raiseDescriptors lets this process and its children open what they may.
func raiseDescriptors() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}

func machine() report.Machine {
	m := report.Machine{CPU: "unknown", Cores: runtime.NumCPU(), Kernel: "unknown"}
	if found := find(`(?m)^model name\s*: (.*)$`, contents("/proc/cpuinfo")); found != "" {
		m.CPU = found
	}
	if kb, err := strconv.ParseInt(find(`MemTotal:\s*(\d+)`, contents("/proc/meminfo")), 10, 64); err == nil {
		m.MemoryBytes = kb << 10
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		m.Descriptors = limit.Cur
	}
	return m
}

func contents(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(data)
}

// find is what a text has in an expression's parentheses.
func find(expression, text string) string {
	if m := regexp.MustCompile(expression).FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// versions of everything that is measured, by name.
func (p programs) versions(ctx context.Context) map[string]string {
	v := map[string]string{"Go": strings.TrimPrefix(runtime.Version(), "go")}
	say := func(name, version string, err error) {
		if err != nil {
			version = "unknown"
		}
		v[name] = version
	}
	version, err := output(ctx, "", p.belfry, "version")
	say("Belfry", find(`(?m)^belfry (.*)$`, version)+", commit "+find(`(?m)^commit (.*)$`, version), err)
	for name, module := range map[string]string{
		"nats-server":        "github.com/nats-io/nats-server/v2",
		"nats.go":            "github.com/nats-io/nats.go",
		"centrifuge library": "github.com/centrifugal/centrifuge",
	} {
		version, err := output(ctx, filepath.Dir(p.peers), "go", "list", "-m", "-f", "{{.Version}}", module)
		say(name, version, err)
	}
	version, err = output(ctx, "", "node", "--version")
	say("Node", strings.TrimPrefix(version, "v"), err)
	for _, name := range []string{"ws", "nats"} {
		version, err := npmVersion(filepath.Join(p.peers, "node"), name)
		say(name+" (npm)", version, err)
	}
	return v
}

// npmVersion is what package.json asks for, which is exact.
func npmVersion(dir, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "", err
	}
	var p struct{ Dependencies map[string]string }
	err = json.Unmarshal(data, &p)
	return p.Dependencies[name], err
}
