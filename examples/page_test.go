package examples_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const (
	status = `document.getElementById("status").textContent`
	latest = `document.querySelector("#received pre")?.textContent`
)

func (p *page) shows(expression, want string) {
	p.t.Helper()
	got := ""
	eventually(p.t, expression+" has "+want, func() bool {
		got = p.eval(expression)
		return strings.Contains(got, want)
	})
}

// openExample serves the examples' pages and opens one.
func openExample(t *testing.T, file, public, token string) *page {
	t.Helper()
	site := httptest.NewServer(http.FileServer(http.Dir("html")))
	t.Cleanup(site.Close)
	settings := url.Values{"gateway": {"ws://" + public + "/"}, "token": {token}}
	// %2B and not "+", %20 and not "+": both are taken as they stand.
	return openPage(t, site.URL+"/"+file+"#"+strings.ReplaceAll(settings.Encode(), "%2B", "+"))
}

// The page waits for the backend, receives, survives a restart of the gateway,
// and shows what it gets as text.
func TestPageMessageChannel(t *testing.T) {
	backend := php(t)
	n := startNATS(t, nil)
	g := serve(t, "BELFRY_NATS_URL="+n.url)
	p := openExample(t, "messagechannel.html", g.Public, token1)
	p.eval(`document.getElementById("connect").click()`)
	p.shows(status, "trying again") // nobody answers authentication yet
	start(t, nil, n.env(), backend.authenticate...).says(t, "answering", 1)
	p.shows(status, "connected as user 1")
	p.receives(n, "first")

	publish(t, backend, n.env(), nil, "1", `{"user_id":"1","data":"<b>bold</b> & more"}`)
	p.shows(latest, "<b>bold</b> & more")
	publish(t, backend, n.env(), []byte("\xff not UTF-8"), "1", "-")
	p.shows(latest, "\uFFFD not UTF-8")

	g.stop()
	p.shows(status, "trying again")
	serve(t, "BELFRY_NATS_URL="+n.url, "BELFRY_PUBLIC_LISTEN="+g.Public)
	p.shows(status, "connected as user 1")
	p.receives(n, "second")

	p.eval(`document.getElementById("disconnect").click()`)
	p.shows(status, "disconnected")
}

// receives publishes until the page has it: that it asked for notifications is
// answered by nothing.
func (p *page) receives(n *natsServer, data string) {
	p.t.Helper()
	nc := n.connect(p.t)
	eventually(p.t, "the page shows "+data, func() bool {
		if err := nc.Publish("notification_1", []byte(`{"user_id":"1","data":"`+data+`"}`)); err != nil {
			p.t.Fatal(err)
		}
		return p.eval(latest) == data
	})
}

// A token that was refused is not tried again.
func TestPageStopsWhenRefused(t *testing.T) {
	g := serve(t)
	backend := start(t, nil, []string{"NATS_URL=" + g.NATS}, php(t).authenticate...)
	backend.says(t, "answering", 1)
	p := openExample(t, "messagechannel.html", g.Public, "nonsense")
	p.eval(`document.getElementById("connect").click()`)
	p.shows(status, "refused")
	p.eval(`dispatchEvent(new Event("online"))`) // even where the network comes back
	if got := p.eval(status); got != "refused" {
		t.Errorf("after the refusal the page says %q", got)
	}
}
