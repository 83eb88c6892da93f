package eventsource

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"belfry/internal/config"
)

func TestParse(t *testing.T) {
	withCookie := config.Public{Cookie: "session", Origins: []string{"https://shop.example"}}
	for name, tt := range map[string]struct {
		url     string
		headers map[string]string
		public  config.Public
		want    request
	}{
		"nothing":              {"/events", nil, config.Public{}, request{}},
		"token with +":         {"/events?token=57uiWCKp/44wImihy0C9+g==", nil, config.Public{}, request{token: []byte("57uiWCKp/44wImihy0C9+g==")}},
		"token escaped":        {"/events?a=b&token=57uiWCKp%2F44wImihy0C9%2Bg%3D%3D", nil, config.Public{}, request{token: []byte("57uiWCKp/44wImihy0C9+g==")}},
		"the first token":      {"/events?token=a&token=b", nil, config.Public{}, request{token: []byte("a")}},
		"bearer":               {"/events", map[string]string{"Authorization": "bearer  x+y "}, config.Public{}, request{token: []byte("x+y")}},
		"query before bearer":  {"/events?token=q", map[string]string{"Authorization": "Bearer h"}, config.Public{}, request{token: []byte("q")}},
		"an empty one is none": {"/events?token=", map[string]string{"Authorization": "Bearer h"}, config.Public{}, request{token: []byte("h")}},
		"basic is no token":    {"/events", map[string]string{"Authorization": "Basic eDp5"}, config.Public{}, request{}},
		"cookie": {"/events", map[string]string{"Cookie": "a=b; session=s%2B1+", "Origin": "https://shop.example"}, withCookie,
			request{token: []byte("s+1+")}},
		"cookie, same origin": {"/events", map[string]string{"Cookie": "session=100%", "Sec-Fetch-Site": "same-origin"}, withCookie,
			request{token: []byte("100%")}},
		"cookie, another site's image": {"/events", map[string]string{"Cookie": "session=s", "Sec-Fetch-Site": "cross-site"}, withCookie, request{}},
		"cookie, who knows":            {"/events", map[string]string{"Cookie": "session=s"}, withCookie, request{}},
		"cookie without origins": {"/events", map[string]string{"Cookie": "session=s", "Origin": "https://shop.example"},
			config.Public{Cookie: "session"}, request{}},
		"bearer before cookie": {"/events", map[string]string{"Cookie": "session=s", "Origin": "https://shop.example", "Authorization": "Bearer h"},
			withCookie, request{token: []byte("h")}},

		"since":                {"/events?since=n-e-1&start=all", nil, config.Public{}, request{position: "n-e-1", start: "all"}},
		"last id before since": {"/events?since=n-e-1", map[string]string{"Last-Event-ID": "n-e-2"}, config.Public{}, request{position: "n-e-2"}},
		"an empty since":       {"/events?since=", map[string]string{"Last-Event-ID": ""}, config.Public{}, request{}},
		"an unreadable since":  {"/events?since=%zz+", nil, config.Public{}, request{position: "%zz+"}},
		"channels":             {"/events?channels=news,chat:7,orders.eu,news", nil, config.Public{}, request{channels: []string{"news", "chat:7", "orders.eu"}}},
		"channels of a form":   {"/events?channels=a+b%2C%C3%A4,%2343", nil, config.Public{}, request{channels: []string{"a b", "ä", "#43"}}},
		"device":               {"/events?device=tab_1-A&start=cursor", nil, config.Public{}, request{device: "tab_1-A", start: "cursor"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.url, nil)
			for key, value := range tt.headers {
				r.Header.Set(key, value)
			}
			got, err := parse(r, tt.public)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.token) == 0 {
				got.token = nil
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	many := strings.Repeat("x", maxChannels)
	for query, want := range map[string]string{
		"token=50%&x=1":                 "token is not escaped",
		"start=never":                   "start is cursor, now or all",
		"device=a.b":                    "device is 1 to 64",
		"device=a;b":                    "device is 1 to 64",
		"device=50%":                    "device is 1 to 64",
		"device=" + many:                "device is 1 to 64",
		"channels=a,,b":                 `channels has ""`,
		"channels=a..b":                 `channels has "a..b"`,
		"channels=a%ff":                 `channels has "a\xff"`,
		"channels=%23":                  `channels has "#"`,
		"channels=" + hundredAndOne():   "more than 100 names",
		"channels=" + many + many:       "channels has",
		"token=a&channels=x&device=%0a": "device is 1 to 64",
	} {
		_, err := parse(httptest.NewRequest("GET", "/events?"+query, nil), config.Public{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", query, err, want)
		}
	}
}

func hundredAndOne() string {
	var names []string
	for i := range maxChannels + 1 {
		names = append(names, "c"+strings.Repeat("x", i))
	}
	return strings.Join(names, ",")
}
