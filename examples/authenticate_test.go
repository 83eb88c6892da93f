package examples_test

import (
	"bytes"
	"crypto/aes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	demoSecret = "0wCNwGRwJ58sJdZBzUNyP6ogJVSw2OzoTYhDNl5Cnvz8rWfok5Y0yPPA2Uy2HXFj"
	token1     = "57uiWCKp/44wImihy0C9+g=="
	token2     = "Hm5tYwbyoSM71Ns7A43ujQ=="
	refusal    = `{"success":false,"user_id":null}`
)

// seal makes a token of the demo's kind: base64 of AES-128-ECB with PKCS#7.
func seal(t *testing.T, secret, claims string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(secret[:16]))
	if err != nil {
		t.Fatal(err)
	}
	padding := aes.BlockSize - len(claims)%aes.BlockSize
	data := append([]byte(claims), bytes.Repeat([]byte{byte(padding)}, padding)...)
	for i := 0; i < len(data); i += aes.BlockSize {
		block.Encrypt(data[i:], data[i:])
	}
	return base64.StdEncoding.EncodeToString(data)
}

func TestSealMakesTheOriginalsTokens(t *testing.T) {
	for claims, want := range map[string]string{`{"user_id":1}`: token1, `{"user_id":2}`: token2} {
		if got := seal(t, demoSecret, claims); got != want {
			t.Errorf("the token of %s is %s, want %s", claims, got, want)
		}
	}
}

func TestAuthenticatorAnswers(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		p := start(t, nil, n.env(), l.authenticate...)
		p.says(t, "answering authentication", 1)
		nc := n.connect(t)
		for _, row := range []struct{ name, token, want string }{
			{"user 1", token1, `{"success":true,"user_id":1}`},
			{"user 2", token2, `{"success":true,"user_id":2}`},
			{"a string", seal(t, demoSecret, `{"user_id":"a.b@c.d"}`), `{"success":true,"user_id":"a.b@c.d"}`},
			{"empty", "", refusal},
			{"not base64", "\x00\xff nonsense", refusal},
			{"not a whole block", "c2hvcnQ=", refusal},
			{"another key", seal(t, "another secret..", `{"user_id":1}`), refusal},
			{"not JSON", seal(t, demoSecret, `user 1`), refusal},
			{"not an object", seal(t, demoSecret, `[1]`), refusal},
			{"null", seal(t, demoSecret, `null`), refusal},
			{"no user", seal(t, demoSecret, `{}`), refusal},
			{"user null", seal(t, demoSecret, `{"user_id":null}`), refusal},
			{"a boolean", seal(t, demoSecret, `{"user_id":true}`), refusal},
			{"a fraction", seal(t, demoSecret, `{"user_id":1.5}`), refusal},
			{"beyond 2^53", seal(t, demoSecret, `{"user_id":9007199254740995}`), refusal},
			{"an empty string", seal(t, demoSecret, `{"user_id":""}`), refusal},
		} {
			reply, err := nc.Request("authentication", []byte(row.token), patience)
			if err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
			if got := string(reply.Data); got != row.want {
				t.Errorf("%s: answered %s, want %s", row.name, got, row.want)
			}
		}
		if said := p.stderr.String(); strings.Contains(said, token1) || strings.Contains(said, token2) {
			t.Errorf("a token is in the log:\n%s", said)
		}
	})
}

func TestAuthenticatorSaysWhichConnection(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		p := start(t, nil, n.env("BELFRY_NATS_PREFIX=acme", "TOKEN_SECRET=sixteen bytes or more"), l.authenticate...)
		p.says(t, "answering acme.authentication", 1)
		msg := nats.NewMsg("acme.authentication")
		msg.Header.Set("Belfry-Connection", "c-17")
		msg.Data = []byte(seal(t, "sixteen bytes or more", `{"user_id":7}`))
		reply, err := n.connect(t).RequestMsg(msg, patience)
		if err != nil || string(reply.Data) != `{"success":true,"user_id":7}` {
			t.Fatalf("with a prefix and another secret: %v, %v", reply, err)
		}
		p.says(t, "accepted user 7, connection c-17", 1)
	})
}

func TestAuthenticatorsShareAQueueGroup(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		start(t, nil, n.env(), l.authenticate...).says(t, "answering", 1)
		start(t, nil, n.env(), l.authenticate...).says(t, "answering", 1)
		subs, err := n.Subsz(&server.SubszOptions{Subscriptions: true, Test: "authentication"})
		if err != nil {
			t.Fatal(err)
		}
		if len(subs.Subs) != 2 || subs.Subs[0].Queue == "" || subs.Subs[0].Queue != subs.Subs[1].Queue {
			t.Errorf("two authenticators subscribed as %+v, want one queue group", subs.Subs)
		}
	})
}

func TestAuthenticatorReturnsWithNATS(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, nil)
		p := start(t, nil, n.env(), l.authenticate...)
		p.says(t, "answering authentication", 1)
		n.stop()
		p.says(t, "NATS is away", 1)
		n.start(t)
		nc := n.connect(t)
		eventually(t, "user 1 is accepted again", func() bool {
			reply, err := nc.Request("authentication", []byte(token1), patience)
			return err == nil && string(reply.Data) == `{"success":true,"user_id":1}`
		})
	})
}

func TestAuthenticatorWaitsForNATSAndItsPassword(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, func(o *server.Options) { o.Username, o.Password = "backend", "right" })
		n.stop()
		p := start(t, nil, n.env("NATS_USER=backend", "NATS_PASSWORD=right"), l.authenticate...)
		n.opts.Password = "wrong" // for a while the server has another password
		n.start(t)
		eventually(t, "it has been turned away", func() bool { return n.NumClients() == 0 && n.connections() > 0 })
		n.stop()
		n.opts.Password = "right"
		n.start(t)
		p.says(t, "answering authentication", 1)
	})
}
