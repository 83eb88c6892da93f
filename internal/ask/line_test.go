package ask_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/ask"
	"belfry/internal/ask/asktest"
	"belfry/internal/bus"
)

const limit = 4 * time.Second

// put puts a question whose payload is its name.
func put(l *ask.Line, answers *told, name string) func() bool {
	return l.Ask(&nats.Msg{Subject: "question", Data: []byte(name)}, answers.done(name))
}

// A told collects answers, and fails the test over a second call of one done.
type told struct {
	t  *testing.T
	mu sync.Mutex
	by map[string]error
}

func newTold(t *testing.T) *told { return &told{t: t, by: map[string]error{}} }

func (c *told) done(name string) func(*nats.Msg, error) {
	return func(_ *nats.Msg, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, twice := c.by[name]; twice {
			c.t.Errorf("done of %s was called twice", name)
		}
		c.by[name] = err
	}
}

func (c *told) get(name string) (error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err, ok := c.by[name]
	return err, ok
}

func (c *told) wantReply(name string) {
	c.t.Helper()
	if err, ok := c.get(name); !ok || err != nil {
		c.t.Fatalf("%s: answered %v, error %v", name, ok, err)
	}
}

func (c *told) wantLate(name string) {
	c.t.Helper()
	err, ok := c.get(name)
	if outcome, _ := ask.Failure(err); !ok || err == nil || outcome != ask.TimedOut {
		c.t.Fatalf("%s: answered %v, error %v", name, ok, err)
	}
}

func (c *told) wantNone(name string) {
	c.t.Helper()
	if err, ok := c.get(name); ok {
		c.t.Fatalf("%s is answered, error %v, want nothing", name, err)
	}
}

func TestFailures(t *testing.T) {
	other := errors.New("connection closed")
	for _, c := range []struct {
		err     error
		outcome ask.Outcome
		logged  bool
	}{
		{bus.ErrTimeout, ask.TimedOut, false},
		{fmt.Errorf("asking: %w", bus.ErrTimeout), ask.TimedOut, false},
		{bus.ErrUnavailable, ask.Unavailable, true},
		{other, ask.Unavailable, true},
	} {
		if outcome, logged := ask.Failure(c.err); outcome != c.outcome || (logged != nil) != c.logged {
			t.Errorf("%v: %v, %v", c.err, outcome, logged)
		}
	}
}

func TestLineIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		l := ask.NewLine(b, limit, 2)
		results := newTold(t)
		for i := range 5 {
			put(l, results, fmt.Sprint(i))
		}
		if underWay, waiting := l.Load(); underWay != 2 || waiting != 3 {
			t.Errorf("%d under way, %d waiting", underWay, waiting)
		}
		for i := range 5 {
			if got, want := b.Count(), min(i+2, 5); got != want {
				t.Fatalf("after %d answers %d are sent, want %d", i, got, want)
			}
			if got := string(b.At(i).Msg.Data); got != fmt.Sprint(i) {
				t.Fatalf("request %d is that of %s", i, got)
			}
			b.At(i).Answer(`{"success":false}`, nil)
			synctest.Wait()
			results.wantReply(fmt.Sprint(i))
		}
	})
}

func TestTimeInLineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		l := ask.NewLine(b, limit, 1)
		results := newTold(t)
		put(l, results, "first")
		time.Sleep(time.Second)
		put(l, results, "second")
		put(l, results, "third")
		time.Sleep(2 * time.Second) // at 3 s
		b.At(0).Answer(`{"success":false}`, nil)
		synctest.Wait()
		if got := b.At(1).Timeout; got != 2*time.Second+limit {
			t.Errorf("the second was sent with %v left, want 2s and a timeout more", got)
		}
		time.Sleep(2*time.Second - time.Millisecond)
		synctest.Wait()
		results.wantNone("second")
		results.wantNone("third")
		time.Sleep(time.Millisecond) // at 5 s
		synctest.Wait()
		results.wantLate("second")
		results.wantLate("third")
		if b.Count() != 2 {
			t.Errorf("%d requests were sent; the third's time was over", b.Count())
		}
	})
}

func TestSilentBackendTellsEverybodyInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		l := ask.NewLine(b, limit, 10)
		var late, soon atomic.Int32
		for i := range 1000 {
			made := time.Now()
			l.Ask(&nats.Msg{Data: []byte{byte(i)}}, func(_ *nats.Msg, err error) {
				if outcome, _ := ask.Failure(err); outcome == ask.TimedOut && time.Since(made) == limit {
					soon.Add(1)
				} else {
					late.Add(1)
				}
			})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if sent := b.Count(); sent > 30 {
			t.Errorf("a backend that does not answer was asked %d questions in 11s, 10 at a time", sent)
		}
		if soon.Load() != 1000 || late.Load() != 0 {
			t.Errorf("%d were told after 4s, %d otherwise", soon.Load(), late.Load())
		}
		if underWay, waiting := l.Load(); underWay != 0 || waiting != 0 {
			t.Errorf("%d still in line, %d running", waiting, underWay)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		l := ask.NewLine(b, limit, 1)
		results := newTold(t)
		first, second := put(l, results, "first"), put(l, results, "second")
		put(l, results, "third")
		if !second() || second() {
			t.Error("cancel in line: want true, then false")
		}
		if !first() || first() {
			t.Error("cancel under way: want true, then false")
		}
		synctest.Wait()
		if b.Count() != 1 {
			t.Errorf("%d sent while the backend is at the first", b.Count())
		}
		b.At(0).Answer(`{"success":false}`, nil)
		synctest.Wait()
		if got := string(b.At(1).Msg.Data); b.Count() != 2 || got != "third" {
			t.Fatalf("%d sent, the last is that of %s; want the third's", b.Count(), got)
		}
		b.At(1).Answer(`{"success":false}`, nil)
		synctest.Wait()
		results.wantReply("third")
		results.wantNone("first")
		results.wantNone("second")
		time.Sleep(time.Minute)
		synctest.Wait()
		results.wantNone("first")
	})
}

// Whoever is late is told so, and the backend keeps the place until it answers.
func TestLateQuestionsKeepTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		l := ask.NewLine(b, limit, 1)
		results := newTold(t)
		put(l, results, "first")
		time.Sleep(limit)
		synctest.Wait()
		results.wantLate("first")
		put(l, results, "second")
		if underWay, waiting := l.Load(); underWay != 1 || waiting != 1 {
			t.Errorf("%d under way, %d waiting; the backend has not answered", underWay, waiting)
		}
		time.Sleep(time.Second)
		b.At(0).Answer(`{"success":true,"user_id":1}`, nil) // late: nobody is told
		synctest.Wait()
		if b.Count() != 2 {
			t.Fatalf("%d sent, want the second too", b.Count())
		}
		time.Sleep(3 * time.Second) // its time is over
		synctest.Wait()
		results.wantLate("second")
		put(l, results, "third")
		time.Sleep(limit - time.Millisecond)
		synctest.Wait()
		if b.Count() != 2 {
			t.Fatal("the third was sent within a timeout after the second's time")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		results.wantLate("third")
		put(l, results, "fourth")
		if b.Count() != 3 {
			t.Error("an answer that never comes keeps a place for ever")
		}
	})
}

func TestCancelAfterTheAnswerIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ask.NewLine(asktest.Replying(`{"success":false}`), limit, 1)
		results := newTold(t)
		cancel := put(l, results, "one")
		synctest.Wait()
		results.wantReply("one")
		if cancel() {
			t.Error("cancel returned true after done")
		}
	})
}

// A bus may have the answer before Request returns, and the caller may give up
// at any moment: none of it may cost a place or call done twice.
func TestCancelRacesWithAnswers(t *testing.T) {
	b := &asktest.Bus{Reply: func(r *asktest.Request) {
		switch rand.IntN(3) {
		case 0:
			r.Answer(`{"success":false}`, nil)
		case 1:
			go r.Answer(`{"success":true,"user_id":1}`, nil)
		case 2:
			time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, func() { r.Answer("", nil) })
		}
	}}
	l := ask.NewLine(b, limit, 4)
	const requests = 2000
	var called, cancelled atomic.Int32
	for range requests {
		cancel := l.Ask(&nats.Msg{}, func(*nats.Msg, error) { called.Add(1) })
		if rand.IntN(2) == 0 {
			go func() {
				if cancel() {
					cancelled.Add(1)
				}
			}()
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	idle := func() bool {
		underWay, waiting := l.Load()
		return underWay == 0 && waiting == 0 && called.Load()+cancelled.Load() == requests
	}
	for !idle() {
		if time.Now().After(deadline) {
			t.Fatalf("%d called + %d cancelled of %d", called.Load(), cancelled.Load(), requests)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestNewLimitsMoveTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &asktest.Bus{}
		l := ask.NewLine(b, limit, 1)
		results := newTold(t)
		for i := range 4 {
			put(l, results, fmt.Sprint(i))
		}
		l.SetLimits(limit, 2)
		if b.Count() != 2 {
			t.Errorf("%d are sent, want 2", b.Count())
		}
		l.SetLimits(time.Second, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		results.wantLate("2")
		results.wantLate("3")
		results.wantNone("0")
	})
}
