package api

import (
	_ "embed"
	"net/http"
)

// openapi describes the API to people and tools. A test holds requests and
// answers against it.
//
//go:embed openapi.json
var openapi []byte

func document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapi)
}
