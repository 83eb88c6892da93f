package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	runIn(t, nil, "--help").want(t, 0, "belfry demo", "serve", "publish", "listen", "subject", "epoch", "check", "version", "Exit codes")
	for _, name := range []string{"serve", "demo", "publish", "listen", "subject", "epoch rotate", "check", "version"} {
		r := runIn(t, nil, append(strings.Fields(name), "--help")...)
		r.want(t, 0, "Usage:", "Examples:", "belfry "+name)
		for line := range strings.Lines(r.out) {
			if len(line) > 121 {
				t.Errorf("%s --help has a line of %d bytes: %s", name, len(line), line)
			}
		}
	}
	runIn(t, nil, "serve", "--help").want(t, 0, `"belfry-data"`, `"127.0.0.1:6003"`, `"127.0.0.1:6004"`, `"127.0.0.1:4222"`)
}

// An example whose flags or arguments no longer exist is a mistake: here all of
// them, up to where they would do something.
func TestExamplesParse(t *testing.T) {
	for _, examples := range []string{serveExample, demoExample, publishExample, listenExample, subjectExample, rotateExample, checkExample} {
		for line := range strings.Lines(examples) {
			line = strings.ReplaceAll(strings.TrimSpace(line), "< token.txt", "")
			before, args, _ := strings.Cut(line, "belfry ")
			words := append(strings.Fields(args), "--help")
			if strings.ContainsAny(args, "'") {
				words = append(strings.Fields(strings.NewReplacer("'", "").Replace(args)), "--help")
			}
			if r := runIn(t, nil, words...); r.code != 0 {
				t.Errorf("%s%v: %s", before, words, r.err)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	runIn(t, nil, "version").want(t, 0, "belfry ", "commit ", "go "+runtime.Version(), "nats-server v2.")
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for _, c := range []struct {
		args  []string
		words string
	}{
		{[]string{"serv"}, `unknown command "serv"`},
		{[]string{"serve", "--publc", ":1"}, "unknown flag: --publc: did you mean --public?"},
		{[]string{"serve", "--intrenal", ":1"}, "did you mean --internal?"},
		{[]string{"listen", "--tokn=x"}, "did you mean --token?"},
		{[]string{"serve", "--nothing-like-it"}, "unknown flag: --nothing-like-it\nTry: "},
		{[]string{"serve", "now"}, `unexpected argument "now"`},
		{[]string{"publish", "1"}, "DATA is missing"},
		{[]string{"publish"}, "USER is missing"},
		{[]string{"publish", "", "x"}, "it is empty"},
		{[]string{"publish", "1", "x", "--timeout", "0s"}, "--timeout"},
		{[]string{"publish", "1", "x", "--channel", "c"}, "both USER \"1\" and --channel"},
		{[]string{"publish", "--channel", "c"}, "DATA is missing"},
		{[]string{"publish", "--channel", "a..b", "x"}, "--channel \"a..b\""},
		{[]string{"publish", "1", "x", "--ttl", "1500ms"}, "--ttl"},
		{[]string{"publish", "1", "x", "--ttl", "-1s"}, "--ttl"},
		{[]string{"publish", "1", "x", "--id", " a"}, "--id"},
		{[]string{"publish", "1", "x", "--timeout", "soon"}, "soon"},
		{[]string{"publish", "1", "x", "--nats", "localhost:4222"}, "nats://host:4222"},
		{[]string{"listen"}, "[user channel token]"},
		{[]string{"listen", "--token", ""}, "--token is empty"},
		{[]string{"listen", "--user", "1", "--token", "x"}, "token"},
		{[]string{"listen", "--token", "x", "--since", "all"}, "since"},
		{[]string{"listen", "--user", ""}, "USER"},
		{[]string{"listen", "--user", "1", "--since", "yesterday"}, "not a position"},
		{[]string{"listen", "--user", "1", "--since", "c-a-1"}, "another stream"},
		{[]string{"subject"}, "USER is missing"},
		{[]string{"subject", "1", "--channel", "c"}, "--channel"},
		{[]string{"epoch", "rotate", "all"}, "notifications or channels"},
		{[]string{"listen", "--token", "x", "--url", "http://a"}, "ws://"},
		{[]string{"check", "--config", ""}, "--config"},
		{[]string{"demo", "--public", ":6003"}, "other machines"},
	} {
		r := runIn(t, nil, c.args...)
		if r.code != exitMistake || !strings.Contains(r.err, c.words) {
			t.Errorf("%v: exit code %d, want 2 and %q in: %s", c.args, r.code, c.words, r.err)
		}
	}
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "my.yaml")
	text := "nats:\n  prefix: acme\n  user: me\n  password: geheim\ndrain: 1m\nlog: {level: loud}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"BELFRY_CONFIG=" + path}
	r := runIn(t, environ, "check", "--public", "nowhere")
	r.want(t, 2, "2 mistakes", "log.level (", "my.yaml:6) is \"loud\"", "write debug, info", "public.listen (--public) is \"nowhere\"")

	r = runIn(t, append(environ, "BELFRY_LOG_LEVEL=warn", "BELFRY_DRAIN=soon"), "check", "--drain=1s")
	r.want(t, 2, "unknown flag: --drain") // only the main options are flags
	r = runIn(t, append(environ, "BELFRY_LOG_LEVEL=warn", "BELFRY_DRAIN=soon"), "check")
	r.want(t, 2, "1 mistake\n", "drain (BELFRY_DRAIN)")

	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "loud", "debug")), 0o600); err != nil {
		t.Fatal(err)
	}
	r = runIn(t, append(environ, "BELFRY_LOG_LEVEL=warn"), "check", "--public", "127.0.0.1:1", "--public", "127.0.0.1:2", "--nats", "nats://127.0.0.1:4222", "--nats-listen", ":4222")
	r.want(t, 0, "configuration is valid", "127.0.0.1:2", "--public", "acme", "my.yaml:2", "BELFRY_LOG_LEVEL", "(secret)", "nats.listen (--nats-listen) has no effect")
	if strings.Contains(r.out+r.err, "geheim") || strings.Contains(r.out, "127.0.0.1:1 ") {
		t.Errorf("a secret, or the flag that lost: %s", r.out)
	}
}

