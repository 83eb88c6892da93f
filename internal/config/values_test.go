package config

import (
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"4s": 4 * time.Second, "30d": 30 * day, "1d12h": 36 * time.Hour, "0s": 0, "0": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute,
	} {
		got, err := parseDuration(s)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", s, got, err, want)
		}
		if back, err := parseDuration(formatDuration(got)); err != nil || back != got {
			t.Errorf("%v is written %q and read as %v, %v", got, formatDuration(got), back, err)
		}
	}
	for _, s := range []string{"", "4", "d", "-1s", "-1d", "1d-2h", "1.5d", "999999999d", "106751d24h", "1w", "4 s", "1d1d"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
	if got := formatDuration(2 * time.Minute); got != "2m" {
		t.Errorf("2 minutes are written %q", got)
	}
	if got := formatDuration(time.Hour + 20*time.Second); got != "1h0m20s" {
		t.Errorf("1h20s is written %q", got)
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"1GiB": 1 << 30, "64 MiB": 64 << 20, "4096": 4096, "500MB": 500e6, "1kib": 1024, "7B": 7, "0": 0,
	} {
		got, err := parseSize(s)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", s, got, err, want)
		}
		if back, err := parseSize(formatSize(got)); err != nil || back != got {
			t.Errorf("%v is written %q and read as %v, %v", got, formatSize(got), back, err)
		}
	}
	for _, s := range []string{"", "GiB", "-1", "1.5GiB", "9000000TiB", "1 PB", "1e6"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

// Every key can be set as text, and what Text writes is read back the same.
func TestEveryKeyFromText(t *testing.T) {
	values := map[string]string{
		"nats.sync_interval": "always", "stream.replicas": "3", "limits.connections": "auto", "trusted_proxies": "10.0.0.0/8,192.0.2.1/32",
		"public.origins": "https://a.example,https://*.b.example:8443", "nats.url": "nats://a:4222,tls://b:4222", "channels.public": "news,orders.*",
	}
	for _, k := range Keys() {
		value, given := values[k.Name]
		if !given {
			value = k.plain(Default())
		}
		var o Options
		if w := k.set(&o, value); w != nil {
			t.Errorf("%s = %q %s: %s", k.Name, value, w.what, w.remedy)
		} else if got := k.plain(o); got != value {
			t.Errorf("%s = %q is written %q", k.Name, value, got)
		}
	}
}

func TestWrongTypes(t *testing.T) {
	for _, c := range []struct {
		key  string
		raw  any
		want string
	}{
		{"nats.prefix", 12, "quotes"},
		{"durable", "yes", "true or false"},
		{"auth.concurrent", 1.5, "whole number"},
		{"auth.concurrent", "auto", "whole number"},
		{"stream.replicas", "many", "whole number or auto"},
		{"stream.max_bytes", "much", "not a size"},
		{"auth.timeout", 4, "4s"},
		{"auth.timeout", "soon", "not a duration"},
		{"nats.sync_interval", "0s", "always"},
		{"public.origins", []any{"https://a.example", 3}, "item 2"},
		{"public.origins", true, "not a list"},
		{"trusted_proxies", "10.0.0.0/33", "no network"},
		{"trusted_proxies", "10.1.2.3/8", "10.0.0.0/8"},
		{"data", nil, "no value"},
		{"data", map[string]any{"a": 1}, "not a text"},
	} {
		k, _ := Lookup(c.key)
		o := Default()
		w := k.set(&o, c.raw)
		if w == nil {
			t.Errorf("%s takes %v", c.key, c.raw)
		} else if s := w.what + ": " + w.remedy; !strings.Contains(s, c.want) {
			t.Errorf("%s = %v: %q does not say %q", c.key, c.raw, s, c.want)
		}
	}
}

func TestTextHidesSecrets(t *testing.T) {
	o := Default()
	o.API.Key, o.NATS.Password = "geheim", "geheim"
	o.NATS.URL = []string{"nats://me:geheim@a:4222", "nats://geheim@b:4222", "me:geh@eim@c"}
	for _, k := range Keys() {
		if strings.Contains(k.Text(o), "geh") {
			t.Errorf("%s is shown as %q", k.Name, k.Text(o))
		}
	}
}
