package examples_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Over TLS, with user and password in the URL: a token is answered, and a
// message larger than a TLS record is stored.
func TestExamplesOverTLS(t *testing.T) {
	certificate, ca := selfSigned(t)
	eachLanguage(t, func(t *testing.T, l language) {
		n := startNATS(t, func(o *server.Options) {
			o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			o.Username, o.Password = "backend", "p@ss/word"
		})
		nc := n.connect(t, nats.RootCAs(ca), nats.UserInfo("backend", "p@ss/word"))
		s := stream(t, nc, "")
		url := fmt.Sprintf("NATS_URL=tls://backend:p%%40ss%%2Fword@127.0.0.1:%d", n.opts.Port)
		env := []string{url, "NATS_CA=" + ca}

		p := start(t, nil, env, l.authenticate...)
		p.says(t, "answering authentication", 1)
		reply, err := nc.Request("authentication", []byte(token1), patience)
		if err != nil || string(reply.Data) != `{"success":true,"user_id":1}` {
			t.Errorf("over TLS: %v, %v", reply, err)
		}
		large := strings.Repeat("0123456789", 50_000)
		publish(t, l, env, []byte(large), "1", "-")
		if msg := stored(t, s, 1); string(msg.Data) != large {
			t.Errorf("stored %d bytes, want %d", len(msg.Data), len(large))
		}

		// A certificate that nobody vouches for is no NATS of ours.
		p, code := run(t, nil, []string{url, "PUBLISH_DEADLINE=1"}, append(l.publish, "1", "x")...)
		if code != 1 || strings.Contains(p.stderr.String(), "word") {
			t.Errorf("unknown authority: exit code %d, said:\n%s", code, p.stderr.String())
		}
	})
}

// selfSigned returns a certificate for 127.0.0.1 and some names, and the file of
// its authority.
func selfSigned(t *testing.T, names ...string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "127.0.0.1"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:              append(names, "localhost"), // what Node asks for in place of an address
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
