package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// A progress shows how far something is: one line that is written anew each
// second on a terminal, else a line every few seconds.
type progress struct {
	out      *os.File
	terminal bool

	mu    sync.Mutex // guards the following
	at    time.Time  // of the last line
	shown bool
}

func newProgress(out *os.File) *progress {
	info, err := out.Stat()
	return &progress{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, at: time.Now()}
}

// say takes a line, and shows it where it is time for one.
func (p *progress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := 5 * time.Second
	if p.terminal {
		every = time.Second
	}
	if time.Since(p.at) < every {
		return
	}
	p.at, p.shown = time.Now(), true
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.out, line)
	}
}

// end leaves the line free.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
