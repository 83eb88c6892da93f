package load

import (
	"os"
	"runtime"
	"strings"
)

// A Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Memory int64  `json:"memory_bytes"`
}

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU()}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(cpuinfo), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	meminfo, _ := os.ReadFile("/proc/meminfo")
	m.Memory = kilobytes(string(meminfo), "MemTotal:")
	return m
}
