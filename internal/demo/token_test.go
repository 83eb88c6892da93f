package demo

import (
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"belfry/internal/web"
)

// The tokens of the original's example.
var known = map[string]string{
	"1": "57uiWCKp/44wImihy0C9+g==",
	"2": "Hm5tYwbyoSM71Ns7A43ujQ==",
}

func TestTheOriginalsTokens(t *testing.T) {
	for user, token := range known {
		got, err := userOf([]byte(token))
		if err != nil || string(got) != user {
			t.Errorf("userOf(%s) = %s, %v; want user %s", token, got, err, user)
		}
		if made := Token(json.RawMessage(user)); made != token {
			t.Errorf("Token(%s) = %s, want %s", user, made, token)
		}
	}
}

func TestThePageHasTheOriginalsTokens(t *testing.T) {
	w := httptest.NewRecorder()
	web.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/demo/app.js", nil))
	for user, token := range known {
		if !strings.Contains(w.Body.String(), `{ id: "`+user+`", token: "`+token+`" }`) {
			t.Errorf("the page's script lacks user %s with token %s", user, token)
		}
	}
}

func TestOtherUsersHaveTokensToo(t *testing.T) {
	for _, user := range []string{"0", "7", "-3", "900000000000000", `"anna"`, `"a.b@c.d"`, `"` + strings.Repeat("u", 100) + `"`} {
		got, err := userOf([]byte(Token(json.RawMessage(user))))
		if err != nil || string(got) != user {
			t.Errorf("user %s came back as %s, %v", user, got, err)
		}
	}
}

func TestWhatIsNoToken(t *testing.T) {
	valid := Token(json.RawMessage("1"))
	flipped := []byte(valid)
	flipped[3]++
	for name, token := range map[string]string{
		"empty":                 "",
		"words":                 "let me in",
		"not base64":            "%%%%",
		"half a block":          base64.StdEncoding.EncodeToString([]byte("12345678")),
		"another key's block":   base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")),
		"one character changed": string(flipped),
		"url-safe base64":       strings.ReplaceAll(valid, "/", "_"),
		"too long":              strings.Repeat("A", maxToken+4),
		"null":                  Token(json.RawMessage("null")),
		"true":                  Token(json.RawMessage("true")),
		"a fraction":            Token(json.RawMessage("1.5")),
		"an empty string":       Token(json.RawMessage(`""`)),
		"a list":                Token(json.RawMessage("[1]")),
		"no JSON":               Token(json.RawMessage("}")),
	} {
		if user, err := userOf([]byte(token)); err == nil {
			t.Errorf("%s: taken for user %s", name, user)
		}
	}
}

func FuzzUserOf(f *testing.F) {
	for _, token := range known {
		f.Add([]byte(token))
	}
	f.Add([]byte("AAAA"))
	f.Fuzz(func(t *testing.T, token []byte) {
		if user, err := userOf(token); err == nil && !json.Valid(user) {
			t.Errorf("userOf(%q) is %q, which is no JSON", token, user)
		}
	})
}
