package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belfry/internal/bus/bustest"
)

func TestCheckPermissions(t *testing.T) {
	r := runIn(t, []string{"BELFRY_NATS_PREFIX=acme", "BELFRY_STREAM_MANAGE=never", "BELFRY_NATS_INBOX_PREFIX=_INBOX_gw"}, "check", "--permissions")
	r.want(t, 0, "BELFRY_GATEWAY_ACME = {", "BELFRY_BACKEND_ACME = {", `"acme.authentication"`, `"_INBOX_gw.>"`, `"$JS.API.STREAM.UPDATE.acme_BELFRY_CHANNELS"`, "allow_responses = true")
	if strings.Contains(r.out, "STREAM.CREATE") || strings.Contains(r.out, "configuration is valid") {
		t.Errorf("it prints %s", r.out)
	}
	runIn(t, []string{"BELFRY_NATS_PREFIX=Acme"}, "check", "--permissions").want(t, 2, "nats.prefix")
	runIn(t, nil, "check", "--permissions", "--connect").want(t, 2, "--permissions", "beside --connect")
}

// What --permissions prints is what --connect then finds to be there; with one
// line less it names that one.
func TestCheckConnect(t *testing.T) {
	text := runIn(t, nil, "check", "--permissions").out
	const line = `      "$JS.API.STREAM.UPDATE.BELFRY_CHANNELS"` + "\n"
	less := strings.Replace(text, line, "", 1)
	less, _, _ = strings.Cut(less, "\nBELFRY_BACKEND")
	if strings.Count(text, line) != 1 {
		t.Fatalf("there is no %s in %s", line, text)
	}
	n := bustest.Start(t, &bustest.Server{
		Definitions: text + strings.Replace(less, "BELFRY_GATEWAY = {", "LESS = {", 1),
		Users:       map[string]string{"gateway": "$BELFRY_GATEWAY", "backend": "$BELFRY_BACKEND", "less": "$LESS"},
		Dir:         t.TempDir(),
	})
	connect := func(user string) result { return runIn(t, nil, "check", "--connect", "--nats", n.URL(user)) }
	connect("gateway").want(t, 0, "the 27 permissions that a gateway needs are there", "BELFRY_CHANNELS does not exist, a gateway creates it", "no backend is connected")
	r := connect("less")
	r.want(t, 1, "1 of the 27 permissions", `publish "$JS.API.STREAM.UPDATE.BELFRY_CHANNELS"`, "epoch", "belfry check --permissions")
	if strings.Contains(r.out+r.err, bustest.Password+"@") {
		t.Errorf("a password: %s%s", r.out, r.err)
	}
	connect("nobody").want(t, 1, "Authorization Violation", "nats.user")

	runIn(t, nil, "check", "--connect", "--nats", "nats://127.0.0.1:1").want(t, 1, "127.0.0.1:1")
	runIn(t, nil, "check", "--connect").want(t, 1, "addresses.json", "--nats")
	path := filepath.Join(t.TempDir(), "my.yaml")
	if err := os.WriteFile(path, []byte("log: {level: loud}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runIn(t, nil, "check", "--connect", "--config", path, "--nats", n.URL("gateway")).want(t, 2, "log.level")
}
