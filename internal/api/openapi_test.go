package api

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/errors"

	"belfry/internal/access"
)

var theDescription = sync.OnceValues(func() (validator.Validator, error) {
	d, err := libopenapi.NewDocument(openapi)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(d)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return v, nil
})

func description(t *testing.T) validator.Validator {
	t.Helper()
	v, err := theDescription()
	if err != nil {
		t.Fatalf("reading openapi.json: %v", err)
	}
	return v
}

// described holds an answer against the document, and the request too: one that
// was done has to be described, one that was answered 107 must not be.
func described(t *testing.T, r *http.Request, answer *http.Response, body []byte) {
	t.Helper()
	v := description(t)
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if ok, errs := v.ValidateHttpResponse(r, answer); !ok {
		t.Errorf("the document does not describe the answer %s %.200s:%s", answer.Status, body, list(errs))
	}
	if answer.StatusCode != http.StatusOK {
		return
	}
	// What a schema can't say is in words there.
	inWords := bytes.Contains(body, []byte("idempotency_key: ")) && !bytes.Contains(body, []byte("257 bytes"))
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	ok, errs := v.GetRequestBodyValidator().ValidateRequestBody(r)
	switch bad := bytes.Contains(body, []byte(`"code":107`)) && !bytes.Contains(body, []byte("ttl must be")); {
	case !bad && !ok:
		t.Errorf("the document does not describe the request %.200s:%s", sent, list(errs))
	case bad && ok && !inWords:
		t.Errorf("the document describes a bad request: %.200s", sent)
	}
}

func list(errs []*errors.ValidationError) string {
	var b strings.Builder
	for _, e := range errs {
		b.WriteString("\n  " + e.Message + ": " + e.Reason)
		for _, s := range e.SchemaValidationErrors {
			b.WriteString("\n    " + s.Reason + " at " + s.FieldPath)
		}
	}
	return b.String()
}

func TestTheDocumentIsOpenAPI(t *testing.T) {
	if ok, errs := description(t).ValidateDocument(); !ok {
		t.Error(list(errs))
	}
}

// A check that lets everything pass would say nothing.
func TestTheDocumentTellsAnswersApart(t *testing.T) {
	for _, body := range []string{`{}`, `{"result":{}}`, `{"result":{"offset":"7","epoch":"a","position":"n-a-7"}}`, `{"error":{"code":101,"message":"x"}}`,
		`{"result":{"offset":7,"epoch":"a","position":"n-a-7"},"error":{"code":100,"message":"x"}}`} {
		r, err := http.NewRequest("POST", "http://127.0.0.1/api/publish", strings.NewReader(`{"channel":"c","data":1}`))
		if err != nil {
			t.Fatal(err)
		}
		answer := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
		if ok, _ := description(t).ValidateHttpResponse(r, answer); ok {
			t.Errorf("it describes the answer %s", body)
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
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if ok, errs := description(t).ValidateHttpResponse(answer.Request, answer); !ok {
		t.Error(list(errs))
	}
}
