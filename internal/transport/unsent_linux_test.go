package transport_test

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"belfry/internal/reason"
	"belfry/internal/transport"
)

// A client that does not read fills its own buffer and no more than the bound
// here, whatever the kernel would have taken.
func TestBoundUnsent(t *testing.T) {
	taken := func(config net.ListenConfig) (bytes int) {
		config.SetMultipathTCP(false)
		listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_ = client.(*net.TCPConn).SetReadBuffer(4 << 10)
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		piece := make([]byte, 1<<10)
		for {
			_ = server.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := server.Write(piece)
			bytes += n
			if err != nil {
				return bytes
			}
		}
	}
	free, bounded := taken(net.ListenConfig{}), taken(net.ListenConfig{Control: transport.BoundUnsent})
	if bounded > 128<<10 || bounded >= free {
		t.Errorf("the kernel takes %d bytes, and %d without a bound", bounded, free)
	}
}

// What counts is what the other host takes, over TLS too: the kernel here goes on
// taking for a client that has vanished.
func TestVanishedOverTLS(t *testing.T) {
	b := startWith(t, transport.Options{
		Tick: 5 * time.Millisecond, PingInterval: 20 * time.Millisecond, PongTimeout: 100 * time.Millisecond, CloseTimeout: 50 * time.Millisecond,
	}, (*httptest.Server).StartTLS)
	nc, err := net.Dial("tcp", b.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	b.shake(tls.Client(nc, &tls.Config{InsecureSkipVerify: true}), nil) // and reads no more
	s := b.session(0)
	message := transport.AppendFrame(nil, transport.OpText, make([]byte, 100))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; !transport.IsClosing(s.conn); n++ {
		if n == 150 { // the kernel takes twice as many
			t.Fatal("a client that takes nothing is not noticed")
		}
		s.conn.Write(message)
		<-tick.C
	}
	b.closedWith(0, reason.NoPong)
}
