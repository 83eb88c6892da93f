package bus

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// What JetStream tells of a copy that is being put back, with the stream's name
// behind it.
const (
	restoreBegins = "$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE."
	restoreEnds   = "$JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE."
)

// restoreMost is after how long a restore whose end was not seen counts as over.
const restoreMost = time.Hour

// restores are those under way: until they end, NATS says that there is no such
// stream, and one that was made meanwhile would be in their way.
type restores struct {
	mu    sync.Mutex // guards the following
	began map[string]time.Time
}

// Restoring says whether a copy of a stream is being put back, as far as it was
// seen: a connection that was lost meanwhile, or a user without the right to
// JetStream's advisories, sees nothing.
func (b *Bus) Restoring(stream string) bool {
	b.restores.mu.Lock()
	defer b.restores.mu.Unlock()
	began, ok := b.restores.began[stream]
	return ok && time.Since(began) < restoreMost
}

// watchRestores begins to see them, where they matter: for who makes streams.
func (b *Bus) watchRestores() {
	if !b.o.Durable || b.o.Stream.Manage == "never" {
		return
	}
	b.restores.began = map[string]time.Time{}
	for _, subject := range []string{restoreBegins, restoreEnds} {
		_, _ = b.nc.Subscribe(subject+"*", b.restores.see) // fails only where the connection is closed
	}
}

func (r *restores) see(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stream, ok := strings.CutPrefix(m.Subject, restoreBegins); ok {
		r.began[stream] = time.Now()
	} else {
		delete(r.began, strings.TrimPrefix(m.Subject, restoreEnds))
	}
}
