package bus

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/config"
)

func TestEmbeddedServesTheBackend(t *testing.T) {
	b := start(t, inside(t))
	ensured(t, b)
	backend := client(t, b.URL())
	if _, err := backend.Subscribe("authentication", func(m *nats.Msg) { _ = m.Respond([]byte("yes")) }); err != nil {
		t.Fatal(err)
	}
	if err := backend.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := ask(b, "authentication", "token", patience); err != nil || string(m.Data) != "yes" {
		t.Fatalf("got %v, %v", m, err)
	}
}

func TestStoreIsBounded(t *testing.T) {
	o := inside(t)
	o.NATS.MaxStore = 3 << 30
	b := start(t, o)
	js := b.server.server().JetStreamConfig()
	if js.MaxStore != 3<<30 || js.MaxMemory != maxMemory {
		t.Errorf("store %d, memory %d", js.MaxStore, js.MaxMemory)
	}
	if want := filepath.Join(o.Data, storeDir, "jetstream"); js.StoreDir != want {
		t.Errorf("store in %s, want %s", js.StoreDir, want)
	}
	if js.SyncAlways || js.SyncInterval != 2*time.Minute {
		t.Errorf("sync always %v, every %v", js.SyncAlways, js.SyncInterval)
	}

	o = inside(t)
	o.NATS.MaxStore = 0
	log, _ := logger(t)
	_, err := Start(o, log)
	says(t, err, "nats.max_store")
}

func TestSyncAlways(t *testing.T) {
	o := inside(t)
	o.NATS.SyncInterval = config.SyncAlways
	if js := start(t, o).server.server().JetStreamConfig(); !js.SyncAlways {
		t.Error("each ack should wait for the disk")
	}
}

func TestStoreTooSmallForTheStreams(t *testing.T) {
	o := inside(t)
	o.NATS.MaxStore = 1536 << 20
	err := start(t, o).EnsureStreams(within(t))
	says(t, err, "nats.max_store", "stream.max_bytes", "raise it")
	if !errors.Is(err, ErrMisconfigured) {
		t.Error("time does not mend it")
	}
}

func TestLiveOnlyNeedsNoStore(t *testing.T) {
	o := inside(t)
	o.Durable = false
	b := start(t, o)
	if b.server.server().JetStreamEnabled() {
		t.Error("JetStream is on")
	}
	if err := b.EnsureStreams(within(t)); err != nil {
		t.Error(err)
	}
}

func TestOneDirectoryOneServer(t *testing.T) {
	o := inside(t)
	b := start(t, o)
	log, _ := logger(t)
	_, err := Start(o, log)
	says(t, err, o.Data, "in use", "data (--data)", "process")
	if !errors.Is(err, ErrMisconfigured) {
		t.Error("time does not mend it")
	}
	shut(t, b)
	start(t, o)
}

// The lock of a process that was killed is free: TestMain's helper holds it.
func TestOneDirectoryOneProcess(t *testing.T) {
	o := inside(t)
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holdEnv+"="+o.Data)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != "held" {
		t.Fatalf("helper says %q, %v", line, err)
	}
	log, _ := logger(t)
	_, err = Start(o, log)
	says(t, err, o.Data, "in use")

	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	start(t, o)
}

const holdEnv = "BELFRY_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		if _, err := lockDir(dir); err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		select {}
	}
	os.Exit(m.Run())
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := inside(t)
	o.NATS.Listen = l.Addr().String()
	log, _ := logger(t)
	_, err = Start(o, log)
	says(t, err, "nats.listen", l.Addr().String(), "taken", "port 0", "nats.url")
	if !errors.Is(err, ErrMisconfigured) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("not what it wraps: %v", err)
	}
	// Nothing stays behind: the same directory with another port starts.
	o.NATS.Listen = "127.0.0.1:0"
	start(t, o)
}

func TestBadListenAddresses(t *testing.T) {
	for _, listen := range []string{"4222", "127.0.0.1:port", "127.0.0.1:70000", "192.0.2.1:4222"} {
		o := inside(t)
		o.NATS.Listen = listen
		log, _ := logger(t)
		_, err := Start(o, log)
		says(t, err, "nats.listen", listen)
	}
}

// Without a logger of ours the server would say nothing and never be ready.
func TestFatalStartupErrorIsSaid(t *testing.T) {
	o := inside(t)
	blocked := filepath.Join(o.Data, storeDir, "jetstream")
	if err := os.MkdirAll(filepath.Dir(blocked), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blocked, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, lines := logger(t)
	began := time.Now()
	_, err := Start(o, log)
	says(t, err, "JetStream", o.Data)
	if !strings.Contains(lines.String(), "level=ERROR") {
		t.Error("nothing in the log")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v to say so", took)
	}
}

func TestPassword(t *testing.T) {
	o := inside(t)
	o.NATS.User, o.NATS.Password = "backend", "s3cret-word"
	log, lines := logger(t)
	b := startWith(t, o, log)
	ensured(t, b)
	client(t, b.URL(), nats.UserInfo("backend", "s3cret-word"))
	if nc, err := nats.Connect(b.URL()); err == nil {
		nc.Close()
		t.Error("it let somebody in without a password")
	}
	text := lines.String()
	if strings.Contains(text, "s3cret-word") {
		t.Error("the password is in the log")
	}
	if strings.Contains(text, "asks for no password") || strings.Contains(text, "Plaintext") {
		t.Error("warnings that nobody can act on")
	}
}

func TestNoPasswordIsSaid(t *testing.T) {
	log, lines := logger(t)
	startWith(t, inside(t), log)
	if !strings.Contains(lines.String(), "asks for no password") {
		t.Error("nothing in the log")
	}
}

// A client that breaks the protocol is quoted by the server's log.
func TestLogWithholdsWhatClientsSent(t *testing.T) {
	log, lines := logger(t)
	b := startWith(t, inside(t), log)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("HELLO the-secret-token\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server complains", func() bool { return strings.Contains(lines.String(), "is not logged") })
	if strings.Contains(lines.String(), "the-secret-token") {
		t.Error("the log quotes the client")
	}
}

func TestCloseKeepsTheStoreAndLeavesNothing(t *testing.T) {
	o := inside(t)
	before := runtime.NumGoroutine()
	b := start(t, o)
	ensured(t, b)
	for range 100 {
		if _, err := b.Publish(within(t), "notification.1", "", []byte("kept")); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, b)
	shut(t, b)
	eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })

	b = start(t, o)
	ensured(t, b)
	s, err := b.JetStream().Stream(within(t), b.Names().Notifications())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 100 {
		t.Errorf("%d messages are left of 100", n)
	}
}
