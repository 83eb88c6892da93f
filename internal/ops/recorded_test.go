package ops

import (
	"compress/gzip"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Without a time they would be empty, and tell that nothing waits.
func TestProfilesThatAreNotAlwaysRecordedSaySo(t *testing.T) {
	mux := internal(board(example))
	for _, path := range []string{"/debug/pprof/block", "/debug/pprof/mutex?debug=1", "/debug/pprof/block?seconds=0", "/debug/pprof/mutex?seconds=301"} {
		if w := get(mux, path); w.Code != 400 || !strings.Contains(w.Body.String(), "?seconds=10") {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
}

// waitForAnother makes two goroutines wait for each other until stop is closed. Of
// a lock for which somebody has always waited since before, Go would record nothing.
func waitForAnother(stop <-chan struct{}) {
	var mu sync.Mutex
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				for range 50 {
					runtime.Gosched()
				}
				mu.Unlock()
			}
		}()
	}
}

func TestProfilesAreRecordedWhileTheyAreAskedFor(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	waitForAnother(stop)
	mux := internal(board(example))
	for _, path := range []string{"/debug/pprof/block", "/debug/pprof/mutex"} {
		w := get(mux, path+"?seconds=1")
		profile, err := gzip.NewReader(w.Body) // which has the functions' names as they are
		if err != nil {
			t.Fatalf("%s: %d, %v", path, w.Code, err)
		}
		if text, err := io.ReadAll(profile); err != nil || !strings.Contains(string(text), "waitForAnother") {
			t.Errorf("%s does not know who waited: %v, %q", path, err, text)
		}
	}
	if rate := runtime.SetMutexProfileFraction(-1); rate != 0 {
		t.Errorf("it goes on being recorded: one of %d", rate)
	}
}

// Who is done first does not switch it off under another.
func TestTwoAtOnce(t *testing.T) {
	var told []bool
	p := &recorded{record: func(on bool) { told = append(told, on) }}
	for _, n := range []int{1, 1, -1, -1, 1, -1} {
		p.add(n)
	}
	if len(told) != 4 || !told[0] || told[1] || !told[2] || told[3] {
		t.Errorf("told %v", told)
	}
}
