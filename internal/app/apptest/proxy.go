package apptest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Proxy stands between clients and a gateway, and makes the line between them
// bad. What it holds back piles up in little more than its own small buffers.
type Proxy struct {
	listener net.Listener
	target   string
	rate     atomic.Int64 // bytes a second and connection towards the client; 0 is any

	mu    sync.Mutex    // guards the following
	cut   chan struct{} // closed by Cut: connections from before it carry nothing more
	conns []net.Conn
	over  bool
}

// proxyBuffer is how much the proxy lets the system hold for a line, in bytes.
const proxyBuffer = 16 << 10

// StartProxy starts one in front of host:port.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting a proxy: %v", err)
	}
	p := &Proxy{listener: l, target: target, cut: make(chan struct{})}
	t.Cleanup(p.stop)
	go p.accept()
	return p
}

// Addr is where clients connect to, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut has every present connection carry nothing more, in either direction, and
// stay open: neither side is told. New ones are served.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.cut)
	p.cut = make(chan struct{})
}

// Slow bounds what each connection carries to its client, in bytes a second; 0
// is no bound.
func (p *Proxy) Slow(rate int) { p.rate.Store(int64(rate)) }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *Proxy) serve(client net.Conn) {
	gateway, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	_ = gateway.(*net.TCPConn).SetReadBuffer(proxyBuffer)
	p.mu.Lock()
	over, cut := p.over, p.cut
	p.conns = append(p.conns, client, gateway)
	p.mu.Unlock()
	if over {
		_, _ = client.Close(), gateway.Close()
		return
	}
	go carry(gateway, client, cut, new(atomic.Int64))
	carry(client, gateway, cut, &p.rate)
}

// carry copies until one side ends, or the line is cut.
func carry(to, from net.Conn, cut <-chan struct{}, rate *atomic.Int64) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-cut:
			return
		default:
		}
		if most := rate.Load(); n > 0 && most > 0 {
			select {
			case <-time.After(time.Second * time.Duration(n) / time.Duration(most)):
			case <-cut:
				return
			}
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			if err == io.EOF {
				_ = to.(*net.TCPConn).CloseWrite()
			} else {
				_ = to.Close()
			}
			return
		}
	}
}

func (p *Proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, c := range p.conns {
		_ = c.Close()
	}
}
