package auth

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"
)

func TestRememberedIdentityIsNotAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := replying(`{"success":true,"user_id":1,"cache_for":60}`)
		a, _ := newAuth(b, 1)
		results := newTold(t)
		token := []byte("x")
		a.Authenticate(token, Facts{}, false, results.done("asked"))
		synctest.Wait()
		a.Authenticate(token, Facts{}, false, results.done("remembered"))
		r := results.want("remembered", Accepted) // before Authenticate returns
		if r.Identity.User != "1" || string(r.Reply) != `{"success":true,"user_id":1,"cache_for":60}` {
			t.Errorf("remembered %+v", r)
		}
		a.Authenticate([]byte("y"), Facts{}, false, results.done("another token"))
		a.Authenticate(token, Facts{}, true, results.done("fresh"))
		synctest.Wait()
		if b.count() != 3 {
			t.Errorf("asked %d times, want 3: first, another token, fresh", b.count())
		}
		time.Sleep(time.Minute)
		a.Authenticate(token, Facts{}, false, results.done("later"))
		synctest.Wait()
		if b.count() != 4 {
			t.Errorf("asked %d times, want once more when the minute was over", b.count())
		}
		if got := a.Counts()[Accepted]; got != 5 {
			t.Errorf("counted %d, want 5", got)
		}
	})
}

func TestNotRememberedBeyondExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := replying(`{"success":true,"user_id":1,"cache_for":60,"expires_in":10}`)
		a, _ := newAuth(b, 1)
		results := newTold(t)
		start := time.Now()
		a.Authenticate([]byte("x"), Facts{}, false, results.done("first"))
		synctest.Wait()
		time.Sleep(9 * time.Second)
		a.Authenticate([]byte("x"), Facts{}, false, results.done("second"))
		if end := results.want("second", Accepted).Identity.ExpiresAt; end.Sub(start) != 10*time.Second {
			t.Errorf("it ends after %v: remembering must not prolong it", end.Sub(start))
		}
		time.Sleep(time.Second)
		a.Authenticate([]byte("x"), Facts{}, false, results.done("third"))
		synctest.Wait()
		results.want("third", Accepted)
		if b.count() != 2 {
			t.Errorf("asked %d times, want 2", b.count())
		}
	})
}

func TestWithoutCacheForNothingIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, data := range []string{`{"success":true,"user_id":1}`, `{"success":false,"cache_for":60}`} {
			b := replying(data)
			a, _ := newAuth(b, 1)
			for range 2 {
				a.Authenticate([]byte("x"), Facts{}, false, func(Result) {})
				synctest.Wait()
			}
			if b.count() != 2 {
				t.Errorf("%s: asked %d times, want 2", data, b.count())
			}
		}
	})
}

func TestARefusalTakesBackWhatWasRemembered(t *testing.T) {
	now := time.Now()
	var m memory
	m.settle(key{1}, Result{Outcome: Accepted, Reply: []byte("yes")}, time.Minute, now)
	m.settle(key{1}, Result{Outcome: Refused, Reply: []byte("no")}, 0, now)
	if _, ok := m.recall(key{1}, now); ok || m.bytes != 0 || len(m.known) != 0 {
		t.Errorf("still remembered, %d bytes", m.bytes)
	}
}

func numbered(i int) (k key) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Now()
	for name, reply := range map[string][]byte{"entries": []byte("{}"), "bytes": make([]byte, maxReply)} {
		var m memory
		for i := range maxRemembered + 100 {
			m.settle(numbered(i), Result{Outcome: Accepted, Reply: reply}, time.Minute, now)
			if len(m.known) > maxRemembered || m.bytes > maxReplies || m.bytes != len(m.known)*len(reply) {
				t.Fatalf("%s: %d entries of %d bytes", name, len(m.known), m.bytes)
			}
		}
		if _, ok := m.recall(numbered(maxRemembered+99), now); !ok {
			t.Errorf("%s: the newest is forgotten", name)
		}
	}
}

func TestMemoryForgetsWhatIsOver(t *testing.T) {
	now := time.Now()
	var m memory
	for i := range 2000 {
		m.settle(numbered(i), Result{Outcome: Accepted, Reply: []byte("{}")}, time.Second, now)
	}
	for i := range 2000 { // each new one pays for two old ones
		m.settle(numbered(2000+i), Result{Outcome: Accepted, Reply: []byte("{}")}, time.Hour, now.Add(2*time.Second))
	}
	if len(m.known) > 2600 {
		t.Errorf("%d entries, 2000 of them are in use", len(m.known))
	}
}

func BenchmarkRecall(b *testing.B) {
	now := time.Now()
	var m memory
	for i := range 10000 {
		m.settle(numbered(i), Result{Outcome: Accepted}, time.Hour, now)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.recall(numbered(77), now)
	}
}
