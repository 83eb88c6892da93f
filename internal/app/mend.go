package app

import (
	"context"
	"fmt"
	"time"

	"belfry/internal/ops"
)

const (
	// firstReopen and lastReopen are the pauses after an embedded server was started
	// again because it could not write: where it can't again, they double.
	firstReopen = 5 * time.Second
	lastReopen  = 5 * time.Minute
	// wellAfter is how long it must have written since for the pause to be the first
	// again: longer than the last, or a disk that fails after every start would look
	// well meanwhile.
	wellAfter = 3 * lastReopen
)

// A mender opens a store anew that could not be written, and finds out whether
// it can be then.
type mender struct {
	store interface {
		HasRoom() error
		Reopen(context.Context) error
	}
	// probe writes, unless something was written since the last probe.
	probe func(context.Context) error

	pause    time.Duration // after the next reopening
	reopen   time.Time     // not before
	unproven bool          // reopened, and nothing has been written since
	since    time.Time     // when that was written
}

func newMender(r *rooms) mender {
	return mender{store: r.bus, probe: r.journal.Probe, pause: firstReopen}
}

// mend starts the embedded server again, where its disk has room and the last
// start is long enough ago. It tells meanwhile what it does, and returns whether
// it did. ctx ends with the gateway.
func (m *mender) mend(ctx context.Context, failed error, tell func(harm)) bool {
	if time.Now().Before(m.reopen) {
		tell(harm{ops.NotStoring, notStoring(failed, "the embedded NATS was started again for this, and has failed again: free more space; it is tried again within minutes, or restart the gateway")})
		return false
	}
	remedy := "free space on the disk: the embedded NATS is started again by itself then"
	if err := m.store.HasRoom(); err != nil {
		tell(harm{ops.NotStoring, notStoring(fmt.Errorf("%w; there is still no room: %w", failed, err), remedy)})
		return false
	}
	tell(harm{ops.NotStoring, notStoring(failed, "the disk has room: the embedded NATS is being started again")})
	if err := m.store.Reopen(ctx); err != nil {
		if ctx.Err() == nil {
			tell(harm{ops.NotStoring, notStoring(fmt.Errorf("%w; it could not be started again, which is tried on: %w", failed, err), remedy)})
		}
		return false
	}
	m.reopen = time.Now().Add(m.pause)
	m.pause = min(2*m.pause, lastReopen)
	m.unproven = true
	return true
}

// prove is for a server that says nothing is wrong: after a reopening it knows no
// better until it has written something.
func (m *mender) prove(ctx context.Context) harm {
	if !m.unproven {
		if m.pause > firstReopen && time.Since(m.since) >= wellAfter {
			m.pause = firstReopen
		}
		return harm{}
	}
	err := m.probe(ctx)
	if err == nil { // which may have gone by what was written before the store failed
		err = m.probe(ctx)
	}
	if err != nil {
		return harm{ops.NotStoring, notStoring(err, "the embedded NATS was started again and has stored nothing since, which is tried on: its log says more")}
	}
	m.unproven, m.since = false, time.Now()
	return harm{}
}

func notStoring(err error, remedy string) string {
	return fmt.Sprintf("not all that is published is stored: %v: %s", err, remedy)
}
