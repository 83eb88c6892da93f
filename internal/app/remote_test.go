package app

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestClientOf(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, tt := range map[string]struct {
		peer   string
		header []string
		want   string
	}{
		"no proxy":                          {"192.0.2.1:9", nil, "192.0.2.1"},
		"IPv4 in IPv6":                      {"[::ffff:192.0.2.1]:9", nil, "192.0.2.1"},
		"a header from who is no proxy":     {"192.0.2.1:9", []string{"X-Forwarded-For", "198.51.100.7"}, "192.0.2.1"},
		"a proxy":                           {"10.1.1.1:9", []string{"X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"a proxy on IPv6":                   {"[::1]:9", []string{"X-Forwarded-For", "2001:db8::7"}, "2001:db8::7"},
		"a proxy that says nothing":         {"10.1.1.1:9", nil, "10.1.1.1"},
		"made up by the client":             {"10.1.1.1:9", []string{"X-Forwarded-For", "1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		"two proxies":                       {"10.1.1.1:9", []string{"X-Forwarded-For", "1.1.1.1, 198.51.100.7, 10.2.2.2"}, "198.51.100.7"},
		"two headers":                       {"10.1.1.1:9", []string{"X-Forwarded-For", "1.1.1.1, 198.51.100.7", "X-Forwarded-For", "10.2.2.2"}, "198.51.100.7"},
		"only proxies":                      {"10.1.1.1:9", []string{"X-Forwarded-For", "10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		"with ports":                        {"10.1.1.1:9", []string{"X-Forwarded-For", "198.51.100.7:1234, 10.2.2.2:80"}, "198.51.100.7"},
		"nonsense":                          {"10.1.1.1:9", []string{"X-Forwarded-For", "198.51.100.7, unknown, 10.2.2.2"}, "10.2.2.2"},
		"empty":                             {"10.1.1.1:9", []string{"X-Forwarded-For", ""}, "10.1.1.1"},
		"Forwarded":                         {"10.1.1.1:9", []string{"Forwarded", `for=198.51.100.7;proto=https`}, "198.51.100.7"},
		"Forwarded, IPv6 and port":          {"10.1.1.1:9", []string{"Forwarded", `proto=https; For="[2001:db8::7]:4711"`}, "2001:db8::7"},
		"Forwarded, IPv6":                   {"10.1.1.1:9", []string{"Forwarded", `for="[2001:db8::7]"`}, "2001:db8::7"},
		"Forwarded, two proxies":            {"10.1.1.1:9", []string{"Forwarded", `for=1.1.1.1, for=198.51.100.7`, "Forwarded", "for=10.2.2.2"}, "198.51.100.7"},
		"Forwarded, hidden":                 {"10.1.1.1:9", []string{"Forwarded", `for=198.51.100.7, for=_hidden`}, "10.1.1.1"},
		"Forwarded, a quote left open":      {"10.1.1.1:9", []string{"Forwarded", `for="1.1.1.1, for=198.51.100.7`}, "198.51.100.7"},
		"both: X-Forwarded-For counts":      {"10.1.1.1:9", []string{"Forwarded", `for=1.1.1.1`, "X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"a zone is not for anybody else":    {"[fe80::1%eth0]:9", nil, "fe80::1"},
		"a socket that has no address":      {"@", nil, "invalid IP"},
		"a header that is not the client's": {"10.1.1.1:9", []string{"X-Real-Ip", "198.51.100.7"}, "10.1.1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.peer
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Add(tt.header[i], tt.header[i+1])
			}
			if got := clientOf(r, proxies).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
