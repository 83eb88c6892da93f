package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "my.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load must fail, and returns what it said.
func mistakes(t *testing.T, path string, environ []string, flags map[string]string) Problems {
	t.Helper()
	_, err := Load(path, environ, flags)
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("the error is %v, want Problems", err)
	}
	return ps
}

// expect looks for a problem with this key that says this, remedy included.
func expect(t *testing.T, ps Problems, key, says string) {
	t.Helper()
	for _, p := range ps {
		if p.Key == key && strings.Contains(p.String(), says) {
			if p.What == "" || p.Remedy == "" || p.Source == "" {
				t.Errorf("%q has an empty part: %#v", p, p)
			}
			return
		}
	}
	t.Errorf("no problem with %s says %q; there are:\n%v", key, says, ps)
}

func TestPrecedence(t *testing.T) {
	path := writeFile(t, "nats:\n  prefix: file\nauth: {timeout: 1s, concurrent: 7}\ndrain: 1m\n")
	environ := []string{"HOME=/", "BELFRY_NATS_PREFIX=env", "BELFRY_AUTH_TIMEOUT=2s", "BELFRY_PUBLIC_ORIGINS=https://a.example, https://b.example"}
	got, err := Load(path, environ, map[string]string{"nats.prefix": "flag", "public.listen": "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	o := got.Options
	if o.NATS.Prefix != "flag" || o.Auth.Timeout != 2*time.Second || o.Auth.Concurrent != 7 || o.Drain != time.Minute || o.DrainDelay != Default().DrainDelay {
		t.Errorf("wrong layers: %+v", o)
	}
	if want := []string{"https://a.example", "https://b.example"}; !slices.Equal(o.Public.Origins, want) {
		t.Errorf("origins are %v, want %v", o.Public.Origins, want)
	}
	for key, want := range map[string]string{
		"nats.prefix": "--prefix", "public.listen": "--public", "auth.timeout": "BELFRY_AUTH_TIMEOUT", "auth.concurrent": path + ":3", "drain": path + ":4", "log.level": "",
	} {
		if got := got.Sources[key]; got != want {
			t.Errorf("%s comes from %q, want %q", key, got, want)
		}
	}
}

func TestFileFromEnvironment(t *testing.T) {
	path := writeFile(t, "drain: 1m\n")
	got, err := Load("", []string{"BELFRY_CONFIG=" + path}, nil)
	if err != nil || got.Options.Drain != time.Minute {
		t.Errorf("drain is %v, %v, want 1m", got.Options.Drain, err)
	}
	other := writeFile(t, "drain: 2m\n")
	got, err = Load(other, []string{"BELFRY_CONFIG=" + path}, nil)
	if err != nil || got.Options.Drain != 2*time.Minute {
		t.Errorf("drain is %v, %v, want 2m of the file named by --config", got.Options.Drain, err)
	}
	expect(t, mistakes(t, "", []string{"BELFRY_CONFIG=" + path + "x"}, nil), "config", "no such file")
}

func TestDefaultsAreValid(t *testing.T) {
	got, err := Load("", nil, nil)
	if err != nil || len(got.Warnings) > 0 {
		t.Errorf("%v, warnings %v", err, got.Warnings)
	}
}

func TestUnknownKeys(t *testing.T) {
	path := writeFile(t, "nats:\n  prefx: a\nlog: debug\ndata:\n  dir: x\nqwertyuiop: 1\nstream:\nlimits: {}\n")
	ps := mistakes(t, path, []string{"BELFRY_NATS_PREFX=a", "BELFRY_QWERTYUIOP=1"}, nil)
	expect(t, ps, "nats.prefx", ":2) is no key of this version: did you mean nats.prefix?")
	expect(t, ps, "log", "group of keys")
	expect(t, ps, "data.dir", "data takes a value")
	expect(t, ps, "qwertyuiop", "belfry.yaml has every key")
	expect(t, ps, "BELFRY_NATS_PREFX", "did you mean BELFRY_NATS_PREFIX?")
	expect(t, ps, "BELFRY_QWERTYUIOP", "belfry.yaml has every key")
	if len(ps) != 6 {
		t.Errorf("%d problems, want 6: %v", len(ps), ps)
	}
}

// Quotes around a bare port would not make an address of it.
func TestBarePortInFile(t *testing.T) {
	ps := mistakes(t, writeFile(t, "public:\n  listen: 6003\n"), nil, nil)
	expect(t, ps, "public.listen", "write it as 127.0.0.1:6003, or as :6003 for every address")
	if len(ps) != 1 {
		t.Errorf("%d problems, want 1: %v", len(ps), ps)
	}
}

// A service named belfry in Kubernetes must not keep Belfry from starting.
func TestVariablesOfKubernetes(t *testing.T) {
	environ := []string{
		"BELFRY_SERVICE_HOST=10.0.0.1", "BELFRY_SERVICE_PORT=6003", "BELFRY_SERVICE_PORT_PUBLIC=6003", "BELFRY_PORT=tcp://10.0.0.1:6003",
		"BELFRY_PORT_6003_TCP=tcp://10.0.0.1:6003", "BELFRY_PORT_6003_TCP_ADDR=10.0.0.1", "BELFRY_NATS_PORT=tcp://10.0.0.2:4222", "BELFRY_NATS_SERVICE_HOST=10.0.0.2",
	}
	if _, err := Load("", environ, nil); err != nil {
		t.Error(err)
	}
	expect(t, mistakes(t, "", []string{"BELFRY_PUBLIC_PORT=6003"}, nil), "BELFRY_PUBLIC_PORT", "no variable")
}

func TestBrokenFiles(t *testing.T) {
	for text, says := range map[string]string{
		"nats: [":                         "not YAML",
		"- a\n- b\n":                      "not YAML",
		"drain: 1s\ndrain: 2s\n":          "already defined",
		"drain: 1s\n---\ndrain: 2s\n":     "more than one",
		"nats: {prefix: a}\nnats.user: b": "",
		"nats.user: b\nnats: {user: a}":   "nats.user on line 1 and on line 2",
	} {
		_, err := Load(writeFile(t, text), nil, map[string]string{"nats.password": "x"})
		if says == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", text, err, says)
		}
	}
	expect(t, mistakes(t, t.TempDir(), nil, nil), "config", "is a directory")
	if _, err := Load(writeFile(t, "# nothing\n"), nil, nil); err != nil {
		t.Errorf("a file of comments: %v", err)
	}
}

// Nothing is said about api.key when the file that may have it can't be read.
func TestNoGuessesBehindABrokenFile(t *testing.T) {
	ps := mistakes(t, "/nowhere/belfry.yaml", []string{"BELFRY_INTERNAL_LISTEN=:6004", "BELFRY_DRAIN=soon"}, nil)
	expect(t, ps, "config", "no such file")
	expect(t, ps, "drain", "BELFRY_DRAIN")
	if len(ps) != 2 {
		t.Errorf("%d problems, want 2: %v", len(ps), ps)
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	path := writeFile(t, "public:\n  listen: nowhere\nauth:\n  timeout: 4\nnats:\n  prefix: ACME\nlog:\n  level: loud\n")
	ps := mistakes(t, path, []string{"BELFRY_STREAM_REPLICAS=2"}, map[string]string{"data": ""})
	expect(t, ps, "public.listen", path+":2")
	expect(t, ps, "auth.timeout", "4s")
	expect(t, ps, "nats.prefix", "ACME")
	expect(t, ps, "log.level", "loud")
	expect(t, ps, "stream.replicas", "BELFRY_STREAM_REPLICAS")
	expect(t, ps, "data", "--data")
	if len(ps) != 6 || strings.Count(ps.Error(), "\n") != 5 {
		t.Errorf("%d problems, want 6, a line each:\n%v", len(ps), ps)
	}
	if about := ps.About("nats", "data"); len(about) != 2 {
		t.Errorf("about nats and data: %v", about)
	}
}

func TestChanged(t *testing.T) {
	a, b := Default(), Default()
	b.Public.Origins = []string{}
	b.TrustedProxies = nil
	if reload, restart := Changed(a, b); len(reload)+len(restart) > 0 {
		t.Errorf("an empty list differs from none: %v %v", reload, restart)
	}
	b.Auth.Timeout, b.NATS.Password, b.API.Key, b.Durable = time.Second, "x", "y", false
	reload, restart := Changed(a, b)
	if !slices.Equal(reload, []string{"auth.timeout", "api.key"}) || !slices.Equal(restart, []string{"nats.password", "durable"}) {
		t.Errorf("changed %v, restart %v", reload, restart)
	}
}
