package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"belfry/internal/ask"
)

func TestParseAccepts(t *testing.T) {
	long := strings.Repeat("x", 128)
	for _, tt := range []struct{ data, user string }{
		{`{"success":true,"user_id":1}`, "1"},
		{`{"success":true,"user_id":0}`, "0"},
		{`{"success":true,"user_id":-7}`, "-7"},
		{`{"success":true,"user_id":-0}`, "0"},
		{`{"success":true,"user_id":1.0}`, "1"},
		{`{"success":true,"user_id":1e2}`, "100"},
		{`{"success":true,"user_id":1.50E+1}`, "15"},
		{`{"success":true,"user_id":1200e-2}`, "12"},
		{`{"success":true,"user_id":0e999}`, "0"},
		{`{"success":true,"user_id":9007199254740992}`, "9007199254740992"},
		{`{"success":true,"user_id":9007199254740991}`, "9007199254740991"},
		{`{"success":true,"user_id":"1"}`, "1"},
		{`{"success":true,"user_id":"01"}`, "01"},
		{`{"success":true,"user_id":"a.b@c.d"}`, "a.b@c.d"},
		{`{"success":true,"user_id":"\u00fc"}`, "ü"},
		{`{"success":true,"user_id":"` + long + `"}`, long},
		{" {\n\"user_id\":1,\"success\":true}\r\n", "1"},
		{`{"success":false,"success":true,"user_id":1}`, "1"},
		{`{"success":true,"user_id":1,"Success":false,"anything":[{}]}`, "1"},
		{`{"success":true,"user_id":1,"channels":["orders","chat:7"],"info":{"a":1},"start":"cursor"}`, "1"},
		{`{"success":true,"user_id":1,"channels":[],"info":null}`, "1"},
	} {
		r, err := parse([]byte(tt.data))
		if err != nil || !r.success || r.user != tt.user {
			t.Errorf("%s: got %+v, %v; want user %q", tt.data, r, err, tt.user)
		}
	}
}

func TestParseRefusal(t *testing.T) {
	for _, data := range []string{
		`{"success":false}`,
		`{"success":false,"user_id":null}`,
		`{"success":false,"user_id":1.5,"expires_in":"x","message":"no"}`,
	} {
		if r, err := parse([]byte(data)); err != nil || r.success {
			t.Errorf("%s: got %+v, %v", data, r, err)
		}
	}
}

