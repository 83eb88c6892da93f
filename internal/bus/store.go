package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// room is what must fit on the disk before a store is opened again, in bytes:
// enough to write on for a while, and for what the server writes as it opens.
const room = 4 << 20

// ErrNotStoring: NATS can't write what is published. It stores nothing more
// until it is started again, whatever becomes of the disk.
var ErrNotStoring = errors.New("NATS can't write its store")

// StoreError is ErrNotStoring, with the system's own words, where the embedded
// server has failed to write. A stream that failed once refuses everything, and
// answers no publication, until it is opened again. It is nil where all is well,
// where nothing has been written since the disk filled up, and for a NATS
// elsewhere, which can't be asked.
func (b *Bus) StoreError() error {
	if b.server == nil || !b.o.Durable {
		return nil
	}
	ns := b.server.server()
	if !ns.Running() { // a Reopen that failed
		return fmt.Errorf("%w: the embedded server does not run", ErrNotStoring)
	}
	for _, e := range ns.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if failedToWrite(e) {
			return fmt.Errorf("%w: %s", ErrNotStoring, e.Error)
		}
	}
	return nil
}

// failedToWrite tells that from what else can be wrong: a node of a cluster that
// has no leader just now is not to be started again for it.
func failedToWrite(e server.HealthzError) bool {
	return strings.Contains(e.Error, "write error") || e.Error == server.NewJSNotEnabledError().Error()
}

// HasRoom tries whether the embedded server's disk can be written: where nil, it
// makes sense to Reopen.
func (b *Bus) HasRoom() error { return hasRoom(filepath.Join(b.o.Data, storeDir)) }

// Reopen starts the embedded server again, at the same address, so that it opens
// its store anew. It is for who was told a StoreError. Everybody who is
// connected to the server loses the connection, this Bus too, and finds it again
// when the store has been recovered (after a clean close that is quick, else
// about 2 µs a message). It must not run beside Close.
//
// An error leaves the gateway without NATS: call it again. Where ctx ends first,
// which is for who is about to Close, the step under way goes on behind: neither
// can the server be told to leave a store that it is opening.
func (b *Bus) Reopen(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- b.server.reopen(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		b.server.left.Store(true)
		return fmt.Errorf("start the embedded NATS again: %w", context.Cause(ctx))
	}
}

// reopen closes the server and opens the next one, unless ctx has ended.
func (e *embedded) reopen(ctx context.Context) error {
	e.store.Lock()
	defer e.store.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	opts, err := serverOptions(e.o)
	if err != nil {
		return err
	}
	closeServer(e.server())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.open(opts)
}

// Down tells whether the embedded server is not there: it is being opened anew,
// or could not be.
func (b *Bus) Down() bool { return b.server != nil && !b.server.server().Running() }

// hasRoom writes a file in a directory and removes it.
func hasRoom(dir string) error {
	f, err := os.Create(filepath.Join(dir, "room"))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, room))
	return errors.Join(err, f.Sync(), f.Close())
}

// recovered is an error where the embedded server has a stream of that name on
// its disk and could not open it, which JetStream tells as if there were none:
// made anew it would be empty, in the place of what is there. The server's log
// has the reason. Nodes of a cluster get theirs from each other.
func (b *Bus) recovered(stream string) error {
	if b.server == nil || b.Clustered() {
		return nil
	}
	for _, e := range b.server.server().Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Stream == stream && strings.Contains(e.Error, "could not be recovered") {
			dir := filepath.Join(b.o.Data, storeDir, "jetstream", e.Account, "streams", stream)
			return fmt.Errorf("stream %s is in %s and the embedded NATS could not open it, as its log says: it is not made anew over what is there: put right what the log names and restart, or move that directory away and restore a backup", stream, dir)
		}
	}
	return nil
}
