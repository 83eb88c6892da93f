package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMistakes(t *testing.T) {
	type set = map[string]string
	for _, c := range []struct {
		flags     set
		key, says string
	}{
		{set{"public.listen": "6003"}, "public.listen", "host:port: write it as 127.0.0.1:6003, or as :6003 for"},
		{set{"internal.listen": "7004"}, "internal.listen", "write it as 127.0.0.1:7004, or as :7004 for"},
		{set{"public.listen": "127.0.0.1:http"}, "public.listen", "host:port"},
		{set{"public.listen": "127.0.0.1:65536"}, "public.listen", "host:port"},
		{set{"public.listen": "127.0.0.1:6004"}, "internal.listen", "address of public.listen"},
		{set{"public.listen": ":4222"}, "nats.listen", "address of public.listen"},
		{set{"internal.listen": ":6004"}, "internal.listen", "api.key"},
		{set{"internal.listen": "192.0.2.1:6004", "metrics.open": "true"}, "internal.listen", "pprof"},
		{set{"nats.listen": "0.0.0.0:4222"}, "nats.listen", "nats.user and nats.password"},
		{set{"api.key": "short"}, "api.key", "openssl"},
		{set{"demo": "true", "public.listen": ":6003"}, "demo", "publish"},
		{set{"demo": "true", "nats.url": "nats://192.0.2.1:4222"}, "demo", "authentication"},
		{set{"public.origins": "*"}, "public.origins", "empty"},
		{set{"public.origins": "shop.example.com"}, "public.origins", "scheme://"},
		{set{"public.origins": "https://a.example/"}, "public.origins", "scheme://"},
		{set{"public.origins": "https://*"}, "public.origins", "scheme://"},
		{set{"public.origins": "null"}, "public.origins", "scheme://"},
		{set{"public.cookie": "session"}, "public.cookie", "public.origins"},
		{set{"public.cookie": "a=b", "public.origins": "https://a.example"}, "public.cookie", "cookie's name"},
		{set{"public.tls.cert": "x.pem"}, "public.tls.cert", "without public.tls.key"},
		{set{"public.tls.key": "x.pem"}, "public.tls.key", "without public.tls.cert"},
		{set{"public.tls.cert": "/nowhere/x.pem", "public.tls.key": "/nowhere/y.pem"}, "public.tls.key", "no such file"},
		{set{"nats.url": "localhost:4222"}, "nats.url", "nats://host:4222"},
		{set{"nats.url": "http://localhost:4222"}, "nats.url", "scheme"},
		{set{"nats.url": "nats://a:4222,ws://a:80"}, "nats.url", "mixes"},
		{set{"nats.url": "nats://u:p@a:4222", "nats.user": "u", "nats.password": "p"}, "nats.url", "beside other"},
		{set{"nats.prefix": "live"}, "nats.prefix", "own"},
		{set{"nats.user": "u"}, "nats.user", "nats.password"},
		{set{"nats.password": "p"}, "nats.password", "nats.user"},
		{set{"nats.url": "nats://a:4222", "nats.user": "u", "nats.password": "p", "nats.nkey": "/nowhere/seed"}, "nats.nkey", "one of several"},
		{set{"nats.url": "nats://a:4222", "nats.nkey": "/nowhere/seed"}, "nats.nkey", "no such file"},
		{set{"nats.url": "nats://a:4222", "nats.credentials": "/"}, "nats.credentials", "a directory"},
		{set{"nats.credentials": "check_test.go"}, "nats.credentials", "nats.url is empty"},
		{set{"nats.url": "nats://a:4222", "nats.ca": "check_test.go"}, "nats.ca", "no PEM"},
		{set{"nats.url": "nats://a:4222", "nats.cert": "check_test.go", "nats.key": "check_test.go"}, "nats.cert", "can't be used"},
		{set{"nats.inbox_prefix": "a.>"}, "nats.inbox_prefix", "not a subject"},
		{set{"nats.domain": "a.b"}, "nats.domain", "domain"},
		{set{"stream.manage": "yes"}, "stream.manage", "create, update or never"},
		{set{"stream.replicas": "4", "nats.url": "nats://a:4222"}, "stream.replicas", "1, 3 or 5"},
		{set{"stream.replicas": "3"}, "stream.replicas", "one server"},
		{set{"nats.cluster.routes": three}, "nats.cluster.routes", "without nats.cluster.name"},
		{set{"nats.cluster.secret": "0123456789abcdef"}, "nats.cluster.secret", "without nats.cluster.name"},
		{cluster("nats.url", "nats://a:4222"), "nats.cluster.name", "beside nats.url"},
		{cluster("nats.cluster.name", "a b"), "nats.cluster.name", "letters"},
		{cluster("nats.cluster.node", ""), "nats.cluster.node", "name of its own"},
		{cluster("nats.cluster.node", "a.b"), "nats.cluster.node", "letters"},
		{cluster("nats.cluster.routes", "127.0.0.1:6222"), "nats.cluster.routes", "names 1 nodes"},
		{cluster("nats.cluster.routes", "127.0.0.1:6222,127.0.0.1:6223", "stream.replicas", "3"), "nats.cluster.routes", "fewer than 3"},
		{cluster("nats.cluster.routes", "127.0.0.1:6222,127.0.0.1:6223", "stream.replicas", "3"), "stream.replicas", "names 2 nodes"},
		{cluster("stream.replicas", "5"), "stream.replicas", "names 3 nodes"},
		{cluster("nats.cluster.routes", three+",nats://a:6222"), "nats.cluster.routes", "host:port"},
		{cluster("nats.cluster.routes", three+",0.0.0.0:6222"), "nats.cluster.routes", "host:port"},
		{cluster("nats.cluster.routes", three+",127.0.0.1:6222"), "nats.cluster.routes", "twice"},
		{cluster("nats.cluster.routes", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"), "nats.cluster.routes", "this one among them"},
		{cluster("nats.cluster.listen", "127.0.0.1:0"), "nats.cluster.listen", "know the port"},
		{cluster("nats.cluster.listen", "127.0.0.1:4222"), "nats.cluster.listen", "address of nats.listen"},
		{cluster("nats.cluster.listen", ":6222"), "nats.cluster.listen", "set nats.cluster.secret"},
		{cluster("nats.cluster.routes", "a:6222,b:6222,c:6222"), "nats.cluster.routes", "set nats.cluster.secret"},
		{cluster("nats.cluster.secret", "short"), "nats.cluster.secret", "openssl"},
		{cluster("nats.cluster.advertise", "a"), "nats.cluster.advertise", "host:port"},
		{cluster("nats.cluster.tls.cert", "/nowhere/x.pem", "nats.cluster.tls.key", "/nowhere/y.pem"), "nats.cluster.tls.ca", "not both"},
		{cluster("demo", "true", "nats.cluster.secret", "0123456789abcdef", "nats.cluster.listen", ":6222"), "demo", "reaches other machines"},
		{set{"stream.max_age": "1s"}, "stream.max_age", "2m to"},
		{set{"stream.max_bytes": "3GiB"}, "stream.max_bytes", "nats.max_store"},
		{set{"subjects.authentication": "a.*"}, "subjects.authentication", "not a subject"},
		{set{"subjects.authentication": "rpc.auth"}, "subjects.authentication", "Belfry's own"},
		{set{"subjects.authentication": "notification"}, "subjects.authentication", "could belong"},
		{set{"subjects.authentication": "notification.auth"}, "subjects.authentication", "could belong"},
		{set{"subjects.authentication": "notification_auth"}, "subjects.authentication", "could belong"},
		{set{"subjects.notification": "authentication.notify"}, "subjects.authentication", "could belong"},
		{set{"subjects.notification": "channel"}, "subjects.notification", "Belfry's own"},
		{set{"subjects.channel": "live"}, "subjects.channel", "Belfry's own"},
		{set{"subjects.live": "tick.*"}, "subjects.live", "not a subject"},
		{set{"subjects.authorization": "authentication"}, "subjects.authentication", "could belong"},
		{set{"subjects.authorization": "notification_may"}, "subjects.authorization", "could belong"},
		{set{"subjects.channel": "notification.topic"}, "subjects.notification", "could belong"},
		{set{"subjects.channel": "notification"}, "subjects.notification", "could belong"},
		{set{"subjects.live": "channel.live"}, "subjects.live", "Belfry's own"},
		{set{"subjects.channel": "topic", "subjects.live": "topic.live"}, "subjects.channel", "could belong"},
		{set{"replay.start": "yesterday"}, "replay.start", "cursor, now or all"},
		{set{"replay.start_channels": "cursor"}, "replay.start_channels", "personal channels only"},
		{set{"replay.start_channels": ""}, "replay.start_channels", "now or all"},
		{set{"auth.timeout": "2m"}, "auth.timeout", "10ms to 1m"},
		{set{"auth.concurrent": "0"}, "auth.concurrent", "1 to 65536"},
		{set{"limits.connections": "-1"}, "limits.connections", "1 to"},
		{set{"limits.queue": "1KiB"}, "limits.queue", "4KiB to 1GiB"},
		{set{"replay.max": "0"}, "replay.max", "1 to"},
		{set{"drain": "2h"}, "drain", "0s to 1h"},
		{set{"nats.sync_interval": "1us"}, "nats.sync_interval", "1ms to"},
		{set{"channels.public": "orders*"}, "channels.public", "whole part"},
		{set{"channels.public": "orders.>"}, "channels.public", "whole part"},
		{set{"channels.public": "a..b"}, "channels.public", "empty"},
		{set{"channels.public": "#42"}, "channels.public", "personal"},
		{set{"log.format": "xml"}, "log.format", "text or json"},
		{set{"data": "check_test.go"}, "data", "not a directory"},
	} {
		expect(t, mistakes(t, "", nil, c.flags), c.key, c.says)
	}
}

const three = "127.0.0.1:6222,127.0.0.1:6223,127.0.0.1:6224"

// cluster is a node's configuration with changes, keys and values in turn.
func cluster(changes ...string) map[string]string {
	flags := map[string]string{"nats.cluster.name": "acme", "nats.cluster.node": "a", "nats.cluster.routes": three}
	for i := 0; i < len(changes); i += 2 {
		flags[changes[i]] = changes[i+1]
	}
	return flags
}

func TestValid(t *testing.T) {
	type set = map[string]string
	for _, flags := range []set{
		{"public.listen": ":0", "internal.listen": "[::1]:0", "nats.listen": "localhost:0"},
		{"internal.listen": ":6004", "api.key": "0123456789abcdef"},
		{"nats.listen": ":4222", "nats.user": "u", "nats.password": "p"},
		{"demo": "true", "nats.url": "nats://127.0.0.1:4222,nats://[::1]:4222"},
		{"public.origins": "https://a.example,http://localhost:8080,https://*.b.example", "public.cookie": "session"},
		{"nats.url": "nats://me:secret@a:4222", "stream.replicas": "5", "nats.sync_interval": "2m"},
		{"nats.url": "ws://a,wss://b/path"},
		{"subjects.authentication": "shop.auth", "subjects.notification": "shop.notify"},
		{"subjects.notification": "notify", "subjects.authentication": "notification"},
		{"subjects.channel": "notification_x", "subjects.live": "live.tick", "subjects.authorization": "authentication.may"},
		{"replay.start": "all", "replay.start_channels": "all"},
		{"channels.public": "news,chat:7,orders.*,*.eu"},
		cluster(),
		cluster("stream.replicas", "3", "demo", "true"),
		cluster("nats.cluster.secret", "0123456789abcdef", "nats.cluster.listen", ":6222", "nats.cluster.routes", "a:6222,b:6222,c:6222", "nats.cluster.advertise", "a:6222"),
		cluster("nats.cluster.routes", "127.0.0.1:6222", "durable", "false"),
		{"nats.sync_interval": "always", "limits.connections": "auto", "stream.replicas": "auto", "drain": "0s", "drain_delay": "0s"},
	} {
		if got, err := Load("", nil, flags); err != nil || len(got.Warnings) > 0 {
			t.Errorf("%v: %v, warnings %v", flags, err, got.Warnings)
		}
	}
}

func TestWarnings(t *testing.T) {
	got, err := Load("", nil, map[string]string{"nats.url": "nats://a:4222", "nats.sync_interval": "always", "durable": "false", "stream.max_age": "1d", "replay.start": "now"})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got.Warnings, "nats.sync_interval", "no effect")
	expect(t, got.Warnings, "stream.max_age", "durable is false")
	expect(t, got.Warnings, "replay.start", "durable is false")
	if len(got.Warnings) != 3 {
		t.Errorf("warnings: %v", got.Warnings)
	}
}

func TestMistakesDoNotTellSecrets(t *testing.T) {
	_, err := Load(writeFile(t, "api: {key: 123454321}\n"), nil, map[string]string{"nats.url": "http://me:geheim@a:1,geheim@b", "nats.user": "x", "nats.password": "geheim"})
	var ps Problems
	if !errors.As(err, &ps) || len(ps) < 3 {
		t.Fatalf("%v", err)
	}
	if s := ps.Error(); strings.Contains(s, "geheim") || strings.Contains(s, "123454321") {
		t.Errorf("a secret is told: %s", s)
	}
}

func TestKeyPair(t *testing.T) {
	cert, key := selfSigned(t)
	flags := map[string]string{"public.tls.cert": cert, "public.tls.key": key, "nats.url": "tls://a:4222", "nats.ca": cert, "nats.cert": cert, "nats.key": key}
	if _, err := Load("", nil, flags); err != nil {
		t.Error(err)
	}
	otherCert, _ := selfSigned(t)
	flags["public.tls.cert"] = otherCert
	expect(t, mistakes(t, "", nil, flags), "public.tls.cert", "can't be used")
}

func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", pkcs8)
}

func TestOrigins(t *testing.T) {
	p := Public{Origins: []string{"https://shop.example.com", "http://localhost:8080", "https://*.example.org", "app://belfry"}}
	for origin, want := range map[string]bool{
		"https://shop.example.com": true, "https://SHOP.example.com:443": true, "http://shop.example.com": false, "https://shop.example.com:8443": false,
		"http://localhost:8080": true, "http://localhost": false,
		"https://a.example.org": true, "https://a.b.example.org": true, "https://example.org": false, "https://evilexample.org": false, "https://*.example.org": false,
		"https://shop.example.com.evil.test": false, "null": false, "app://belfry": true, "https://shop.example.com/": false, "": true,
	} {
		if got := p.OriginAllowed(origin); got != want {
			t.Errorf("%q allowed: %v, want %v", origin, got, want)
		}
	}
	if !(Public{}).OriginAllowed("https://any.example") {
		t.Error("no origins configured, and one is refused")
	}
}