func TestParseRejects(t *testing.T) {
	ok := `{"success":true,"user_id":1,`
	for _, tt := range []struct{ data, err string }{
		{``, "not JSON"},
		{`yes`, "not JSON"},
		{"\ufeff" + `{"success":true,"user_id":1}`, "not JSON"},
		{`{"success":true,"user_id":1}{}`, "not JSON"},
		{"{\"success\":true,\"user_id\":\"\xff\"}", "not UTF-8"},
		{`{"success":false,"user_id":"` + strings.Repeat("x", ask.MaxReply) + `"}`, "at most 65536"},
		{`null`, "not a JSON object"},
		{`true`, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`"success"`, "not a JSON object"},
		{`{}`, "no success"},
		{`{"Success":true,"user_id":1}`, "no success"},
		{`{"stream":"ALL","seq":7}`, "a stream's ack"},
		{`{"success":1,"user_id":1}`, "success is neither"},
		{`{"success":"true","user_id":1}`, "success is neither"},
		{`{"success":null,"user_id":1}`, "success is neither"},
		{`{"success":true}`, "user_id: it is missing"},
		{`{"success":true,"USER_ID":1}`, "user_id: it is missing"},
		{`{"success":true,"user_id":null}`, "neither a string nor an integer"},
		{`{"success":true,"user_id":true}`, "neither a string nor an integer"},
		{`{"success":true,"user_id":[1]}`, "neither a string nor an integer"},
		{`{"success":true,"user_id":{}}`, "neither a string nor an integer"},
		{`{"success":true,"user_id":""}`, "empty"},
		{`{"success":true,"user_id":"` + strings.Repeat("x", 129) + `"}`, "at most 128"},
		{`{"success":true,"user_id":"` + strings.Repeat("@", 96) + `"}`, "at most 128"},
		{`{"success":true,"user_id":"\ud800"}`, "a character that is none"},
		{`{"success":true,"user_id":1.5}`, "not an integer"},
		{`{"success":true,"user_id":15e-1}`, "not an integer"},
		{`{"success":true,"user_id":1e-400}`, "not an integer"},
		{`{"success":true,"user_id":9007199254740991.4}`, "not an integer"},
		{`{"success":true,"user_id":9007199254740993}`, "beyond 2^53"},
		{`{"success":true,"user_id":9007199254740993.0}`, "beyond 2^53"},
		{`{"success":true,"user_id":-9007199254740993}`, "beyond 2^53"},
		{`{"success":true,"user_id":1e16}`, "beyond 2^53"},
		{`{"success":true,"user_id":1e999999999}`, "beyond 2^53"},
		{`{"success":true,"user_id":1e99999999999999999999}`, "beyond 2^53"},
		{ok + `"expires_in":0}`, "expires_in is not above 0"},
		{ok + `"expires_in":-1}`, "expires_in is below 0"},
		{ok + `"expires_in":"60"}`, "expires_in is not a number"},
		{ok + `"expires_in":null}`, "expires_in is not a number"},
		{ok + `"expires_in":true}`, "expires_in is not a number"},
		{ok + `"cache_for":"60"}`, "cache_for is not a number"},
		{ok + `"cache_for":-1}`, "cache_for is below 0"},
		{ok + `"channels":"orders"}`, "channels is not"},
		{ok + `"channels":[1]}`, "channels is not"},
		{ok + `"channels":[null]}`, "channels is not"},
		{ok + `"channels":null}`, "channels is not"},
		{ok + `"channels":["a",""]}`, "channels: item 2"},
		{ok + `"channels":["a..b"]}`, "channels: item 1"},
		{ok + `"channels":["#"]}`, "channels: item 1"},
		{ok + `"channels":["\ud800"]}`, "a character that is none"},
		{ok + `"channels":["orders.*"]}`, "a pattern"},
		{ok + `"channels":["orders.>"]}`, "a pattern"},
		{ok + `"channels":["` + strings.Repeat("x", 129) + `"]}`, "at most 128"},
		{ok + `"start":null}`, "start is not"},
		{ok + `"start":"later"}`, "start is not"},
		{ok + `"start":0}`, "start is not"},
	} {
		_, err := parse([]byte(tt.data))
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%.80s: got error %v, want one with %q", tt.data, err, tt.err)
		}
	}
}

func TestParseTimes(t *testing.T) {
	for _, tt := range []struct {
		number string
		want   time.Duration
	}{
		{"60", time.Minute},
		{"0.5", 500 * time.Millisecond},
		{"1e3", 1000 * time.Second},
		{"1e300", 100 * 365 * 24 * time.Hour},
	} {
		r, err := parse(fmt.Appendf(nil, `{"success":true,"user_id":1,"expires_in":%s,"cache_for":%s}`, tt.number, tt.number))
		if err != nil || r.expiresIn != tt.want || r.cacheFor != tt.want {
			t.Errorf("%s: got %+v, %v; want %v", tt.number, r, err, tt.want)
		}
	}
	if r, err := parse([]byte(`{"success":true,"user_id":1,"cache_for":0}`)); err != nil || r.cacheFor != 0 {
		t.Errorf("cache_for 0: got %+v, %v", r, err)
	}
}

func TestChannelsAndStart(t *testing.T) {
	for _, tt := range []struct {
		extras   string
		channels []string
		start    string
	}{
		{``, nil, ""},
		{`,"channels":[]`, nil, ""},
		{`,"channels":["orders.eu","#43","chat:7","orders.eu","a b"],"start":"all"`, []string{"#43", "a b", "chat:7", "orders.eu"}, "all"},
		{`,"start":"now"`, nil, "now"},
		{`,"start":"cursor"`, nil, "cursor"},
	} {
		data := []byte(`{"success":true,"user_id":1` + tt.extras + `}`)
		r, err := parse(data)
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		id := r.result(data, time.Now()).Identity
		if !slices.Equal(id.Channels, tt.channels) || (id.Channels == nil) != (tt.channels == nil) || id.Start != tt.start {
			t.Errorf("%s: got %+v", data, id)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"success":true,"user_id":1e2,"expires_in":60}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := parse(data); err == nil && r.success && r.user == "" {
			t.Errorf("accepted nobody: %q", data)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := []byte(`{"success":true,"user_id":1}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
