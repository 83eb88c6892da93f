//go:build unix

package bus

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// With its handlers the server would end this process.
func TestSignalsAreNotTheServers(t *testing.T) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	b := start(t, inside(t))
	ensured(t, b)
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		<-signals
	}
	for range 50 {
		if _, err := b.Publish(within(t), "notification.1", "", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if !b.server.server().Running() {
		t.Error("the server has stopped")
	}
}
