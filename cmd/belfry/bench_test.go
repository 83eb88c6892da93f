package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benched is what is read of a result here.
type benched struct {
	Scenario   string
	Deliveries uint64
	Lost       uint64
	Cut        bool `json:"interrupted"`
	Servers    []struct {
		Name string
		RSS  int64 `json:"rss_after_bytes"`
	}
}

// The command finds the gateway, starts its receivers, and tells what it has
// measured; interrupted, it tells that too, and its receivers end with it.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	g := start(t, nil, append([]string{"serve", "--data", dir}, anyPorts...)...)
	g.addresses(t, dir)
	pid := fmt.Sprintf("gateway=%d", g.cmd.Process.Pid)

	r := runIn(t, nil, "bench", "fanout", "--data", dir, "--connections", "40", "--messages", "50", "--processes", "2", "--pid", pid, "--json")
	r.want(t, 0)
	var got benched
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	if got.Scenario != "fanout" || got.Deliveries != 2000 || len(got.Servers) != 1 || got.Servers[0].RSS <= 0 {
		t.Errorf("%+v", got)
	}
	runIn(t, nil, "bench", "unicast", "--data", dir, "--connections", "20", "--messages", "40").want(t, 0, "40 of 40; lost 0", "belfry bench unicast: messagechannel, 20 connections")

	long := start(t, nil, "bench", "unicast", "--data", dir, "--connections", "20", "--rate", "200", "--duration", "1h", "--json")
	long.log.wait(t, "20 of 20 connections are there")
	children := childrenOf(t, long.cmd.Process.Pid)
	if len(children) != 1 {
		t.Fatalf("its children are %v, want one receiver", children)
	}
	long.signal(t, os.Interrupt)
	long.wantExit(t, exitFailed)
	if err := json.Unmarshal([]byte(long.out.String()), &got); err != nil || !got.Cut || got.Deliveries == 0 || got.Lost != 0 {
		t.Errorf("interrupted, it told %v, %s", err, &long.out)
	}
	ended(t, children)

	killed := start(t, nil, "bench", "idle", "--data", dir, "--connections", "20", "--settle", "1h")
	killed.log.wait(t, "20 connections are subscribed")
	children = childrenOf(t, killed.cmd.Process.Pid)
	killed.signal(t, syscall.SIGKILL)
	ended(t, children)
}

// childrenOf are the processes that a process has started.
func childrenOf(t *testing.T, pid int) (pids []string) {
	t.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// ended waits until processes are gone; one that nobody has asked about yet
// still has a name, but runs no more.
func ended(t *testing.T, pids []string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for {
			text, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(text), ") Z ") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the receiver %s still runs", pid)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func TestBenchMistakes(t *testing.T) {
	url := "ws://127.0.0.1:1/"
	for _, tt := range []struct {
		args  string
		code  int
		words string
	}{
		{"", exitMistake, "SCENARIO is missing"},
		{"wat --url " + url, exitMistake, "take one of idle, connect"},
		{"idle --url wss://host/", exitMistake, "speaks no TLS"},
		{"idle --url http://host/", exitMistake, "write it as ws://"},
		{"idle --dialect eventsource --url " + url, exitMistake, "write it as http://"},
		{"idle --dialect smoke --url " + url, exitMistake, "take messagechannel, eventsource"},
		{"fanout --dialect nats", exitMistake, "--url is missing"},
		{"fanout --size 20 --url " + url, exitMistake, "write 89 or more"},
		{"fanout --rate -1 --url " + url, exitMistake, "--rate is -1"},
		{"fanout --channels 2 --connections 1 --url " + url, exitMistake, "--channels is 2 for 1 connections"},
		{"resume --publish core --url " + url, exitMistake, "what is not stored"},
		{"resume --dialect centrifuge --url " + url, exitMistake, "can bring back"},
		{"idle --seed xyz --url " + url, exitMistake, "8 hex digits"},
		{"idle --tokens /nowhere --url " + url, exitMistake, "--tokens can't be used"},
		{"idle --pid me --answer=false --url " + url, exitMistake, "write name=PID"},
		{"idle", exitFailed, "no gateway has left its addresses"},
		{"idle --answer=false --connections 3 --url " + url, exitFailed, "connection refused"},
		{"idle --answer=false --connections 2000000 --processes 1 --url " + url, exitFailed, "2000000 connections in one process need 2000064 descriptors"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			runIn(t, nil, append([]string{"bench"}, strings.Fields(tt.args)...)...).want(t, tt.code, tt.words)
		})
	}
}
