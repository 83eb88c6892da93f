package api

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"belfry/internal/access"
)

// A description is openapi.json as tests look things up in it.
type description struct {
	t        testing.TB
	document any
	schemas  *jsonschema.Compiler
}

const documentName = "openapi.json"

func describe(t testing.TB) *description {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapi))
	if err != nil {
		t.Fatalf("reading %s: %v", documentName, err)
	}
	c := jsonschema.NewCompiler() // for 2020-12, which is OpenAPI 3.1's
	if err := c.AddResource(documentName, document); err != nil {
		t.Fatal(err)
	}
	return &description{t, document, c}
}

// at finds what stands at a place in the document, over references, and the
// place without them; nil where there is nothing.
func (d *description) at(place ...string) (found any, real []string) {
	found = d.document
	for i, name := range place {
		found = child(found, name)
		real = append(real, name)
		if ref, ok := child(found, "$ref").(string); ok {
			target := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
			return d.at(append(target, place[i+1:]...)...)
		}
	}
	return found, real
}

func child(of any, name string) any {
	switch of := of.(type) {
	case map[string]any:
		return of[name]
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i < len(of) {
			return of[i]
		}
	}
	return nil
}

// schema is the one that stands at a place.
func (d *description) schema(place ...string) (*jsonschema.Schema, error) {
	found, real := d.at(place...)
	if found == nil {
		return nil, fmt.Errorf("%s has no %q", documentName, place)
	}
	url := documentName + "#"
	for _, name := range real {
		url += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return d.schemas.Compile(url)
}

// check holds a value against the schema that stands at a place.
func (d *description) check(body []byte, place ...string) error {
	schema, err := d.schema(place...)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// answer holds an answer against the document: its status, its kind, and what
// it says where that is JSON.
func (d *description) answer(method, path string, answer *http.Response, body []byte) error {
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	place := []string{"paths", path, strings.ToLower(method), "responses", strconv.Itoa(answer.StatusCode), "content", kind, "schema"}
	if kind != "application/json" {
		body = strconv.AppendQuote(nil, "text")
	}
	return d.check(body, place...)
}

func (d *description) request(body string) error {
	return d.check([]byte(body), "paths", "/api/publish", "post", "requestBody", "content", "application/json", "schema")
}

// described holds an answer against the document, and the request too: one that
// was done has to be described, one that was answered 107 must not be.
func described(t *testing.T, sent string, answer *http.Response, body []byte) {
	t.Helper()
	d := describe(t)
	if err := d.answer(answer.Request.Method, answer.Request.URL.Path, answer, body); err != nil {
		t.Errorf("the document does not describe the answer %s %.200s: %v", answer.Status, body, err)
	}
	if answer.StatusCode != http.StatusOK {
		return
	}
	// What a schema can't say is in words there.
	inWords := bytes.Contains(body, []byte("idempotency_key: ")) && !bytes.Contains(body, []byte("257 bytes"))
	bad := bytes.Contains(body, []byte(`"code":107`)) && !bytes.Contains(body, []byte("ttl must be"))
	switch err := d.request(sent); {
	case !bad && err != nil:
		t.Errorf("the document does not describe the request %.200s: %v", sent, err)
	case bad && err == nil && !inWords:
		t.Errorf("the document describes a bad request: %.200s", sent)
	}
}

// A check that lets everything pass would say nothing.
func TestTheDocumentTellsAnswersApart(t *testing.T) {
	d := describe(t)
	for body, right := range map[string]bool{
		`{"result":{"offset":7,"epoch":"a","position":"n-a-7"}}`: true,
		`{"error":{"code":100,"message":"x"}}`:                   true,
		`{}`:                                                     false,
		`{"result":{}}`:                                          false,
		`{"error":{}}`:                                           false,
		`{"result":{"offset":"7","epoch":"a","position":"n-a-7"}}`:                                  false,
		`{"error":{"code":101,"message":"x"}}`:                                                      false,
		`{"result":{"offset":7,"epoch":"a","position":"n-a-7"},"error":{"code":100,"message":"x"}}`: false,
	} {
		answer := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}}
		if err := d.answer("POST", "/api/publish", answer, []byte(body)); (err == nil) != right {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// The document's own examples are what it describes, and each reference in it
// leads somewhere.
func TestTheDocumentAgreesWithItself(t *testing.T) {
	d := describe(t)
	if version := child(d.document, "openapi"); version != "3.1.0" {
		t.Errorf("it is of OpenAPI %v", version)
	}
	for _, of := range [][]string{
		{"paths", "/api/publish", "post", "requestBody", "content", "application/json"},
		{"paths", "/api/publish", "post", "responses", "200", "content", "application/json"},
	} {
		examples, _ := d.at(append(of, "examples")...)
		all, _ := examples.(map[string]any)
		if len(all) == 0 {
			t.Errorf("%q has no examples", of)
		}
		schema, err := d.schema(append(of, "schema")...)
		if err != nil {
			t.Fatal(err)
		}
		for name, example := range all {
			if err := schema.Validate(child(example, "value")); err != nil {
				t.Errorf("example %q: %v", name, err)
			}
		}
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				if found, _ := d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...); found == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, c := range v {
				walk(c)
			}
		case []any:
			for _, c := range v {
				walk(c)
			}
		}
	}
	walk(d.document)
}

// What is mounted is described, and what is described is mounted.
func TestTheDocumentHasEveryPath(t *testing.T) {
	paths, _ := describe(t).at("paths")
	mux := http.NewServeMux()
	New(new(access.Guard), Backing{}, nil).Mount(mux)
	for path, methods := range paths.(map[string]any) {
		for method := range methods.(map[string]any) {
			r, err := http.NewRequest(strings.ToUpper(method), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, pattern := mux.Handler(r); pattern == "" {
				t.Errorf("%s %s is described and not there", method, path)
			}
		}
	}
}

func TestTheDocumentIsServedToEveryone(t *testing.T) {
	server := serve(t, New(new(access.Guard), Backing{}, nil)) // which lets nobody in
	answer, err := http.Get(server.URL + "/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 || !bytes.Equal(body, openapi) {
		t.Errorf("%s %v %.80s", answer.Status, err, body)
	}
	if err := describe(t).answer("GET", "/api/openapi.json", answer, body); err != nil {
		t.Error(err)
	}
}
