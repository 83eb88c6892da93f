package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writeCertificate(t, files, 1)
	var o config.Options
	a := apptest.Start(t, func(opts *config.Options) {
		opts.Public.TLS = files
		o = *opts
	})
	backend := apptest.Backend(t, a.Addresses().NATS, "")
	url := "wss://" + a.Addresses().Public + "/"

	c, answer, err := apptest.DialWith(t, url, trusting())
	if err != nil {
		t.Fatalf("%v %v", answer, err)
	}
	if got := answer.TLS.PeerCertificates[0].SerialNumber.Int64(); got != 1 {
		t.Errorf("certificate %d", got)
	}
	c.Auth("user:1")
	c.Want()
	apptest.MetricBecomes(t, a, "belfry_subscriptions", 1)
	apptest.Publish(t, backend, "notification.1", "over TLS")
	c.Expect("over TLS")

	writeCertificate(t, files, 2)
	a.Reload(o)
	_, answer, err = apptest.DialWith(t, url, trusting())
	if err != nil {
		t.Fatalf("%v %v", answer, err)
	}
	if got := answer.TLS.PeerCertificates[0].SerialNumber.Int64(); got != 2 {
		t.Errorf("after a reload certificate %d, want 2", got)
	}
	<-drain(a, t.Context())
	if code := c.Ended(); code != 1012 {
		t.Errorf("closed with %d, want 1012", code)
	}
}

func TestAMissingCertificateIsAnError(t *testing.T) {
	o := apptest.Options(t, func(o *config.Options) { o.Public.TLS = config.TLS{Cert: "/nowhere", Key: "/nowhere"} })
	if _, err := app.New(o, apptest.Log(t)); err == nil {
		t.Error("no error")
	}
}

func trusting() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

func writeCertificate(t *testing.T, files config.TLS, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: cert}, files.Key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
