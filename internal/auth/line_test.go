package auth

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/config"
)

func ask(a *Authenticator, results *told, name string) func() bool {
	return a.Authenticate([]byte(name), Facts{Connection: name}, false, results.done(name))
}

func TestLineIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{}
		a, _ := newAuth(b, 2)
		results := newTold(t)
		for i := range 5 {
			ask(a, results, fmt.Sprint(i))
		}
		if underWay, waiting := a.Load(); underWay != 2 || waiting != 3 {
			t.Errorf("%d under way, %d waiting", underWay, waiting)
		}
		for i := range 5 {
			if got, want := b.count(), min(i+2, 5); got != want {
				t.Fatalf("after %d answers %d are sent, want %d", i, got, want)
			}
			if got := string(b.at(i).msg.Data); got != fmt.Sprint(i) {
				t.Fatalf("request %d is that of %s", i, got)
			}
			b.at(i).answer(`{"success":false}`, nil)
			synctest.Wait()
			results.want(fmt.Sprint(i), Refused)
		}
	})
}

func TestTimeInLineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{}
		a, _ := newAuth(b, 1)
		results := newTold(t)
		ask(a, results, "first")
		time.Sleep(time.Second)
		ask(a, results, "second")
		ask(a, results, "third")
		time.Sleep(2 * time.Second) // at 3 s
		b.at(0).answer(`{"success":false}`, nil)
		synctest.Wait()
		if got := b.at(1).timeout; got != 2*time.Second {
			t.Errorf("the second was sent with %v left, want 2s", got)
		}
		time.Sleep(2*time.Second - time.Millisecond)
		synctest.Wait()
		results.wantNone("second")
		results.wantNone("third")
		time.Sleep(time.Millisecond) // at 5 s
		synctest.Wait()
		results.want("second", TimedOut)
		results.want("third", TimedOut)
		if b.count() != 2 {
			t.Errorf("%d requests were sent; the third's time was over", b.count())
		}
	})
}

func TestSilentBackendTellsEverybodyInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{}
		a, _ := newAuth(b, 10)
		var late, soon atomic.Int32
		for i := range 1000 {
			made := time.Now()
			a.Authenticate([]byte{byte(i)}, Facts{}, false, func(r Result) {
				if r.Outcome == TimedOut && time.Since(made) == 4*time.Second {
					soon.Add(1)
				} else {
					late.Add(1)
				}
			})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if soon.Load() != 1000 || late.Load() != 0 {
			t.Errorf("%d were told after 4s, %d otherwise", soon.Load(), late.Load())
		}
		if a.line.Len() != 0 || a.running != 0 {
			t.Errorf("%d still in line, %d running", a.line.Len(), a.running)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{}
		a, _ := newAuth(b, 1)
		results := newTold(t)
		first, second := ask(a, results, "first"), ask(a, results, "second")
		ask(a, results, "third")
		if !second() || second() {
			t.Error("cancel in line: want true, then false")
		}
		if !first() {
			t.Error("cancel under way: want true")
		}
		synctest.Wait()
		if got := string(b.at(1).msg.Data); b.count() != 2 || got != "third" {
			t.Fatalf("%d sent, the last is that of %s; want the third's", b.count(), got)
		}
		b.at(1).answer(`{"success":false}`, nil)
		synctest.Wait()
		results.want("third", Refused)
		results.wantNone("first")
		results.wantNone("second")
		time.Sleep(time.Minute)
		synctest.Wait()
		results.wantNone("first")
	})
}

func TestCancelAfterTheAnswerIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newAuth(replying(`{"success":false}`), 1)
		results := newTold(t)
		cancel := ask(a, results, "one")
		synctest.Wait()
		results.want("one", Refused)
		if cancel() {
			t.Error("cancel returned true after done")
		}
	})
}

// A bus may have the answer before Request returns, and the caller may give up
// at any moment: none of it may cost a place or call done twice.
func TestCancelRacesWithAnswers(t *testing.T) {
	b := &fakeBus{reply: func(r *sentRequest) {
		switch rand.IntN(3) {
		case 0:
			r.answer(`{"success":false}`, nil)
		case 1:
			go r.answer(`{"success":true,"user_id":1}`, nil)
		case 2:
			time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, func() { r.answer("", nil) })
		}
	}}
	a, _ := newAuth(b, 4)
	const requests = 2000
	var called, cancelled atomic.Int32
	for range requests {
		cancel := a.Authenticate([]byte("x"), Facts{}, true, func(Result) { called.Add(1) })
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
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.running == 0 && a.line.Len() == 0 && called.Load()+cancelled.Load() == requests
	}
	for !idle() {
		if time.Now().After(deadline) {
			t.Fatalf("%d called + %d cancelled of %d, %d running", called.Load(), cancelled.Load(), requests, a.running)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestNewLimitsMoveTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{}
		a, _ := newAuth(b, 1)
		results := newTold(t)
		for i := range 4 {
			ask(a, results, fmt.Sprint(i))
		}
		a.SetLimits(config.Auth{Timeout: 4 * time.Second, Concurrent: 2})
		if b.count() != 2 {
			t.Errorf("%d are sent, want 2", b.count())
		}
		a.SetLimits(config.Auth{Timeout: time.Second, Concurrent: 2})
		time.Sleep(time.Second)
		synctest.Wait()
		results.want("2", TimedOut)
		results.want("3", TimedOut)
		results.wantNone("0")
	})
}
