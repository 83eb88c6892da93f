package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// errNotJSON is answered 400.
var errNotJSON = errors.New("the body is not JSON")

// An object is a request: a JSON object with its values as they were written,
// and its keys too, where encoding/json would let "Data" pass for "data" in a
// struct. A key that comes twice counts as it came last.
type object map[string]json.RawMessage

func parse(body []byte) (object, error) {
	if !utf8.Valid(body) { // encoding/json would let it pass
		return nil, fmt.Errorf("%w: it is not UTF-8", errNotJSON)
	}
	if !json.Valid(body) {
		return nil, errNotJSON
	}
	var o object
	if json.Unmarshal(body, &o) != nil || o == nil {
		return nil, failed(BadRequest, "the request is not a JSON object")
	}
	return o, nil
}

// has tells whether a key is there; null counts as if it were not, but as data.
func (o object) has(key string) bool {
	raw, given := o[key]
	return given && string(raw) != "null"
}

// text reads a string, "" where there is none.
func (o object) text(key string) (string, error) {
	if !o.has(key) {
		return "", nil
	}
	var s string
	if json.Unmarshal(o[key], &s) != nil {
		return "", failed(BadRequest, "%s is not a string", key)
	}
	return s, nil
}

// maxInteger is up to where every language's numbers tell two integers apart.
const maxInteger = 1 << 53

// id reads a user id as authentication takes it: a string, or an integer, which
// stands for its digits.
func (o object) id(key string) (string, error) {
	if raw := o[key]; len(raw) > 0 && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || n > maxInteger || n < -maxInteger {
			return "", failed(BadRequest, "%s is a number, but not an integer up to 2^53: write it as a string", key)
		}
		return strconv.FormatInt(n, 10), nil
	}
	return o.text(key)
}

// maxSeconds is a hundred years.
const maxSeconds = 100 * 365 * 24 * 3600

// seconds reads whole seconds, at least 1; 0 where there are none.
func (o object) seconds(key string) (time.Duration, error) {
	if !o.has(key) {
		return 0, nil
	}
	var n float64
	if json.Unmarshal(o[key], &n) != nil || n != math.Trunc(n) || n < 1 || n > maxSeconds {
		return 0, failed(BadRequest, "%s is not a number of whole seconds from 1 to %d", key, maxSeconds)
	}
	return time.Duration(n) * time.Second, nil
}