func TestSubject(t *testing.T) {
	for want, args := range map[string][]string{
		"notification.42\n":          {"42"},
		"notification.=YS5iQGMuZA\n": {"a.b@c.d"},
		"acme.channel.chat:7.=IA\n":  {"--channel", "chat:7. ", "--prefix", "acme"},
		"notification.7\n":           {"--channel", "#7"},
	} {
		if r := runIn(t, nil, append([]string{"subject"}, args...)...); r.out != want || r.code != 0 {
			t.Errorf("%q: %q %s", args, r.out, r.err)
		}
	}
}

// What a user sees who forgot to start a gateway.
func TestClientsAlone(t *testing.T) {
	runIn(t, nil, "publish", "1", "hello").want(t, 1, filepath.Join("belfry-data", "addresses.json"), "belfry serve", "--data", "--nats")
	runIn(t, nil, "listen", "--token", "x").want(t, 1, "belfry serve", "--data", "--url")
	runIn(t, nil, "listen", "--user", "1").want(t, 1, "belfry serve", "--data", "--nats")
	runIn(t, nil, "epoch", "rotate", "--nats", "nats://127.0.0.1:1").want(t, 1, "127.0.0.1:1")
	runIn(t, nil, "publish", "--nats", "nats://127.0.0.1:1", "--timeout", "300ms", "1", "hello").want(t, 1, "127.0.0.1:1")
	runIn(t, nil, "listen", "--token", "x", "--url", "ws://127.0.0.1:1/").want(t, 1, "127.0.0.1:1")
	r := runIn(t, nil, "serve", "--config", "/nowhere/belfry.yaml")
	r.want(t, 2, "/nowhere/belfry.yaml", "no such file")
}

func TestDemoText(t *testing.T) {
	if got := shellWord("it's"); got != `'it'\''s'` {
		t.Errorf("quoted as %s", got)
	}
	if got := shellWord("./belfry"); got != "./belfry" {
		t.Errorf("quoted as %s", got)
	}
}
