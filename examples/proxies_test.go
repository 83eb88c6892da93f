package examples_test

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// site is the name that the configurations in deploy/ are for.
const site = "push.example.com"

// proxyKind is one of the proxies that deploy/ has a configuration for.
type proxyKind struct {
	name, file, remedy string
	argv               func(config string) []string
	// here gives what of the configuration is another machine's in a test, and
	// what takes its place: old, new, old, new.
	here func(p *frontProxy) []string
}

var proxyKinds = []proxyKind{
	{
		"nginx", "deploy/nginx.conf", "apt-get install nginx",
		func(config string) []string {
			return []string{"nginx", "-p", filepath.Dir(config), "-c", config, "-e", "stderr", "-g", "daemon off;"}
		},
		func(p *frontProxy) []string {
			return []string{
				"listen 443 ", "listen " + p.address + " ",
				"/etc/ssl/belfry/fullchain.pem", p.certificate, "/etc/ssl/belfry/privkey.pem", p.certificate,
				"/run/nginx.pid", p.dir + "/nginx.pid", "/var/log/nginx/", p.dir + "/",
			}
		},
	},
	{
		"HAProxy", "deploy/haproxy.cfg", "apt-get install haproxy",
		func(config string) []string { return []string{"haproxy", "-db", "-f", config} },
		func(p *frontProxy) []string {
			return []string{
				"bind :443 ", "bind " + p.address + " ",
				"/etc/ssl/belfry/haproxy.pem", p.certificate,
				"maxconn 60000", "maxconn 1000", // the limit of open files may be low here
			}
		},
	},
	{
		"Caddy", "deploy/Caddyfile", "apt-get install caddy",
		func(config string) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", config}
		},
		func(p *frontProxy) []string {
			_, port, _ := net.SplitHostPort(p.address)
			return []string{
				// No certificate from the net, and no ports beside the one.
				site + " {", site + ":" + port + " {\n\tbind 127.0.0.1\n\ttls " + p.certificate + " " + p.certificate,
				"\n{\n", "\n{\n\tadmin off\n\tauto_https disable_redirects\n",
			}
		},
	},
}

// eachProxy runs a test for every proxy, side by side.
func eachProxy(t *testing.T, test func(t *testing.T, k proxyKind)) {
	for _, k := range proxyKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			need(t, k.argv("")[0], k.remedy)
			test(t, k)
		})
	}
}

// frontProxy is a proxy as a process, with its configuration of deploy/.
type frontProxy struct {
	*process
	address     string // host:port
	dir         string // its logs
	certificate string // PEM file, with the key behind it
	authority   string // PEM file of who signed it
}

// startProxy starts a proxy before two gateways, and returns once its port is
// open. Each of changes is put into the configuration too: old, new, old, new.
func startProxy(t *testing.T, k proxyKind, gateways [2]string, changes ...string) *frontProxy {
	t.Helper()
	p := &frontProxy{address: freeAddress(t), dir: t.TempDir()}
	p.makeCertificate(t)
	text := read(t, k.file)
	changes = append(append(k.here(p), "10.0.0.11:6003", gateways[0], "10.0.0.12:6003", gateways[1]), changes...)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("%s has no %q", k.file, changes[i])
		}
		text = strings.ReplaceAll(text, changes[i], changes[i+1])
	}
	config := filepath.Join(p.dir, filepath.Base(k.file))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.process = start(t, nil, nil, k.argv(config)...)
	eventually(t, k.name+" listens", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("%s ended; its configuration was\n%s", k.name, text)
		default:
		}
		c, err := net.Dial("tcp", p.address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

func (p *frontProxy) makeCertificate(t *testing.T) {
	t.Helper()
	certificate, authority := selfSigned(t, site)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	both := read(t, authority) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	p.authority, p.certificate = authority, filepath.Join(p.dir, "both.pem")
	if err := os.WriteFile(p.certificate, []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logs is all that the proxy wrote.
func (p *frontProxy) logs(t *testing.T) string {
	t.Helper()
	text := p.stdout.String() + p.stderr.String()
	files, err := filepath.Glob(p.dir + "/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text += read(t, file)
	}
	return text
}

// freeAddress is a port that nobody has at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
