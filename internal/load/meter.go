package load

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A meter reads what processes use, from /proc.
type meter struct {
	pids  map[string][]int // by name
	names []string         // in the order that they were given
	stop  chan struct{}
	done  chan struct{}

	mu   sync.Mutex // guards the following
	peak map[string]int64
	last map[int]usage // by PID, as it was read last: a process may be gone
}

// An usage is what a process has used.
type usage struct{ user, system time.Duration }

func (u usage) all() time.Duration { return u.user + u.system }

// sampleEvery is the time between two looks for the peak of memory.
const sampleEvery = 100 * time.Millisecond

// clockTick is USER_HZ, in which /proc counts: 100 everywhere Go runs.
const clockTick = 10 * time.Millisecond

// newMeter makes one for a list of name=PID, and begins to look for peaks.
func newMeter(list []string) (*meter, error) {
	m := &meter{pids: map[string][]int{}, peak: map[string]int64{}, last: map[int]usage{}, stop: make(chan struct{}), done: make(chan struct{})}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		pid, err := strconv.Atoi(value)
		if !ok || name == "" || err != nil {
			return nil, mistake("pid", fmt.Sprintf("has %q", text), "write name=PID, as gateway=1234")
		}
		if _, err := cpuOf(pid); err != nil {
			return nil, mistake("pid", fmt.Sprintf("has %q, and there is no such process", text), "name a process that runs")
		}
		if m.pids[name] == nil {
			m.names = append(m.names, name)
		}
		m.pids[name] = append(m.pids[name], pid)
	}
	go m.sample()
	return m, nil
}

func (m *meter) sample() {
	defer close(m.done)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		_ = m.cpu() // for the case that this is the last
		for _, name := range m.names {
			rss := int64(0)
			for _, pid := range m.pids[name] {
				rss += quickRSS(pid)
			}
			m.mu.Lock()
			m.peak[name] = max(m.peak[name], rss)
			m.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-m.stop:
			return
		}
	}
}

func (m *meter) close() {
	close(m.stop)
	<-m.done
}

// cpu is what each name has used until now, or until it ended.
func (m *meter) cpu() map[string]usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]usage{}
	for name, pids := range m.pids {
		for _, pid := range pids {
			if u, err := cpuOf(pid); err == nil {
				m.last[pid] = u
			}
			sum := all[name]
			all[name] = usage{sum.user + m.last[pid].user, sum.system + m.last[pid].system}
		}
	}
	return all
}

// rss is what each name has in memory.
func (m *meter) rss() map[string]int64 {
	all := map[string]int64{}
	for name, pids := range m.pids {
		for _, pid := range pids {
			all[name] += exactRSS(pid)
		}
	}
	return all
}

// peaks are the highest that were seen.
func (m *meter) peaks() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.peak)
}

func cpuOf(pid int) (usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return usage{}, fmt.Errorf("/proc/%d/stat is not as expected", pid)
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return usage{time.Duration(user) * clockTick, time.Duration(system) * clockTick}, nil
}

// exactRSS walks the page tables, which statm does not: the kernel keeps its
// count per core, and adds it up late.
func exactRSS(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil { // another user's process
		return quickRSS(pid)
	}
	return kilobytes(string(text), "Rss:")
}

func quickRSS(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// kilobytes finds "name  123 kB" in a text of /proc, in bytes.
func kilobytes(text, name string) int64 {
	for line := range strings.SplitSeq(text, "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// kernelMemory is what the kernel holds for itself and in sockets' buffers, in
// bytes.
func kernelMemory() int64 {
	meminfo, _ := os.ReadFile("/proc/meminfo")
	total := kilobytes(string(meminfo), "Slab:")
	sockstat, _ := os.ReadFile("/proc/net/sockstat")
	for line := range strings.SplitSeq(string(sockstat), "\n") {
		fields := strings.Fields(line)
		if i := slices.Index(fields, "mem"); strings.HasPrefix(line, "TCP:") && i > 0 && i+1 < len(fields) {
			pages, _ := strconv.ParseInt(fields[i+1], 10, 64)
			total += pages * int64(os.Getpagesize())
		}
	}
	return total
}
