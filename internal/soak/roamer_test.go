//go:build soak

package soak

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A roamer is an EventSource that goes to any gateway that lets it in, comes
// back after the time that it was told, and checks what it gets: its user's
// publications are 0, 1, 2 and so on.
type roamer struct {
	user     int
	where    func() []string // gateways' addresses, the first is tried first
	hold     func()          // called before it comes back, after its wait; may block
	lastID   string
	retry    time.Duration
	next     atomic.Int64 // the publication that it waits for
	attempts atomic.Int64 // tries since the last stream that began
	opened   *tally       // counts streams that begin
	came     *tally       // counts connections to a gateway

	mu    sync.Mutex // guards the following
	conn  net.Conn
	over  bool
	wrong error // what must not be
}

// roam goes on until stop.
func (r *roamer) roam() {
	for !r.ended() {
		for _, at := range r.where() {
			if r.stay(at) == nil {
				break
			}
		}
		if r.ended() {
			return
		}
		time.Sleep(max(r.retry, 50*time.Millisecond)) // as the browser that was told to
		if r.hold != nil {
			r.hold()
		}
	}
}

func (r *roamer) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over || r.wrong != nil
}

func (r *roamer) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.conn != nil {
		r.conn.Close()
	}
}

func (r *roamer) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wrong
}

// stay reads one stream to its end. An error says that there was none.
func (r *roamer) stay(at string) error {
	r.attempts.Add(1)
	nc, err := dial(at, r.user)
	if err != nil {
		return err
	}
	defer nc.Close()
	r.came.add()
	r.mu.Lock()
	r.conn = nc
	over := r.over
	r.mu.Unlock()
	if over {
		return nil
	}
	head := fmt.Sprintf("GET /events?token=user:%d HTTP/1.1\r\nHost: x\r\n", r.user)
	if r.lastID != "" {
		head += "Last-Event-ID: " + r.lastID + "\r\n"
	}
	if _, err := nc.Write([]byte(head + "\r\n")); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(nc, 512)
	event, id, began := "", "", false
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if began {
				return nil
			}
			return err
		}
		switch key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); key {
		case "event":
			event = value
		case "id":
			id = value
		case "retry":
			ms, _ := strconv.Atoi(value)
			r.retry = time.Duration(ms) * time.Millisecond
		case "data":
			if event == "" {
				r.got(value)
			} else if event == "reset" {
				r.blame(fmt.Errorf("a reset: %s", value))
			}
		case "":
			if id != "" {
				r.lastID = id
				if !began {
					began = true
					r.attempts.Store(0)
					r.opened.add()
				}
			}
			event, id = "", ""
		}
	}
}

func (r *roamer) got(text string) {
	if want := r.next.Load(); text != fmt.Sprint(want) {
		r.blame(fmt.Errorf("got %q, want %d", text, want))
		return
	}
	r.next.Add(1)
}

func (r *roamer) blame(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wrong == nil {
		r.wrong = err
	}
}

// release has roamers begin.
func release(roamers []*roamer) {
	for _, r := range roamers {
		go r.roam()
	}
}

// either is two addresses in any order.
func either(a, b string) []string {
	if rand.N(2) == 0 {
		a, b = b, a
	}
	return []string{a, b}
}

// A tally counts by the second.
type tally struct {
	mu     sync.Mutex
	counts map[int64]int
}

func newTally() *tally { return &tally{counts: map[int64]int{}} }

func (c *tally) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[time.Now().Unix()]++
}

// sum is the most of one second, and all.
func (c *tally) sum() (most, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.counts {
		most, all = max(most, n), all+n
	}
	return most, all
}

// peak is sum, and forgets what was counted.
func (c *tally) peak() (most, all int) {
	most, all = c.sum()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = map[int64]int{}
	return most, all
}
