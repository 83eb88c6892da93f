package verify

import (
	"bytes"
	"hash/fnv"
	"strings"
)

// payload is what is published under an id. It follows from the id alone, so
// that who gets it can tell that it is whole: JSON, a text of two lines, or
// bytes that are no UTF-8, now and then a large one.
func payload(id string) []byte {
	h := fnv.New64a()
	h.Write([]byte(id))
	n := h.Sum64()
	size := int(n >> 8 % 200)
	if n>>20%100 == 0 {
		size = 8<<10 + int(n>>30%(16<<10))
	}
	fill := strings.Repeat("x", size)
	switch n % 10 {
	case 0:
		return []byte("\xff" + id + "\x00" + fill)
	case 1:
		return []byte("id " + id + "\n" + fill)
	}
	return []byte(`{"id":"` + id + `","fill":"` + fill + `"}`)
}

// idOf is the id of a payload, or what is wrong with it.
func idOf(data []byte) string {
	for begin, end := range map[string]string{"\xff": "\x00", "id ": "\n", `{"id":"`: `"`} {
		rest, ok := bytes.CutPrefix(data, []byte(begin))
		if !ok {
			continue
		}
		id, _, ok := bytes.Cut(rest, []byte(end))
		if ok && bytes.Equal(payload(string(id)), data) {
			return string(id)
		}
	}
	return "a payload that nobody published: " + string(data[:min(len(data), 64)])
}
