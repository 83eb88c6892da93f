package auth

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"belfry/internal/ask/asktest"
)

func TestRememberedIdentityIsNotAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := asktest.Replying(`{"success":true,"user_id":1,"cache_for":60}`)
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
		if b.Count() != 3 {
			t.Errorf("asked %d times, want 3: first, another token, fresh", b.Count())
		}
		time.Sleep(time.Minute)
		a.Authenticate(token, Facts{}, false, results.done("later"))
		synctest.Wait()
		if b.Count() != 4 {
			t.Errorf("asked %d times, want once more when the minute was over", b.Count())
		}
		if got := a.Counts()[Accepted]; got != 5 {
			t.Errorf("counted %d, want 5", got)
		}
	})
}

func TestNotRememberedBeyondExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := asktest.Replying(`{"success":true,"user_id":1,"cache_for":60,"expires_in":10}`)
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
		if b.Count() != 2 {
			t.Errorf("asked %d times, want 2", b.Count())
		}
	})
}

func TestWithoutCacheForNothingIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, data := range []string{`{"success":true,"user_id":1}`, `{"success":false,"cache_for":60}`} {
			b := asktest.Replying(data)
			a, _ := newAuth(b, 1)
			for range 2 {
				a.Authenticate([]byte("x"), Facts{}, false, func(Result) {})
				synctest.Wait()
			}
			if b.Count() != 2 {
				t.Errorf("%s: asked %d times, want 2", data, b.Count())
			}
		}
	})
}

func TestARefusalTakesBackWhatWasRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		say := `{"success":true,"user_id":1,"cache_for":60}`
		b := &asktest.Bus{Reply: func(r *asktest.Request) { r.Answer(say, nil) }}
		a, _ := newAuth(b, 1)
		results := newTold(t)
		for i, fresh := range []bool{false, true, false} {
			a.Authenticate([]byte("x"), Facts{}, fresh, results.done(fmt.Sprint(i)))
			synctest.Wait()
			say = `{"success":false}`
		}
		results.want("0", Accepted)
		results.want("1", Refused)
		results.want("2", Refused)
	})
}
