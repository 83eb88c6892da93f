package line_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"belfry/internal/verify/line"
)

// patience bounds what must happen, calm how long what must not is waited for.
const (
	patience = 10 * time.Second
	calm     = 200 * time.Millisecond
)

// echo answers each connection with what it says, and says when one ends.
func echo(t *testing.T) (addr string, ends <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	over := make(chan error, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, err := io.Copy(c, c)
				_ = c.Close()
				over <- err
			}()
		}
	}()
	return l.Addr().String(), over
}

func listen(t *testing.T, target string) *line.Proxy {
	t.Helper()
	p, err := line.Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// A caller is a client on the line.
type caller struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, p *line.Proxy) caller {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return caller{t, c, bufio.NewReader(c)}
}

func (c caller) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c caller) hears(text string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if got, err := c.in.ReadString('\n'); got != text+"\n" {
		c.t.Fatalf("heard %q, %v; want %q", got, err, text)
	}
}

func (c caller) hearsNothing() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(calm))
	if b, err := c.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("heard %q, %v on a line that carries nothing", b, err)
	}
}

func (c caller) isReset() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("the line ended with %v; want a reset", err)
	}
}

// newIsReset expects a new connection to be reset, be it while it is made.
func newIsReset(t *testing.T, p *line.Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	caller{t, conn, bufio.NewReader(conn)}.isReset()
}

func TestCutResetsUntilHeal(t *testing.T) {
	addr, ends := echo(t)
	p := listen(t, addr)
	before := dial(t, p)
	before.say("a")
	before.hears("a")
	p.Cut()
	before.isReset()
	select {
	case err := <-ends:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the target's side ended with %v; want a reset", err)
		}
	case <-time.After(patience):
		t.Error("the target was not told")
	}
	newIsReset(t, p)
	p.Heal()
	after := dial(t, p)
	after.say("b")
	after.hears("b")
}

func TestFrozenConnectionsGoOnAfterHeal(t *testing.T) {
	addr, ends := echo(t)
	p := listen(t, addr)
	old, leaver := dial(t, p), dial(t, p)
	for _, c := range []caller{old, leaver} {
		c.say("a")
		c.hears("a")
	}
	p.Freeze()
	old.say("b")
	old.hearsNothing()
	_ = leaver.Close()
	young := dial(t, p)
	young.say("c")
	young.hearsNothing()
	select {
	case err := <-ends:
		t.Fatalf("the target was told of an end on a frozen line: %v", err)
	default:
	}
	p.Heal()
	old.hears("b")
	young.hears("c")
	select {
	case <-ends:
	case <-time.After(patience):
		t.Error("the target was not told of the end after the line was healed")
	}
}

func TestForgottenConnectionsStaySo(t *testing.T) {
	addr, ends := echo(t)
	p := listen(t, addr)
	old := dial(t, p)
	old.say("a")
	old.hears("a")
	p.Forget()
	old.say("b")
	old.hearsNothing()
	p.Heal()
	old.hearsNothing()
	_ = old.Close()
	young := dial(t, p)
	young.say("c")
	young.hears("c")
	select {
	case err := <-ends:
		t.Fatalf("the target was told of an end on a forgotten line: %v", err)
	default:
	}
}

func TestSlow(t *testing.T) {
	addr, _ := echo(t)
	p := listen(t, addr)
	c := dial(t, p)
	p.Slow(0, 100*time.Millisecond)
	began := time.Now()
	c.say("a")
	c.hears("a")
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("there and back took %v, with 100ms each way", took)
	}
	p.Slow(64<<10, 0)
	began = time.Now()
	go func() { _, _ = c.Write(make([]byte, 32<<10)) }()
	_ = c.SetReadDeadline(began.Add(patience))
	if _, err := io.ReadFull(c.in, make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("32 KiB at 64 KiB a second took %v", took)
	}
	p.Slow(1, 0)
	c.say("b")
	c.hearsNothing()
	p.Heal()
	c.hears("b")
}

func TestTheEndOfOneSideIsCarriedOn(t *testing.T) {
	addr, ends := echo(t)
	p := listen(t, addr)
	c := dial(t, p)
	c.say("a")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.hears("a")
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Errorf("the line ended with %v; want EOF", err)
	}
	if err := <-ends; err != nil {
		t.Errorf("the target's side ended with %v", err)
	}
}

func TestATargetThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	newIsReset(t, listen(t, addr))
}
