package main

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/config"
)

// told is a daemon that has got these signals already, and a gateway that it has
// not started.
func told(t *testing.T, o config.Options, signals ...os.Signal) (*daemon, *app.App, chan os.Signal) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	o.Internal.Listen, o.NATS.Listen, o.Data = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	a, err := app.New(o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop() })
	pending := make(chan os.Signal, 8)
	for _, s := range signals {
		pending <- s
	}
	return &daemon{log: log}, a, pending
}

func TestASignalDuringTheStart(t *testing.T) {
	o := config.Default()
	o.Public.Listen = "127.0.0.1:0"
	d, a, signals := told(t, o, syscall.SIGTERM)
	if going, err := d.start(a, signals); going || err != nil {
		t.Errorf("going %v, %v; want a stop without an error", going, err)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o.Public.Listen = taken.Addr().String()
	d, a, signals = told(t, o, syscall.SIGTERM)
	if going, err := d.start(a, signals); going || err == nil || errors.Is(err, errQuiet) || !strings.Contains(err.Error(), "public.listen") {
		t.Errorf("going %v, %v; want why it could not start", going, err)
	}
}

func TestTheSecondSignalEndsAnyStop(t *testing.T) {
	d, _, signals := told(t, config.Default())
	stopping := make(chan struct{})
	defer close(stopping)
	stop := func() error { <-stopping; return nil }

	ended := make(chan error, 1)
	go func() { ended <- d.await(stop, signals, false) }() // by itself
	signals <- syscall.SIGHUP
	signals <- syscall.SIGTERM
	for end := time.Now().Add(patience); len(signals) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("signals are not read")
		}
	}
	if len(ended) > 0 {
		t.Error("the first one ends it")
	}
	signals <- syscall.SIGTERM
	select {
	case err := <-ended:
		if !errors.Is(err, errQuiet) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the second one does not end it")
	}
	if err := d.await(func() error { return net.ErrClosed }, signals, true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the stop's own error is %v", err)
	}
}
