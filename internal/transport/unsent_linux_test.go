package transport_test

import (
	"net"
	"testing"
	"time"

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
