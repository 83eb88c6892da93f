package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"belfry/internal/load/receive"
)

// A fleet is the receivers: processes of this binary, or with no command to
// start them, goroutines.
type fleet struct {
	workers []*worker

	mu     sync.Mutex               // guards the following
	state  map[string]*groupState   // by group
	answer map[*worker]chan answers // who waits for a Report or Waiting
	err    error                    // a worker failed
	moved  chan struct{}            // closed and replaced whenever something changes
}

type answers = receive.Event

// A groupState is a group as its workers last told.
type groupState struct {
	receive.Group
	total   int
	workers []*worker
	told    map[*worker]receive.Progress
}

// A worker is one receiver.
type worker struct {
	pid   int // 0 for a goroutine
	in    io.WriteCloser
	say   *json.Encoder
	ended chan struct{} // closed when it is gone
}

// stuckFor is how long a receiver may take to do as it was told.
const stuckFor = 10 * time.Second

// startFleet starts n receivers by command.
func startFleet(n int, command []string) (*fleet, error) {
	f := &fleet{state: map[string]*groupState{}, answer: map[*worker]chan answers{}, moved: make(chan struct{})}
	for range n {
		if err := f.start(command); err != nil {
			f.stop()
			return nil, fmt.Errorf("start a receiver: %w", err)
		}
	}
	return f, nil
}

func (f *fleet) start(command []string) error {
	w := &worker{ended: make(chan struct{})}
	var out io.Reader
	var wait func() error
	if len(command) == 0 {
		inReader, inWriter := io.Pipe()
		outReader, outWriter := io.Pipe()
		w.in, out = inWriter, outReader
		served := make(chan error, 1)
		go func() {
			err := receive.Serve(inReader, outWriter)
			_ = outWriter.Close()
			served <- err
		}()
		wait = func() error { return <-served }
	} else {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		w.in, w.pid, out, wait = in, cmd.Process.Pid, pipe, cmd.Wait
	}
	w.say = json.NewEncoder(w.in)
	f.workers = append(f.workers, w)
	f.answer[w] = make(chan answers, 1)
	go f.hear(w, out, wait)
	return nil
}

// hear takes a worker's events until it ends.
func (f *fleet) hear(w *worker, out io.Reader, wait func() error) {
	defer close(w.ended)
	var err error
	for d := json.NewDecoder(out); err == nil; {
		var e receive.Event
		if err = d.Decode(&e); err != nil {
			break
		}
		switch {
		case e.Failed != "":
			f.fail(errors.New("a receiver: " + e.Failed))
		case e.Report != nil || e.Waiting != nil:
			f.answer[w] <- e
		default:
			f.note(w, e.Progress)
		}
	}
	if waited := wait(); waited != nil {
		err = waited
	}
	f.fail(fmt.Errorf("a receiver has ended: %w", err))
}

func (f *fleet) note(w *worker, all []receive.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range all {
		if s := f.state[p.Group]; s != nil {
			s.told[w] = p
		}
	}
	f.move()
}

// fail keeps the first failure. With mu free.
func (f *fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.move()
}

// move wakes who waits. With mu held.
func (f *fleet) move() {
	close(f.moved)
	f.moved = make(chan struct{})
}

// open gives a group of total connections to workers, an equal part to each.
func (f *fleet) open(g receive.Group, total int, workers []*worker) error {
	s := &groupState{Group: g, total: total, workers: workers, told: map[*worker]receive.Progress{}}
	f.mu.Lock()
	f.state[g.Name] = s
	f.mu.Unlock()
	for i, w := range workers {
		part := g
		part.From, part.To = total*i/len(workers), total*(i+1)/len(workers)
		if err := f.tell(w, receive.Command{Do: "open", Group: g.Name, Open: &part}); err != nil {
			return err
		}
	}
	return nil
}

// do has a group's workers do something.
func (f *fleet) do(c receive.Command) error {
	for _, w := range f.group(c.Group).workers {
		if err := f.tell(w, c); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) tell(w *worker, c receive.Command) error {
	if err := w.say.Encode(c); err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.err != nil {
			return f.err
		}
		return fmt.Errorf("command a receiver: %w", err)
	}
	return nil
}

func (f *fleet) group(name string) *groupState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state[name]
}

// channelOf is the index of the channel that the user number n reads.
func (f *fleet) channelOf(n int) (index int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.state {
		if k := n - s.Users; s.Channels && k >= 0 && k < s.total {
			return s.Base + k%s.Mod, true
		}
	}
	return 0, false
}

// ask has each of a group's workers answer.
func (f *fleet) ask(ctx context.Context, c receive.Command, take func(receive.Event) error) error {
	for _, w := range f.group(c.Group).workers {
		if err := f.tell(w, c); err != nil {
			return err
		}
		select {
		case e := <-f.answer[w]:
			if err := take(e); err != nil {
				return err
			}
		case <-w.ended:
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(stuckFor):
			return fmt.Errorf("a receiver does not answer within %v", stuckFor)
		}
	}
	return nil
}

// sum is a group's progress over its workers. Complete is of publications that
// have reached every connection: where each is on an index of its own the
// workers have different ones, and they add up; else all have the same, and the
// slowest counts.
func (f *fleet) sum(name string) receive.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state[name]
	all := receive.Progress{Group: name}
	for i, w := range s.workers {
		p := s.told[w]
		all.Open += p.Open
		all.Subscribed += p.Subscribed
		all.Failed += p.Failed
		all.Closed += p.Closed
		all.Sentinels += p.Sentinels
		all.Caught += p.Caught
		all.Deliveries += p.Deliveries
		if s.Mod >= s.total || i == 0 {
			all.Complete += p.Complete
		} else {
			all.Complete = min(all.Complete, p.Complete)
		}
	}
	return all
}

// errStuck is what await returns when nothing happened any more.
var errStuck = errors.New("nothing happens any more")

// await waits until ok. It gives up when ctx ends, when a worker fails, and with
// errStuck when a worker has told nothing for a time.
func (f *fleet) await(ctx context.Context, stuck time.Duration, ok func() bool) error {
	timer := time.NewTimer(stuck)
	defer timer.Stop()
	for {
		f.mu.Lock()
		moved, err := f.moved, f.err
		f.mu.Unlock()
		switch {
		case err != nil:
			return err
		case ok():
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		select {
		case <-moved:
			timer.Reset(stuck)
		case <-timer.C:
			return errStuck
		case <-ctx.Done():
		}
	}
}

// stop ends the workers: their input does.
func (f *fleet) stop() {
	for _, w := range f.workers {
		_ = w.in.Close()
	}
	for _, w := range f.workers {
		select {
		case <-w.ended:
		case <-time.After(stuckFor):
			if p, err := os.FindProcess(w.pid); err == nil && w.pid > 0 {
				_ = p.Kill()
			}
		}
	}
}
