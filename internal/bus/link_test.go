package bus

import (
	"testing"
	"time"
)

// Who asks while the connection comes back does not leave a time behind, from
// which the next loss would be counted.
func TestAwayBesideAReconnect(t *testing.T) {
	var l link
	l.down(nil)
	asked := 0
	connected := func() bool {
		asked++
		if asked == 1 {
			l.up() // right behind the answer
		}
		return asked > 1
	}
	if since, away := l.gone(connected); away {
		t.Errorf("it is away since %v", since)
	}
	lost := time.Now()
	l.down(nil)
	if since, away := l.gone(func() bool { return false }); !away || since.Before(lost) {
		t.Errorf("away %v, since %v before it was lost", away, lost.Sub(since))
	}
}
