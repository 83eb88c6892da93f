package app_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
	"belfry/internal/position"
)

// upgrade asks for a WebSocket on a bare socket and returns the status.
func upgrade(t *testing.T, c net.Conn) int {
	t.Helper()
	const handshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := io.WriteString(c, handshake); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func TestPublishIsAcknowledgedAndListenPrintsIt(t *testing.T) {
	o := apptest.Options(t, func(o *config.Options) { o.NATS.Prefix = "acme" })
	a, err := app.New(o, apptest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop() }()
	apptest.Ready(t, a)
	apptest.Backend(t, a.Addresses().NATS, "acme")

	ctx, cancel := context.WithCancel(context.Background())
	lines, status, ended := make(chan string, 10), make(chan string, 10), make(chan error, 1)
	go func() {
		ended <- app.Listen(ctx, a.Addresses().Public, "user:a@b",
			func(line []byte) { lines <- string(line) }, func(s string) { status <- s })
	}()
	apptest.MetricBecomes(t, a, "belfry_subscriptions", 1)

	for _, duplicate := range []bool{false, true} {
		r, err := app.Publish(context.Background(), o, a.Addresses().NATS, app.Publication{Channel: "#a@b", Data: []byte("hello"), ID: "order-1"})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := position.Parse(r.Position); err != nil || p.Get(position.Notifications).Seq != 1 {
			t.Errorf("position %q, %v", r.Position, err)
		}
		want := app.Receipt{Subject: "acme.notification.=YUBi", ID: "order-1", Stream: "acme_BELFRY_NOTIFICATIONS", Seq: 1, Duplicate: duplicate, Position: r.Position}
		if r != want {
			t.Errorf("receipt %+v, want %+v", r, want)
		}
	}
	if got := <-lines; got != "hello" {
		t.Errorf("got %q", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("listening ended with %v", err)
	}
	apptest.MetricBecomes(t, a, `belfry_closes_total{reason="client_closed"}`, 1)
	if len(status) < 2 {
		t.Error("it did not say what happens")
	}
}

func TestListenSaysWhyItEnds(t *testing.T) {
	a := apptest.Start(t)
	apptest.Backend(t, a.Addresses().NATS, "")
	listen := func(token string) error {
		return app.Listen(context.Background(), a.Addresses().Public, token, func([]byte) {}, func(string) {})
	}
	if err := listen("nobody"); err == nil || !strings.Contains(err.Error(), "refused the token") {
		t.Errorf("refused: %v", err)
	}
	if err := listen(""); err == nil || !strings.Contains(err.Error(), "Token is required") {
		t.Errorf("no token: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- listen("user:1") }()
	apptest.MetricBecomes(t, a, "belfry_subscriptions", 1)
	<-drain(a, context.Background())
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "1012") {
		t.Errorf("drained: %v", err)
	}
	if err := listen("user:1"); err == nil {
		t.Error("nobody listens there any more")
	}
}

func TestPublishFailsWhereNothingKeepsIt(t *testing.T) {
	n := apptest.StartNATS(t, false)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	r, err := app.Publish(ctx, apptest.Options(t), n.URL(), app.Publication{Channel: "#1", Data: []byte("x")})
	if err == nil {
		t.Errorf("no error: %+v", r)
	}
	if _, err := app.Publish(context.Background(), apptest.Options(t), n.URL(), app.Publication{Channel: "#", Data: []byte("x")}); err == nil {
		t.Error("no user, and no error")
	}
}
