package main

import (
	"os"
	"path/filepath"
	"testing"

	"belfry/internal/app"
)

// What verify is told wrongly is a mistake, and nothing is started.
func TestVerifyMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("no tab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"topology":         {[]string{"--topology", "r2"}, exitMistake},
		"gateway":          {[]string{"--nats", "nats://127.0.0.1:1", "--gateway", "127.0.0.1:6003"}, exitMistake},
		"no nats-server":   {[]string{"--topology", "r3", "--nats-server", "/nowhere/nats-server"}, exitMistake},
		"tokens, but ours": {[]string{"--tokens", tokens}, exitMistake},
		"tokens":           {[]string{"--tokens", tokens, "--nats", "nats://127.0.0.1:1", "--gateway", "http://127.0.0.1:1"}, exitFailed},
		"duration":         {[]string{"--duration", "0s"}, exitFailed},
		"argument":         {[]string{"now"}, exitMistake},
	} {
		if got := run(append([]string{"verify"}, c.args...)); got != c.code {
			t.Errorf("%s: exit code %d, want %d", name, got, c.code)
		}
	}
}

func TestTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("secret one\t1\nsecret two\t2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := app.VerifyTokens(path); err != nil || len(got) != 2 || got["2"] != "secret two" {
		t.Errorf("read %v, %v", got, err)
	}
}
