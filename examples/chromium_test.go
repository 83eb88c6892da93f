package examples_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// page is a tab of a headless Chromium, spoken to in its DevTools protocol.
type page struct {
	t       *testing.T
	conn    *websocket.Conn
	session string
	calls   int
}

var devTools = regexp.MustCompile(`DevTools listening on (ws://\S+)`)

// openPage starts a Chromium and opens an address in it.
func openPage(t *testing.T, url string) *page {
	t.Helper()
	need(t, "chromium", "apt-get install chromium")
	browser := start(t, nil, nil, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
		"--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-port=0", "about:blank")
	browser.says(t, "DevTools listening on ", 1)
	var address []string
	eventually(t, "Chromium has said where its DevTools listen", func() bool {
		address = devTools.FindStringSubmatch(browser.stderr.String())
		return address != nil
	})
	conn, _, err := websocket.Dial(within(t), address[1], nil)
	if err != nil {
		t.Fatalf("connecting to Chromium: %v", err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { conn.CloseNow() })
	p := &page{t: t, conn: conn}
	var target struct{ TargetID string }
	p.call("Target.createTarget", map[string]any{"url": url}, &target)
	var attached struct{ SessionID string }
	p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	eventually(t, url+" is loaded", func() bool { return p.eval(`location.protocol + document.readyState`) == "http:complete" })
	return p
}

// call does one thing in the browser and waits until it is done. Events, which
// come in between, are not wanted here.
func (p *page) call(method string, params map[string]any, result any) {
	p.t.Helper()
	p.calls++
	request := map[string]any{"id": p.calls, "method": method, "params": params}
	if p.session != "" {
		request["sessionId"] = p.session
	}
	ctx := within(p.t)
	if err := wsjson.Write(ctx, p.conn, request); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	var answer struct {
		ID     int
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	for answer.ID != p.calls {
		if err := wsjson.Read(ctx, p.conn, &answer); err != nil {
			p.t.Fatalf("%s: %v", method, err)
		}
	}
	if answer.Error != nil {
		p.t.Fatalf("%s: %s", method, answer.Error.Message)
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}

// eval returns what a JavaScript expression is, as text.
func (p *page) eval(expression string) string {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, answer.ExceptionDetails.Text)
	}
	return fmt.Sprint(answer.Result.Value)
}
