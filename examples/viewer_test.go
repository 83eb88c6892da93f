package examples_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// clientAddress is where clients of proxies connect from: not the proxy's.
const clientAddress = "127.0.0.2"

// viewer is one user's client behind a proxy. It comes back whenever its
// connection ends, and keeps what each connection received.
type viewer struct {
	proxy *frontProxy
	token string
	http  *http.Client
	leave func() // ends the connection for good

	mu       sync.Mutex // guards the following
	received [][]string // by connection
	ends     []string   // why each connection ended
	refused  []string   // what a browser would not come back from
	position string     // EventSource's Last-Event-ID
	retry    time.Duration
}

// view opens a viewer's connection in one of the dialects, and again, until the
// test ends.
func view(t *testing.T, p *frontProxy, dialect, token string) *viewer {
	t.Helper()
	v := &viewer{proxy: p, token: token, http: httpClient(t, p, dialect == "eventsource"), retry: 100 * time.Millisecond}
	connect := v.webSocket
	if dialect == "eventsource" {
		connect = v.eventSource
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := connect(ctx)
			v.mu.Lock()
			v.ends = append(v.ends, fmt.Sprint(err))
			pause := v.retry
			v.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(pause): // as a browser waits
			}
		}
	}()
	v.leave = func() { cancel(); <-done }
	t.Cleanup(v.leave)
	return v
}

// httpClient finds the site at the proxy, and comes from clientAddress.
func httpClient(t *testing.T, p *frontProxy, http2 bool) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(t, p.authority)))
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddress)}}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: http2, // as browsers do for EventSource
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, p.address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// made up by the client: it must not count.
var forged = http.Header{"X-Forwarded-For": {"203.0.113.9"}}

func (v *viewer) webSocket(ctx context.Context) error {
	c, _, err := websocket.Dial(ctx, "wss://"+site+"/", &websocket.DialOptions{HTTPClient: v.http, HTTPHeader: forged})
	if err != nil {
		return err
	}
	defer c.CloseNow()
	for _, frame := range []string{`{"type":"AUTH","token":"` + v.token + `"}`, `{"type":"NOTIFICATION"}`} {
		if err := c.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
			return err
		}
	}
	if _, _, err := c.Read(ctx); err != nil { // the backend's reply
		return err
	}
	v.connected()
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			return err
		}
		v.receive(string(data))
	}
}

func (v *viewer) eventSource(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, "GET", "https://"+site+"/events?token="+url.QueryEscape(v.token), nil)
	if err != nil {
		return err
	}
	request.Header = forged.Clone()
	if v.position != "" {
		request.Header.Set("Last-Event-ID", v.position)
	}
	response, err := v.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != 200 || !strings.HasPrefix(kind, "text/event-stream") {
		v.mu.Lock()
		v.refused = append(v.refused, response.Status+" "+kind)
		v.mu.Unlock()
		return fmt.Errorf("status %s", response.Status)
	}
	event := map[string]string{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if name, value, found := strings.Cut(lines.Text(), ": "); found {
			event[name] = value
			continue
		}
		v.handle(event)
		clear(event)
	}
	return fmt.Errorf("the stream ended: %v", lines.Err())
}

// handle takes one event of a stream.
func (v *viewer) handle(event map[string]string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if ms, err := strconv.Atoi(event["retry"]); err == nil {
		v.retry = time.Duration(ms) * time.Millisecond
	}
	if id := event["id"]; id != "" {
		v.position = id
	}
	data, isData := event["data"]
	switch {
	case event["event"] == "position" && event["retry"] != "": // the first of a stream
		v.received = append(v.received, nil)
	case event["event"] == "" && isData:
		v.received[len(v.received)-1] = append(v.received[len(v.received)-1], data)
	}
}

func (v *viewer) connected() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.received = append(v.received, nil)
}

func (v *viewer) receive(data string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.received[len(v.received)-1] = append(v.received[len(v.received)-1], data)
}

// all is what was received over all connections, one after the other.
func (v *viewer) all() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Concat(v.received...)
}

// connections is how many there have been, that is how often it was let in.
func (v *viewer) connections() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.received)
}

// failed is how many connections ended, or were not let in.
func (v *viewer) failed() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.ends)
}

// givenUp is how many answers a browser would not come back from.
func (v *viewer) givenUp() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.refused)
}

// story is for a test that failed.
func (v *viewer) story() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return fmt.Sprintf("%s: received %q, connections ended: %q, refused: %q", v.token, v.received, v.ends, v.refused)
}
